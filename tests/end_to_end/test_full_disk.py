"""A disk that is really full: a file system of a megabyte, mounted where that is allowed."""

import subprocess
import sys

import pytest

from tests.support.places import ROOT
from tests.support.small_videos import write_video


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
