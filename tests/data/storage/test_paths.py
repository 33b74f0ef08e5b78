"""Paths of TensorFlow's file system in memory (ram://) and paths on the disk do the same."""

import csv
import io
import uuid
import zipfile

import numpy as np
import pytest

from data.common.errors import InputError
from data.storage.folders import copy_folder, local_copy, remove_folder
from data.storage.paths import RemotePath, check_local, check_output_folder, is_remote, to_path


@pytest.fixture(params=["disk", "ram"])
def root(request, tmp_path):
    path = tmp_path if request.param == "disk" else to_path(f"ram://{uuid.uuid4()}/data")
    path.mkdir(parents=True, exist_ok=True)
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_names_are_those_of_pathlib():
    path = to_path("gs://bucket/runs//x/step_1.safetensors")
    assert isinstance(path, RemotePath)
    assert str(path) == "gs://bucket/runs/x/step_1.safetensors"
    assert str(path.parent / "y" / "z.txt") == "gs://bucket/runs/x/y/z.txt"
    assert str(path.with_name("n")) == "gs://bucket/runs/x/n"
    assert (path.name, path.stem, path.suffix) == ("step_1.safetensors", "step_1", ".safetensors")
    assert str(path.relative_to(to_path("gs://bucket/runs"))) == "x/step_1.safetensors"
    assert path.is_relative_to(to_path("gs://bucket"))
    assert path.absolute() == path == to_path(path) == to_path(str(path))
    assert len({path, to_path(str(path))}) == 1
    assert is_remote(path)


def test_local_paths_are_pathlibs_own(tmp_path):
    for path in (str(tmp_path), "runs/x", "a:b", ""):
        assert not isinstance(to_path(path), RemotePath)
        assert not is_remote(path)
    assert to_path(f"file://{tmp_path}") == tmp_path


@pytest.mark.parametrize("path", ["nosuch://bucket/x", "s3://bucket", "ram:///x"])
def test_what_cannot_be_reached_is_said_in_one_line(path):
    scheme = path.partition("://")[0]
    for refused in (to_path, lambda path: check_output_folder("workdir", path)):
        with pytest.raises(InputError, match=f"{path}: .*{scheme}://") as refusal:
            refused(path)
        assert "\n" not in str(refusal.value)


def test_files_and_folders(root):
    assert root.is_dir()
    assert not root.is_file()
    file = root / "a" / "b.txt"
    file.parent.mkdir(parents=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    with pytest.raises(FileExistsError):
        file.parent.mkdir()
    file.write_text("übung\n")
    assert file.read_text() == "übung\n"
    assert file.read_bytes() == "übung\n".encode()
    assert file.stat().st_size == 7
    assert file.stat().st_mtime_ns >= 0  # ram:// has no times
    assert file.is_file()
    assert not file.is_dir()
    for content in (b"longer than that", b"123"):
        (root / "a" / "c.bin").write_bytes(memoryview(content))
    assert (root / "a" / "c.bin").read_bytes() == b"123"
    assert names(root / "a") == ["b.txt", "c.bin"]
    assert [path.name for path in (root / "a").glob("*.txt")] == ["b.txt"]
    assert [path.name for path in root.rglob("*.bin")] == ["c.bin"]
    assert list((root / "missing").glob("*")) == []
    file.replace(root / "a" / "c.bin")
    assert names(root / "a") == ["c.bin"]
    assert (root / "a" / "c.bin").read_text() == "übung\n"
    (root / "a" / "c.bin").unlink()
    (root / "a" / "c.bin").unlink(missing_ok=True)
    assert names(root / "a") == []


def test_what_is_missing_raises_the_same_errors(root):
    missing = root / "missing" / "file"
    for use in (
        missing.read_bytes,
        missing.read_text,
        missing.stat,
        missing.unlink,
        missing.open,
        lambda: list(missing.iterdir()),
        lambda: missing.replace(root / "other"),
    ):
        with pytest.raises(FileNotFoundError):
            use()
    assert not missing.exists()


def test_opened_files_are_those_of_python(root):
    """Libraries seek in them, read some bytes, and close them."""
    with (root / "table.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["a", "ü"], [1, 2]])
    with (root / "table.csv").open(newline="", encoding="utf-8-sig") as file:
        assert list(csv.reader(file)) == [["a", "ü"], ["1", "2"]]
    with (root / "array.npz").open("wb") as file:
        np.savez(file, a=np.arange(100_000))
    with (root / "array.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        assert np.array_equal(arrays["a"], np.arange(100_000))
    with (root / "array.npz").open("rb") as file, zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["a.npy"]
    with (root / "array.npz").open("rb", buffering=0) as file:
        assert file.seek(-5, io.SEEK_END) == (root / "array.npz").stat().st_size - 5
        assert len(file.read(100)) == 5
        assert file.read(100) == b""
    with (root / "empty").open("wb"):
        pass
    assert (root / "empty").read_bytes() == b""


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
    disk, ram = tmp_path / "disk", to_path(f"ram://{uuid.uuid4()}/copy")
    for target in (root / "copy", root / "copy", disk, ram):  # again: it replaces
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
    assert copy.exists() is not isinstance(root, RemotePath)


def test_where_only_local_paths_can_be_used(tmp_path):
    check_local("output", tmp_path)
    with pytest.raises(InputError, match=r"^output=gs://b/x: is remote"):
        check_local("output", "gs://b/x")
