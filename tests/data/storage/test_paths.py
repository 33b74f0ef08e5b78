"""Paths on a disk, on an S3 server and in fsspec's memory do the same."""

import csv
import io
import mmap
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.common.errors import InputError
from data.storage.folders import copy_folder, local_copy, read_part, remove_folder
from data.storage.paths import arrow_source, check_local, is_remote, output_folder, to_path
from data.storage.whole import whole_file
from tests.support.object_store import new_place
from tests.support.places import ROOT


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("scheme", ["s3", "memory"])
def test_names_are_those_of_pathlib(scheme):
    path = to_path(f"{scheme}://bucket/runs//x/step_1.safetensors/")
    assert is_remote(path)
    assert is_remote(str(path))
    assert str(path) == f"{scheme}://bucket/runs/x/step_1.safetensors"
    assert str(path.parent / "y" / "z.txt") == f"{scheme}://bucket/runs/x/y/z.txt"
    assert str(path.with_name("n")) == f"{scheme}://bucket/runs/x/n"
    assert str(path.with_suffix(".done")) == f"{scheme}://bucket/runs/x/step_1.done"
    assert (path.name, path.stem, path.suffix) == ("step_1.safetensors", "step_1", ".safetensors")
    assert str(path.relative_to(to_path(f"{scheme}://bucket/runs"))) == "x/step_1.safetensors"
    assert path.is_relative_to(to_path(f"{scheme}://bucket"))
    assert path.absolute() == path == to_path(path) == to_path(str(path))
    assert len({path, to_path(str(path))}) == 1
    assert sorted([path / "b", path / "a"]) == [path / "a", path / "b"]


def test_local_paths_are_pathlibs_own(tmp_path):
    for path in (str(tmp_path), "runs/x", "a:b", "", f"file://{tmp_path}"):
        assert isinstance(to_path(path), Path)
        assert not is_remote(path)
    assert to_path(f"file://{tmp_path}") == tmp_path


