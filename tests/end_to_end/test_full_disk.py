"""A disk that is really full: a file system of a megabyte, mounted where that is allowed."""

import os
import subprocess
import sys

import numpy as np
import pytest

from msn.encoders import save_encoder
from msn.networks.encoder import Encoder
from tests.data.common.test_cli import call
from tests.support.places import ROOT
from tests.support.small_videos import write_video


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "encoder"
    save_encoder(Encoder(image_size=16, patch_size=8, width=12, depth=1, num_heads=3), folder, {})
    return folder


@pytest.fixture
def small_disk(tmp_path):
    """A folder that holds 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]
    try:
        done = subprocess.run(command, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no mount here")
    if done.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_is_named_and_what_is_done_is_kept(small_disk, tmp_path):
    write_video(tmp_path / "videos" / "op.mp4", frames=1000)
    command = [sys.executable, ROOT / "prepare.py", f"--data_rootdir={small_disk}"]
    command += [f"--videos={tmp_path / 'videos'}", "--name=ours", "--fps=25"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode not in (0, 75)
    assert "Traceback" not in done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith(f"error: no space left on device: {small_disk}/ours/frames/op/op_000")
    frames = list((small_disk / "ours" / "frames" / "op").glob("[!.]*"))
    assert 10 < len(frames) < 1000
    assert all(frame.read_bytes().endswith(b"\xff\xd9") for frame in frames), "whole ones alone"


def fill(disk, left):
    """Leaves so many bytes of a disk."""
    with (disk / "filling").open("wb") as file:
        file.write(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize - left))


def on_disk(disk):
    return sorted(p.name for p in disk.rglob("*") if p.is_file() and p.name != "filling")


@pytest.mark.parametrize("name", ["table.npz", "table.parquet", "map.html"])
def test_inference_names_what_a_full_disk_does_not_take(small_disk, encoder, tmp_path, name):
    """The parts are on another disk; the table, or what goes with it, is on the full one."""
    write_video(tmp_path / "op.mp4", frames=1500)
    fill(small_disk, left=8192)
    output = small_disk / name if name.startswith("table") else tmp_path / "table.npz"
    (tmp_path / "parts").mkdir()
    (small_disk / f"{name}.parts").symlink_to(tmp_path / "parts")
    given = [f"--map={small_disk / name}"] if name == "map.html" else []
    given += [f"--model_path={encoder}", f"--video_path={tmp_path}/op.mp4", "--fps=25"]
    done = call("inference", *given, f"--output={output}")
    assert done.returncode == 2, done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith(f"error: no space left on device: {small_disk}/{name.split('.')[0]}")
    assert "detail" not in line, "Arrow's own words"
    assert on_disk(small_disk) == []


def test_small_pictures_name_what_a_full_disk_does_not_take(small_disk, encoder, tmp_path):
    write_video(tmp_path / "op.mp4", frames=600)
    given = [f"--model_path={encoder}", f"--video_path={tmp_path}/op.mp4", "--fps=25"]
    given += [f"--output={small_disk}/a.npz", f"--map={tmp_path}/map.html"]
    done = call("inference", *given)
    assert done.returncode == 2, done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith(f"error: no space left on device: {small_disk}/a.npz.parts/op-")
    assert line.endswith(".thumbnail")
    left = list(small_disk.rglob("*.thumbnail"))
    assert all(picture.read_bytes().endswith(b"\xff\xd9") for picture in left), "whole ones alone"


@pytest.mark.parametrize("left", [0, 4096, 60_000])
def test_a_search_names_what_a_full_disk_does_not_take(small_disk, tmp_path, left):
    """0: its lock; 4096: what it notes first; 60,000: the vectors, of which NumPy writes a part."""
    n = 2000
    vectors = np.random.default_rng(0).normal(size=(n, 64)).astype(np.float32)
    video, path = np.full(n, "op"), np.full(n, "op.mp4")
    np.savez(
        *(tmp_path / "table.npz",),
        **{"embeddings": vectors, "video": video, "second": np.arange(n, dtype=float)},
        **{"path": path, "metadata": "{}"},
    )
    fill(small_disk, left)
    given = [f"--embeddings={tmp_path}/table.npz", "--video=op", "--second=5"]
    done = call("search", *given, f"--index={small_disk}/index", f"--output={tmp_path}/like.html")
    assert done.returncode == 2, done.stderr
    line = done.stderr.splitlines()[-1]
    named = {0: "lock", 4096: "centre.json", 60_000: "piece_00000.npy"}[left]
    assert line == f"error: no space left on device: {small_disk}/index/{named}"
    assert all(name in ("centre.json", "lock") for name in on_disk(small_disk))


def test_a_home_that_is_full_ends_nothing(small_disk, encoder, tmp_path):
    """Nor does a compiled program that is written there, which XLA would raise an error for."""
    write_video(tmp_path / "op.mp4", frames=50)
    fill(small_disk, left=0)
    done = call(
        "inference",
        *(f"--model_path={encoder}", f"--video_path={tmp_path}/op.mp4"),
        f"--output={tmp_path}/table.npz",
        environment={"XDG_CACHE_HOME": str(small_disk), "MSN_PROGRAMS": ""},
    )
    assert done.returncode == 0, done.stderr
    assert "compiled programs are not kept (no space left on device)" in done.stderr


def test_the_copy_that_has_no_room_is_named_not_what_is_copied(small_disk, tmp_path):
    write_video(tmp_path / "videos" / "op.mp4", frames=50)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "op.csv").write_bytes(bytes(3_000_000))
    given = [f"--videos={tmp_path}/videos", f"--annotations={tmp_path}/labels", "--name=ours"]
    done = call("prepare", f"--data_rootdir={small_disk}", *given)
    assert done.returncode == 2
    line = done.stderr.splitlines()[-1]
    assert line.startswith(f"error: no space left on device: {small_disk}/ours/")


@pytest.mark.parametrize("redirected", [">/dev/full", "2>&- >/dev/full", "| true"])
def test_an_output_that_takes_nothing_is_named(redirected, tmp_path):
    write_video(tmp_path / "op.mp4", frames=50)
    command = f"{sys.executable} {ROOT}/prepare.py --data_rootdir={tmp_path}/d --videos={tmp_path}"
    script = f"set -o pipefail; {command} --name=a --dry_run {redirected}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    if "2>" not in redirected:
        line = done.stderr.splitlines()[-1]
        assert line.startswith("error: ")
        assert line.endswith(": standard output")


def test_streams_that_are_closed_stop_nothing(tmp_path):
    """`>&-`, as under some schedulers: no file of ours gets the number of a stream."""
    write_video(tmp_path / "videos" / "op.mp4", frames=50)
    command = f"{sys.executable} {ROOT}/prepare.py --data_rootdir={tmp_path} --name=a"
    script = f"{command} --videos={tmp_path}/videos <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", script], timeout=120).returncode == 0
    assert (tmp_path / "a" / "index.parquet").is_file()


@pytest.mark.parametrize(
    "command", ["prepare.py --help", "-m msn.train --help", "down_stream/main.py --list_configs"]
)
@pytest.mark.parametrize("question", [">/dev/full", "| head -0"])
def test_help_that_cannot_be_told_is_an_error(command, question):
    script = f"set -o pipefail; cd {ROOT}; (sleep 0.2; exec {sys.executable} {command}) {question}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    full = "error: no space left on device: standard output\n"
    assert done.stderr == ("" if "head" in question else full)
