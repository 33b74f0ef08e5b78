"""In which state folders are, which tells without reading them whether their files have changed.

Every file is asked for its state, for one that is cut off or written over in its place changes
nothing of its folder. Tens of millions take a minute of one core, so that several processes do it.
"""

import contextlib
import hashlib
import itertools
import os
import signal
import subprocess
import sys
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from data.common.configurations import ROOT
from data.common.machine import available_cores
from data.common.progress import ProgressBar

READ_VIDEOS = ".read_videos.json"  # in a dataset: the states in which its videos were read
SEVERAL_PROCESSES = 200_000  # files for which they are worth their start
_ANSWER = "from data.images.states import answer; answer()"


def folder_state(folder: Path | bytes) -> str:
    """A digest of the names in a folder, and of the numbers, sizes and times of what they name.

    It changes with the content of any file, its rights, its name, and what a link leads to; "" of a
    folder that is not there, or in which something cannot be asked, as a link to nothing.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            names = sorted(os.listdir(descriptor))  # noqa: PTH208 - of tens of millions
            states = [os.stat(name, dir_fd=descriptor) for name in names]
        finally:
            os.close(descriptor)
    except OSError:
        return ""
    digest = hashlib.blake2b(os.fsencode("/".join(names)), digest_size=16)
    # Times of change that nobody can set (ctime) go with those that programs restore.
    facts = ((s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in states)
    digest.update(array("q", map(hash, facts)))
    return digest.hexdigest()


def folder_states(folders: Sequence[Path], files: int) -> dict[Path, str]:
    """{folder: its state}.

    Args:
      folders: names without line breaks.
      files: how many there are in them, about.
    """
    workers = min(available_cores(), len(folders)) if files > SEVERAL_PROCESSES else 1
    with contextlib.ExitStack() as processes:
        if workers < 2:
            states = map(folder_state, folders)
        else:
            answers = [
                processes.enter_context(_asked(folders[place::workers])) for place in range(workers)
            ]
            # In turn, and not by threads: Ctrl-C would have to wait for them.
            states = (line.readline().decode().strip() for line in itertools.cycle(answers))
        bar = ProgressBar(folders, "looking", len(folders), unit="video", delay=1)
        return dict(zip(bar, states, strict=False))


@contextlib.contextmanager
def _asked(folders: Sequence[Path]) -> Iterator[IO[bytes]]:
    """Context with the states of folders, a line each, by a process of its own; no more if it dies.

    It is a plain one: those of `multiprocessing` begin with the program that has called us.
    """
    command = [sys.executable, "-c", _ANSWER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        try:
            with contextlib.suppress(BrokenPipeError), process.stdin as asked:
                asked.write(b"\0".join(os.fsencode(folder.absolute()) for folder in folders))
            yield process.stdout
        finally:
            process.kill()


def answer() -> None:
    """What such a process does: a line for each folder."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who has asked ends this one
    for folder in sys.stdin.buffer.read().split(b"\0"):
        sys.stdout.write(f"{folder_state(folder)}\n")
        sys.stdout.flush()
