"""Files and folders appear when they are whole, on the disk and remotely, also after a kill."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.storage.whole import whole_file, whole_folder
from tests.support.places import ROOT


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_replaces_the_old_one_only_when_it_is_complete(root, durable):
    path = root / "a.npz"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), whole_file(path, durable) as side:
        side.write_bytes(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    with whole_file(path, durable) as side:
        np.savez(side, a=np.arange(3))  # which would add a suffix where there is none
        assert path.read_bytes() == b"old"
    assert names(root) == ["a.npz"]
    with path.open("rb") as file, np.load(file) as arrays:
        assert arrays["a"].tolist() == [0, 1, 2]


def test_a_file_that_was_not_written_is_an_error(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "a"):
        pass
    assert (tmp_path / "a").read_bytes() == b"old"


def test_writers_of_the_same_file_do_not_meet(tmp_path):
    with (
        whole_file(tmp_path / "a", writer="1") as one,
        whole_file(tmp_path / "a", writer="2") as two,
    ):
        one.write_text("one")
        two.write_text("two")
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "one"  # the outer context ends last


def test_nothing_is_written_through_a_link_that_is_in_the_way(tmp_path):
    (tmp_path / "other").write_text("before")
    (tmp_path / ".part-a").symlink_to(tmp_path / "other")
    with whole_file(tmp_path / "a") as side:
        side.write_text("new")
    assert (tmp_path / "other").read_text() == "before"
    assert not (tmp_path / "a").is_symlink()


def test_a_folder_replaces_the_old_one_only_when_it_is_complete(root):
    (root / "folder").mkdir()
    (root / "folder" / "old").write_text("old")
    with pytest.raises(OSError, match="full"), whole_folder(root / "folder", "last") as folder:
        folder.mkdir()
        raise OSError("full")
    assert names(root) == ["folder"]
    assert names(root / "folder") == ["old"]
    with whole_folder(root / "folder", "last") as folder:
        folder.mkdir()
        (folder / "last").write_text("new")
    assert names(root) == ["folder"]
    assert names(root / "folder") == ["last"]


def test_the_old_folder_is_never_taken_for_whole_while_it_is_removed(tmp_path, monkeypatch):
    """It is renamed first: a process that is killed in between leaves it, or none."""
    (tmp_path / "folder").mkdir()
    seen = []
    monkeypatch.setattr("data.storage.whole.remove_folder", lambda path: seen.append(path.name))
    with whole_folder(tmp_path / "folder", "last") as folder:
        folder.mkdir()
        (folder / "last").write_text("new")
    assert "folder" not in seen
    assert names(tmp_path / "folder") == ["last"]


def killed_while_writing(path: Path, is_folder: bool):
    with whole_folder(path, "last") if is_folder else whole_file(path) as side:
        if is_folder:
            side.mkdir()
        (side / "last" if is_folder else side).write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_kill_leaves_the_old_and_the_next_one_cleans_up(tmp_path, is_folder):
    path = tmp_path / "a"
    (path / "last" if is_folder else path).parent.mkdir(exist_ok=True)
    (path / "last" if is_folder else path).write_text("old")
    process = multiprocessing.get_context("fork").Process(
        target=killed_while_writing, args=(path, is_folder)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert names(tmp_path) == [".part-a", "a"]
    assert (path / "last" if is_folder else path).read_text() == "old"
    with whole_folder(path, "last") if is_folder else whole_file(path) as side:
        if is_folder:
            side.mkdir()
        (side / "last" if is_folder else side).write_text("new")
    assert names(tmp_path) == ["a"]
    assert (path / "last" if is_folder else path).read_text() == "new"


# Writes more than the kernel lets it, as on a full disk: errors that name no file.
TOO_LARGE = """
import pathlib, resource, sys
import numpy as np
from data.common.cli import describe
from data.storage.whole import whole_file
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
writers = (
    lambda side: side.write_bytes(bytes(5000)),
    lambda side: np.savez(side, a=np.zeros(5000)),
)
for write in writers:
    try:
        with whole_file(pathlib.Path(sys.argv[1]) / "table.npz") as side:
            write(side)
    except OSError as error:
        print(describe(error))
"""


def test_a_write_that_fails_half_way_names_the_file_and_leaves_nothing(tmp_path):
    command = [sys.executable, "-c", TOO_LARGE, tmp_path]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown == f"file too large: {tmp_path / 'table.npz'}\n" * 2
    assert list(tmp_path.iterdir()) == []
