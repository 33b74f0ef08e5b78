import os
import subprocess
import sys
import time

import numpy as np
import pytest

from data.storage.locking import locked
from down_stream.caches import find_groups, remove, table
from msn.workdir.checkpoint_files import checkpoints, read_newest, save_state
from tests.support.forked_commands import call
from tests.support.places import ROOT

DAY = 24 * 3600


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A user's cache, a run with four checkpoints, features of two encoders, two datasets."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MSN_PROGRAMS", raising=False)
    for step in (10, 20, 30, 40):
        state = {"weights": np.full(1000, step, np.float32)}
        save_state(tmp_path / "runs" / "msn" / "checkpoints", step, state, {}, keep=9)
    for file in (
        "cache/endoscopy-msn/programs/0123456789abcdef/0123abcd.program.pb",
        "cache/endoscopy-msn/clocks/op.npz",
        f"cache/endoscopy-msn/features/{'e' * 32}/op1-{'b' * 32}.npy",
        f"runs/features/{'a' * 32}/op1-{'b' * 32}.npy",
        f"runs/features/{'a' * 32}/op2-{'c' * 32}.npy",
        f"runs/features/{'d' * 32}/op1-{'b' * 32}.npy",
        "datasets/ours/.whole_images.npy",
        "datasets/ours/.read_videos.json",
        "datasets/ours/.clocks-1.0.npz",
        "datasets/tfds/.frames.npz",
        # What is none of these.
        "cache/endoscopy-msn/programs/somebodys/saved_model.pb",
        "cache/endoscopy-msn/programs/0123456789abcdef/saved_model.pb",
        "other/step_500.safetensors",
        "other/step_1000.safetensors",
        "other/checkpoints/step_final.safetensors",
        "other/checkpoints/step_500.safetensors",
        "other/checkpoints/step_1000.safetensors",
        "datasets/ours/index.parquet",
        "datasets/ours/features.npy",
        "runs/msn/encoder/encoder.weights.h5",
        f"runs/features/{'a' * 32}/notes.txt",
        f"runs/features/other/op1-{'b' * 32}.npy",
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(bytes(500))
    return tmp_path


def tree(place):
    return {file.relative_to(place).as_posix() for file in place.rglob("*") if file.is_file()}


def test_all_kinds_are_found_with_size_and_age(place):
    old = place / "runs" / "features" / ("d" * 32)
    for file in old.iterdir():
        os.utime(file, (time.time() - 10 * DAY,) * 2)
    groups = find_groups([place / "runs", place / "datasets", place / "runs" / "msn"])
    assert [(group.kind, group.folder.name, len(group.files)) for group in groups] == [
        ("programs", "0123456789abcdef", 1),
        ("clocks", "clocks", 1),
        ("clocks", "ours", 1),
        ("clocks", "tfds", 1),
        ("images", "ours", 2),
        ("features", "e" * 32, 1),
        ("features", "a" * 32, 2),
        ("features", "d" * 32, 1),
        ("checkpoints", "checkpoints", 3),
    ]
    assert groups[6].size == 1000
    assert groups[-1].remark == "all before step 40"
    lines = table(groups).splitlines()
    assert "10 days ago" in lines[8]
    assert "just now" in lines[7]
    assert lines[-1].split()[2] == "13"
    (group,) = (g for g in find_groups([place], unused_days=9))
    assert group.folder == old
    assert len(find_groups([])) == 3


def test_what_is_chosen_is_removed_and_nothing_else(place):
    before = tree(place)
    groups = find_groups([place])
    chosen = [group for group in groups if group.kind in ("features", "checkpoints")]
    assert remove(chosen) == (sum(group.size for group in chosen), [])
    steps = [f"runs/msn/checkpoints/step_{step:08d}.safetensors" for step in (10, 20, 30)]
    features = {name for name in before if "/features/" in name and "other" not in name}
    features -= {f"runs/features/{'a' * 32}/notes.txt"}
    assert before - tree(place) == {*steps, *features}
    assert not (place / "runs" / "features" / ("d" * 32)).exists()
    remove(find_groups([place]))
    assert [file.name for file in checkpoints(place / "runs/msn/checkpoints")] == [
        "step_00000040.safetensors"
    ]
    left = {name for name in tree(place) if name.startswith("cache/")}
    assert left == {name for name in before if "saved_model.pb" in name}
    assert {name for name in before if name.startswith("other/")} < tree(place)


def test_the_newest_checkpoint_that_is_whole_stays(place):
    """Where the newest is cut off, the one that a run would go on from."""
    folder = place / "runs" / "msn" / "checkpoints"
    for step in (30, 40):
        file = folder / f"step_{step:08d}.safetensors"
        file.write_bytes(file.read_bytes()[:-100])
    remove(find_groups([place / "runs"]))
    assert [file.name[5:13] for file in checkpoints(folder)] == ["00000020", "00000030", "00000040"]
    assert read_newest(folder, lambda path: path.read_bytes() and path).name  # there is one
    (folder / "step_00000020.safetensors").write_bytes(b"cut off")
    groups = find_groups([place / "runs"])
    assert not [group for group in groups if group.kind == "checkpoints"]


def test_a_run_that_is_writing_is_left_alone(place):
    groups = find_groups([place])
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(place / "runs" / "msn")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    holder.stdout.readline()
    for step in (10, 20):
        save_state(place / "runs" / "other" / "checkpoints", step, {"w": np.ones(9)}, {}, keep=9)
    before = checkpoints(place / "runs/msn/checkpoints")
    _, writing = remove(find_groups([place]))
    assert len(writing) == 1 and "runs/msn: another run is writing here" in writing[0]
    assert checkpoints(place / "runs/msn/checkpoints") == before
    assert len(checkpoints(place / "runs/other/checkpoints")) == 1, "only that run is left alone"
    holder.communicate(b"\n")
    remove(groups)
    with locked(place / "runs" / "msn"):
        assert len(checkpoints(place / "runs/msn/checkpoints")) == 1


HOLD = """
import sys
from pathlib import Path
from data.storage.locking import locked

with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.readline()
"""


def run(place, *arguments):
    return call("-m", "down_stream.caches", *arguments)


def test_the_command_removes_only_when_it_is_told_to(place):
    before = tree(place)
    for arguments, message in (
        ([place / "absent"], "absent: no such folder; expected runs or datasets"),
        ([place, "--remove=everything"], "--remove=everything: expected some of programs, clocks"),
        ([place, "--unused_days=-1"], "unused_days"),
    ):
        done = run(place, *arguments)
        assert done.returncode == 2
        assert message in done.stderr.splitlines()[-1]
    listed = run(place, place / "runs")
    assert listed.returncode == 0, listed.stderr
    assert "nothing was removed; --remove=programs,clocks" in listed.stdout
    assert tree(place) == before
    assert "programs" in run(place).stdout
    done = run(place, place / "runs", "--remove=checkpoints")
    assert "removed: 12." in done.stdout, done.stderr
    assert len(before - tree(place)) == 3
