"""The states of folders, by which it is told whether anything in them has changed."""

import os
import signal
import time
from types import SimpleNamespace

import pytest

from data.images.states import folder_state, folder_states


def test_the_state_of_a_folder(tmp_path):
    for name in ("b.jpg", "a.jpg"):
        (tmp_path / name).write_bytes(b"12")
    state = folder_state(tmp_path)
    assert state == folder_state(tmp_path) == folder_state(os.fsencode(tmp_path))
    (tmp_path / "a.jpg").rename(tmp_path / "c.jpg")
    assert folder_state(tmp_path) != state
    (tmp_path / "c.jpg").rename(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").chmod(0o600)
    assert folder_state(tmp_path) != state
    assert folder_state(tmp_path / "missing") == ""
    (tmp_path / "link").symlink_to("nothing")
    assert folder_state(tmp_path) == ""


def test_names_numbers_and_sizes_tell_where_clocks_are_coarse(tmp_path, monkeypatch):
    real = os.stat

    def coarse(*arguments, **how):
        state = real(*arguments, **how)
        return SimpleNamespace(
            st_ino=state.st_ino, st_size=state.st_size, st_mtime_ns=0, st_ctime_ns=0
        )

    def state():
        with monkeypatch.context() as patch:
            patch.setattr(os, "stat", coarse)
            return folder_state(tmp_path)

    file = tmp_path / "a.jpg"
    file.write_bytes(b"12")
    states = [state()]
    file.write_bytes(b"123")
    states.append(state())
    (tmp_path.parent / "other").write_bytes(b"456")
    (tmp_path.parent / "other").replace(file)
    states.append(state())
    file.rename(tmp_path / "b.jpg")
    assert len({*states, state()}) == 4


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_several_processes_say_the_same(tmp_path, monkeypatch, cores):
    folders = [tmp_path / name for name in ("a", "b c", "ü", "missing", "e")]
    for folder in folders:
        if folder.name != "missing":
            folder.mkdir()
            (folder / "1.jpg").write_bytes(folder.name.encode())
    monkeypatch.setattr("data.images.states.available_cores", lambda: cores)
    expected = {folder: folder_state(folder) for folder in folders}
    assert folder_states(folders, 10**9) == folder_states(folders, 1) == expected
    assert len(set(expected.values())) == 5


def test_a_process_that_dies_costs_time_alone(tmp_path, monkeypatch):
    folders = [tmp_path / str(number) for number in range(6)]
    for folder in folders:
        folder.mkdir()
    monkeypatch.setattr("data.images.states.available_cores", lambda: 2)
    monkeypatch.setattr("data.images.states._ANSWER", "raise SystemExit(3)")
    assert folder_states(folders, 10**9) == dict.fromkeys(folders, "")


def test_ctrl_c_does_not_wait_for_the_answers(tmp_path, monkeypatch):
    monkeypatch.setattr("data.images.states.available_cores", lambda: 2)
    monkeypatch.setattr("data.images.states._ANSWER", "import time; time.sleep(60)")
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            folder_states([tmp_path / str(number) for number in range(6)], 10**9)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - start < 30
