"""Archives, full disks and processes that are killed, for tests of fetching and unpacking."""

import io
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections import namedtuple

from data.archives import room
from tests.support.places import ROOT

DATA = random.Random(0).randbytes(3_000_000)
FILES = {"videos/video01.mp4": DATA, "phase_annotations/video01-phase.txt": b"Frame\tPhase\n"}


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def one_line(error, *parts):
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message
    return True


def disk_with(monkeypatch, free):
    usage = namedtuple("usage", "total used free")(10**12, 10**12 - free, free)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: usage)


def kill_when(condition, script, *arguments):
    """Runs `script` in a process of its own and kills it as soon as `condition()` is true."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 20
        while not condition():
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL


def make_tar(path, files, mode="w"):
    """Writes a tar archive; `files` maps names to contents or to attributes of a special member."""
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
            else:
                for key, value in content.items():
                    setattr(member, key, value)
                tar.addfile(member)
    return path


def check_unpacked(target, files):
    assert names(target) == sorted(files)
    for name, content in files.items():
        assert (target / name).read_bytes() == content