def test_for_local_paths_nothing_of_remote_ones_is_imported(tmp_path):
    code = (
        "import sys; from data.storage import folders, paths, whole;"
        "folders.remove_folder(paths.to_path(sys.argv[1]));"
        "assert {'upath', 'fsspec', 'tensorflow'}.isdisjoint(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "x"], check=True, cwd=ROOT)


@pytest.mark.parametrize(
    "path, named",
    [
        ("nosuch://bucket/x", "no file system for nosuch://; expected s3://, gs://, az://, hf://"),
        ("s3:///x", "no bucket; expected s3://NAME/..."),
        ("s3://", "no bucket"),
        ("smb://host/x", 'needs a package .*"smbprotocol".*requirements-remote.txt'),
    ],
)
def test_what_cannot_be_reached_is_said_in_one_line(path, named):
    for refused in (to_path, lambda path: output_folder("workdir", path)):
        with pytest.raises(InputError, match=f"{path}: .*{named}") as refusal:
            refused(path)
        assert "\n" not in str(refusal.value)


def test_files_and_folders(root):
    file = root / "a" / "b.txt"
    for _ in range(2):
        file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("übung\n")
    assert root.is_dir()
    assert not root.is_file()
    assert file.read_text() == "übung\n"
    assert file.read_bytes() == "übung\n".encode()
    assert read_part(file, 2, 4) == b"bu"
    assert file.stat().st_size == 7
    assert file.stat().st_mtime_ns >= 0  # in memory there are no times
    assert file.is_file()
    assert not file.is_dir()
    for content in (b"longer than that", b"123"):
        (root / "a" / "c.bin").write_bytes(memoryview(content))
    assert (root / "a" / "c.bin").read_bytes() == b"123"
    assert names(root / "a") == ["b.txt", "c.bin"]
    assert [path.name for path in (root / "a").glob("*.txt")] == ["b.txt"]
    assert [path.name for path in root.rglob("*.bin")] == ["c.bin"]
    assert list((root / "missing").glob("*")) == []
    (root / "a" / "c.bin").unlink()
    (root / "a" / "c.bin").unlink(missing_ok=True)
    assert names(root / "a") == ["b.txt"]
    (root / "a" / "empty").write_bytes(b"")
    assert (root / "a" / "empty").read_bytes() == b""


def test_names_may_be_any(root):
    """Also such as mean something in a pattern or an address."""
    file = root / "a[1]{x}*" / "ü %20 #?.txt"
    file.parent.mkdir()
    file.write_text("1")
    assert [path.read_text() for path in file.parent.glob("*.txt")] == ["1"]
    assert list(root.rglob("*.txt")) == [file]


def test_what_another_process_writes_is_seen(root):
    """No listing is kept."""
    (root / "a").write_text("1")
    assert names(root) == ["a"]
    if is_remote(root):
        other = type(root.fs)(skip_instance_cache=True)
        other.pipe_file((root / "b").path, b"2")
        assert names(root) == ["a", "b"]


def test_what_is_missing_raises_the_same_errors(root):
    missing = root / "missing" / "file"
    for use in (
        missing.read_bytes,
        missing.read_text,
        missing.stat,
        missing.unlink,
        missing.open,
        lambda: list(missing.iterdir()),
    ):
        with pytest.raises(FileNotFoundError) as refusal:
            use()
        assert refusal.value.filename == (str(missing))
    assert not missing.exists()
    assert not missing.is_dir()


def test_opened_files_are_those_of_python(root):
    """Libraries seek in them, read some bytes, map them into memory, and close them."""
    with whole_file(root / "table.csv") as side, side.open("w", newline="") as file:
        csv.writer(file).writerows([["a", "b"], [1, 2]])
    with (root / "table.csv").open(newline="", encoding="utf-8-sig") as file:
        assert list(csv.reader(file)) == [["a", "b"], ["1", "2"]]
    with whole_file(root / "array.npz") as side:
        np.savez(side, a=np.arange(100_000))
    with (root / "array.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        assert np.array_equal(arrays["a"], np.arange(100_000))
    with (root / "array.npz").open("rb") as file, zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["a.npy"]
    with (root / "array.npz").open("rb", buffering=0) as file:
        assert file.seek(-5, io.SEEK_END) == (root / "array.npz").stat().st_size - 5
        assert len(file.read(100)) == 5
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            assert content[:2] == b"PK"


def test_the_store_says_in_one_line_what_is_wrong(s3, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"bucket does not exist.*s3://missing/x"):
        to_path("s3://missing/x").write_bytes(b"")
    files = to_path("s3://bucket").fs
    with monkeypatch.context() as patch:  # a server that is away
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        patch.setattr(type(files), "retries", 1)
        files.clear_instance_cache()
        for use in ("exists", "is_dir", "stat", "read_bytes", "unlink"):
            with pytest.raises(OSError, match=r"127.0.0.1:9/bucket.*s3://bucket/x") as refusal:
                getattr(to_path("s3://bucket/x"), use)()
            assert "\n" not in str(refusal.value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    files.clear_instance_cache()
    with pytest.raises(OSError, match=r"Unable to locate credentials.*s3://bucket/x"):
        to_path("s3://bucket/x").read_bytes()
    files.clear_instance_cache()


def test_folders_are_copied_the_last_file_at_the_end(root, tmp_path, monkeypatch):
    source = root / "source"
    for name in ("z.json", "deep/er/x.bin", "a.json"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    copied = []

    def copy_file(file, target):
        copied.append(file.name)
        target.write_bytes(file.read_bytes())

    with monkeypatch.context() as patch:
        patch.setattr("data.storage.folders.copy_file", copy_file)
        copy_folder(source, root / "watched", last="a.json")
    assert copied == ["x.bin", "z.json", "a.json"]
    for target in (root / "copy", root / "copy", tmp_path / "disk", new_place("memory")):
        copy_folder(source, target, last="a.json")
        assert (target / "deep" / "er" / "x.bin").read_text() == "deep/er/x.bin"
        assert names(target) == ["a.json", "deep", "z.json"]
    remove_folder(root / "copy")
    remove_folder(root / "copy")
    assert not (root / "copy").exists()


def test_a_local_copy_has_name_and_content_and_goes(root):
    (root / "encoder.weights.h5").write_bytes(b"content")
    with local_copy(root / "encoder.weights.h5") as copy:
        assert copy.name == "encoder.weights.h5"
        assert copy.read_bytes() == b"content"
        assert not is_remote(copy)
    assert copy.exists() is not is_remote(root)


def test_arrow_reads_a_file_wherever_it_is(root):
    pq.write_table(pa.table({"a": [1, 2]}), buffer := io.BytesIO())
    (root / "table.parquet").write_bytes(buffer.getvalue())
    with arrow_source(root / "table.parquet") as source:
        assert pq.ParquetFile(source).read()["a"].to_pylist() == [1, 2]
        assert hasattr(source, "read") is is_remote(root)


def test_where_only_local_paths_can_be_used(tmp_path):
    check_local("output", tmp_path)
    with pytest.raises(InputError, match=r"^output=gs://b/x: is remote"):
        check_local("output", "gs://b/x")
