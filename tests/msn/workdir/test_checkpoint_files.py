import os
import stat

import numpy as np
import pytest
import safetensors

from data.common.errors import InputError
from msn.workdir import checkpoint_files
from tests.support.object_store import new_place

STATE = {"a": np.arange(6, dtype=np.float32).reshape(2, 3)}


def test_a_state_comes_back(root):
    path = root / "step_00000005.safetensors"
    for factor in (1, 2):  # the second replaces the first
        checkpoint_files.write_state(path, {"a": factor * STATE["a"]}, {"step": "5"})
        with checkpoint_files.open_state(path) as file:
            np.testing.assert_array_equal(file.get_tensor("a"), factor * STATE["a"])
            assert file.metadata() == {"step": "5"}
    assert checkpoint_files.checkpoints(root) == [path]
    checkpoint_files.remove(path)
    assert list(root.rglob("*")) == []


def test_on_an_object_store_only_the_marker_makes_it_valid():
    folder = new_place("memory")
    paths = [folder / f"step_{step:08d}.safetensors" for step in (2, 4, 6)]
    for path in paths:
        checkpoint_files.write_state(path, STATE, {})
    assert checkpoint_files.checkpoints(folder) == paths
    checkpoint_files.marker_of(paths[2]).unlink()
    assert checkpoint_files.checkpoints(folder) == paths[:2]
    assert checkpoint_files.unmarked(folder) == paths[2:]
    paths[1].write_bytes(paths[1].read_bytes()[:-1])
    with pytest.raises(InputError, match=r"step_00000004.*damaged.* bytes, not \d+\)"):
        checkpoint_files.open_state(paths[1]).__enter__()


def test_what_an_earlier_version_had_the_other_way_round_is_turned(tmp_path):
    path = tmp_path / "step_00000002.safetensors"
    square = np.arange(4, dtype=np.float32).reshape(2, 2)
    checkpoint_files.write_state(path, STATE | {"b": square}, {})
    state, _ = checkpoint_files.read_state(path, {"a": (3, 2), "b": (2, 2)})
    np.testing.assert_array_equal(state["a"], STATE["a"].T)
    np.testing.assert_array_equal(state["b"], square)
    state, _ = checkpoint_files.read_state(path, {"a": (2, 3), "b": (2, 2)})
    np.testing.assert_array_equal(state["a"], STATE["a"])
    with pytest.raises(InputError, match="'a' differs"):
        checkpoint_files.read_state(path, {"a": (6, 1), "b": (2, 2)})


def test_what_cannot_be_used_is_named_in_the_log(caplog):
    folder = new_place("memory")
    paths = [folder / f"step_{step:08d}.safetensors" for step in (2, 4, 6)]
    for path in paths:
        checkpoint_files.write_state(path, STATE, {})
    checkpoint_files.marker_of(paths[2]).unlink()

    def read(path):
        if path == paths[1]:
            raise InputError(f"{path}: damaged")
        return path

    assert checkpoint_files.read_newest(folder, read) == paths[0]
    assert [record.message for record in caplog.records] == [
        f"{paths[2]}: has no {checkpoint_files.marker_of(paths[2]).name} beside it; not used",
        f"{paths[1]}: damaged; taking the one before",
    ]


def test_the_old_marker_is_no_marker_of_a_file_that_is_replaced(monkeypatch):
    folder = new_place("memory")
    path = folder / "step_00000002.safetensors"
    checkpoint_files.write_state(path, STATE, {})

    def cut_off(source, target):
        target.write_bytes(source.read_bytes()[:20])
        raise KeyboardInterrupt

    monkeypatch.setattr("data.storage.whole.copy_file", cut_off)
    with pytest.raises(KeyboardInterrupt):
        checkpoint_files.write_state(path, STATE, {})
    assert checkpoint_files.unmarked(folder) == [path]


def test_what_is_damaged_is_said(root):
    path = root / "step_00000005.safetensors"
    checkpoint_files.write_state(path, STATE, {"step": "5"})
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(InputError, match="damaged checkpoint"):
        checkpoint_files.open_state(path).__enter__()


def test_nothing_is_left_of_what_cannot_be_written(tmp_path):
    (tmp_path / ".part-step_00000005.safetensors").mkdir()
    with pytest.raises((OSError, safetensors.SafetensorError)):
        checkpoint_files.write_state(tmp_path / "step_00000005.safetensors", STATE, {})
    assert checkpoint_files.checkpoints(tmp_path) == []


def test_a_colleague_may_read_what_the_umask_lets_them(tmp_path):
    before = os.umask(0o027)
    try:
        path = checkpoint_files.save_state(tmp_path, 1, {"a": np.zeros(3, np.float32)}, {}, keep=1)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
