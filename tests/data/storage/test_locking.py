import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading

import pytest

from data.common.errors import InputError
from data.storage.locking import locked, locked_file, owner_of
from tests.support.places import ROOT

# Takes the lock without TensorFlow, says so, and waits to be killed.
HOLDER = """
import fcntl, pathlib, sys, time
with open(sys.argv[1], "a+") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    file.write("process 1 on elsewhere"), file.flush()
    print("locked", flush=True)
    time.sleep(600)
"""


def test_the_second_is_refused_until_the_first_is_killed(tmp_path):
    command = [sys.executable, "-c", HOLDER, tmp_path / "lock"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as holder:
        try:
            assert holder.stdout.readline() == b"locked\n"
            with pytest.raises(InputError, match="process 1 on elsewhere"), locked(tmp_path):
                pass
        finally:
            holder.send_signal(signal.SIGKILL)
    with (
        locked(tmp_path),
        pytest.raises(InputError, match=f"process {os.getpid()} on"),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path):
        pass


def test_who_only_asks_keeps_nobody_away(tmp_path):
    note = tmp_path / "lock"
    note.touch()
    asking = note.open("r+")
    fcntl.flock(asking, fcntl.LOCK_SH)  # as `owner_of` has it, for a moment
    assert owner_of(note) == ""
    threading.Timer(0.03, asking.close).start()
    with locked(tmp_path):
        assert owner_of(note).startswith(f"process {os.getpid()} on")


def test_nothing_is_left_but_what_was_written(tmp_path):
    with locked(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / "lock").read_text().startswith(f"process {os.getpid()} on")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "a" / "b"):
        (tmp_path / "a" / "kept").touch()
        print(1 / 0)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["kept"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_lock_that_cannot_be_noted_leaves_nothing(tmp_path, monkeypatch, error, is_there):
    def full(*_):
        raise error

    place = tmp_path / "a" / "b"
    if is_there:
        place.mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(type(error)), locked_file(place / "one.npz"):
            pytest.fail("it has no lock")
    assert list(tmp_path.rglob("*")) == ([place.parent, place] if is_there else [])
    with locked_file(place / "one.npz"):
        pass


def test_files_beside_one_another_have_locks_of_their_own(tmp_path):
    with (
        locked_file(tmp_path / "one.npz"),
        locked_file(tmp_path / "two.npz"),
        pytest.raises(InputError, match=r"/one\.npz: another run is writing here"),
        locked_file(tmp_path / "one.npz"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


# Counts in a file, under the lock: what two read at once would be lost.
COUNTER = """
import pathlib, sys
from data.common.errors import InputError
from data.storage.locking import locked
folder, done = pathlib.Path(sys.argv[1]), 0
while done < 200:
    try:
        with locked(folder / "place"):
            count = int((folder / "count").read_text())
            (folder / "count").write_text(str(count + 1))
            done += 1
    except InputError:
        pass
"""


def test_many_that_come_and_go_never_meet(tmp_path):
    """The note is removed by whoever ends, while others are at the door."""
    (tmp_path / "count").write_text("0")
    command = [sys.executable, "-c", COUNTER, tmp_path]
    counters = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]
    assert [counter.wait(60) for counter in counters] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "600"
