"""Preparation that signals interrupt, as real processes: one line, code 75, and it goes on."""

import signal
import subprocess
import sys
import time

import cv2
import numpy as np

from data.dataset.frame_index import load_index
from tests.support.places import ROOT
from tests.support.small_videos import read_numbers, write_video

FRAMES = 400  # of each video
SAID = "the same command goes on"


def start(folder, *arguments):
    command = [sys.executable, ROOT / "prepare.py", f"--data_rootdir={folder}", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **pipes, text=True, cwd=folder.parent)


def interrupt(process, number, is_due):
    """Sends a signal as soon as `is_due()`, and returns what was said of it."""
    until = time.monotonic() + 60
    while not is_due() and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.005)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 75, errors
    assert "Traceback" not in errors
    (line,) = [line for line in errors.splitlines() if SAID in line]
    return line


def test_extraction_that_is_interrupted_goes_on(tmp_path):
    for name in ("op1", "op2", "op3"):
        write_video(tmp_path / "videos" / f"{name}.mp4", frames=FRAMES)
    arguments = (f"--videos={tmp_path / 'videos'}", "--name=ours", "--fps=25")
    root = tmp_path / "out" / "ours"

    def count():
        return len(list(root.glob("frames/*/*.jpg")))

    signals = [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT]
    before = 0
    for number, name in zip(signals, ("SIGTERM", "SIGHUP", "SIGUSR1", "Ctrl-C"), strict=True):
        process = start(tmp_path / "out", *arguments)
        line = interrupt(process, number, lambda least=before + 100: count() > least)
        assert f"stopped by {name}: " in line
        assert before < count() < 3 * FRAMES, "what was done is kept"
        before = count()
        assert not (root / "index.parquet").exists()
    process = start(tmp_path / "out", *arguments)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "ours: 3 videos, 1200 frames" in output
    for name in ("op1", "op2", "op3"):
        shown = read_numbers(root / "frames" / name)
        assert shown == {f"{name}_{n + 1:06d}.jpg": n for n in range(FRAMES)}
    assert len(load_index(root)) == 3 * FRAMES
    assert not [file for file in root.rglob("*") if file.name.startswith(".") and file.is_dir()]


def test_indexing_that_is_interrupted_goes_on(tmp_path):
    """Images are decoded to see whether they are whole: the longest part of indexing."""
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for n in range(20):
            image = np.random.default_rng(n).integers(0, 255, (900, 1200, 3), np.uint8)
            cv2.imwrite(str(tmp_path / "images" / name / f"{n}.png"), image)
    arguments = ("--dataset=classes", f"--images={tmp_path / 'images'}", "--name=ours")
    root = tmp_path / "out" / "ours"
    line = interrupt(start(tmp_path / "out", *arguments), signal.SIGHUP, root.exists)
    assert "stopped by SIGHUP: " in line
    assert not (root / "index.parquet").exists()
    process = start(tmp_path / "out", *arguments)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert len(load_index(root)) == 40
