"""Progress, as a log file and a terminal have it."""

import os
import re
import subprocess
import sys

import pytest

from tests.support.places import ROOT

COMMAND = """
import logging, time
from data.common import progress
logging.basicConfig(level=logging.INFO, format="%(message)s")  # as data/common/cli.py does
progress.LINE_SECONDS = 0.2
with progress.ProgressBar(desc="embedding", total=50, initial=10, unit="frame") as bar:
    for frame in range(40):
        time.sleep(0.02)
        bar.update()
        bar.show({"loss": "1.5"})
for size in progress.ProgressBar([1] * 3, unit="B", unit_scale=True, desc="bytes"):
    pass
for item in progress.ProgressBar(range(2), "quick", delay=9):
    pass
with progress.ProgressBar(desc="unknown", unit="video") as bar:
    bar.update()
"""
STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "


def run(stderr, code=COMMAND):
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, stderr=stderr, check=True)


def test_a_log_file_has_lines_with_time_count_and_time_left(tmp_path):
    with (tmp_path / "log").open("wb") as log:
        run(log)
    text = (tmp_path / "log").read_bytes().decode()
    assert "\r" not in text and text.endswith("\n")
    *running, end, scaled, unknown = text.splitlines()
    assert 2 <= len(running) <= 4  # 0.8 seconds, a line each 0.2
    for line in running:
        assert re.fullmatch(STAMP + r"embedding: \d\d of 50 frames, 00:00 left, loss=1.5", line)
    assert re.fullmatch(
        STAMP + r"embedding: 50 of 50 frames, 10 of them before, after 00:0\d, loss=1.5", end
    )
    assert re.fullmatch(STAMP + r"bytes: 3.00B of 3.00B, after 00:00", scaled)
    assert re.fullmatch(STAMP + r"unknown: 1 video, after 00:00", unknown)


def test_what_is_left_follows_the_rate():
    code = COMMAND.replace("total=50", "total=5010").replace("0.02", "0.05")
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    left = re.search(r"of 5010 frames, 0[4-9]:\d\d left", process.stderr)
    assert left, process.stderr  # 5,000 frames of 0.05 s, or more on a busy machine


def test_an_error_ends_with_how_far_it_came():
    code = COMMAND.replace("bar.show", "1 / 0 #")
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert re.match(
        STAMP + "embedding: 11 of 50 frames, 10 of them before, after 00:00\nTraceback",
        process.stderr,
    )


def test_no_log_no_lines():
    code = COMMAND.replace("logging.basicConfig", "dict")
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


def test_a_terminal_has_a_bar():
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 100))
    run(its)
    os.close(its)
    text = os.read(ours, 65536).decode()
    os.close(ours)
    assert "\rembedding: " in text and "50/50" in text and " left" not in text
