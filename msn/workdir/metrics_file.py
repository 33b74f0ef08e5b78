"""metrics.jsonl: a line of JSON for each step that is logged, none of steps that are done again."""

import errno
import json
import math
import os
import sys
from collections.abc import Collection

from data.storage.paths import AnyPath, is_remote
from data.storage.whole import whole_file

METRICS = "metrics.jsonl"


def open_metrics(path: AnyPath) -> "MetricsFile | RemoteMetricsFile":
    """Opens a file of metrics where it ends."""
    return (RemoteMetricsFile if is_remote(path) else MetricsFile)(path)


class MetricsFile:
    """A file to which each line is written at once."""

    def __init__(self, path: AnyPath):
        self._path = path
        self._file = path.open("ab", buffering=0)  # nothing is left to write when it closes

    def append(self, line: bytes) -> None:
        """Adds a line that ends as one; raises `OSError` on a full disk."""
        if self._file.write(line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def rewind(self, step: int) -> None:
        """Drops what follows the line of a step."""
        self._file.truncate(sum(map(len, lines_until(step, self._path.read_bytes()))))

    def sync(self) -> None:
        """Waits until all lines are on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class RemoteMetricsFile:
    """A file to which nothing can be added: all of it is written again, when it is synced."""

    def __init__(self, path: AnyPath):
        self._path = path
        self._lines = lines_until(math.inf, path.read_bytes() if path.is_file() else b"")

    def append(self, line: bytes) -> None:
        """Adds a line that ends as one."""
        self._lines.append(line)

    def rewind(self, step: int) -> None:
        """Drops what follows the line of a step."""
        self._lines = lines_until(step, b"".join(self._lines))

    def sync(self) -> None:
        """Writes all lines; raises `OSError`."""
        with whole_file(self._path) as side:
            side.write_bytes(b"".join(self._lines))

    def close(self) -> None:
        self.sync()


def lines_until(step: int, content: bytes) -> list[bytes]:
    """The lines of a file until that of a step; steps increase."""
    return [line for line in content.splitlines(keepends=True) if _step_of(line) <= step]


def lines_after(step: int, content: bytes) -> list[dict]:
    """The values of the lines of a file behind that of a step; without half a line at its end."""
    rows = []
    for line in reversed(content.splitlines(keepends=True)):
        if (found := _step_of(line)) <= step:
            break
        if found < math.inf:
            rows.append(json.loads(line))
    return rows[::-1]


def last_with(names: Collection[str], content: bytes) -> dict:
    """The values of a file's last line that has one of these; {} where there is none."""
    rows = (json.loads(line) for line in reversed(lines_until(sys.maxsize, content)))
    return next((row for row in rows if not row.keys().isdisjoint(names)), {})


def _step_of(line: bytes) -> float:
    """The step that a line is about; infinite for half a line of a killed run."""
    try:
        return json.loads(line)["step"] if line.endswith(b"\n") else math.inf
    except ValueError:
        return math.inf
