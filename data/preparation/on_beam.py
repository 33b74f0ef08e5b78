"""Makes calls on Apache Beam: `prepare.py --beam_pipeline_options=runner=...`.

Beam is imported by the processes alone that `beam_job` is for.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from data.common.configurations import ROOT
from data.common.errors import InputError
from data.common.machine import available_cores
from data.common.progress import ProgressBar
from data.common.stopping import StoppedError
from data.extraction.calls import ALIVE, FAILED, RESULT, digest_of, read_result, write_calls
from data.storage.folders import remove_folder
from data.storage.paths import AnyPath, is_remote

FLAG = "--beam_pipeline_options"
FOLDER = ".beam"  # in a dataset directory, while the dataset is made
DIRECT, DASK = "DirectRunner", "DaskRunner"
CLASSES = {
    DIRECT: "apache_beam.runners.portability.fn_api_runner.FnApiRunner",  # with several processes
    DASK: "apache_beam.runners.dask.dask_runner.DaskRunner",  # Beam does not know it by its name
}
# Those have the work of a worker that died done again, and end where that fails; others would wait
# for the dead for ever.
RETRYING = ("daskrunner", "dataflowrunner", "flinkrunner", "sparkrunner")
# Seconds without a sign of life, from one that works and from anybody; a minute has to do.
PATIENCE, PATIENCE_AT_START = 40.0, 50.0
POLL, POLL_REMOTE = 0.5, 8.0  # seconds
END_SECONDS = 10.0  # in which a job ends by itself
_JOB = "from data.preparation.beam_job import main; main()"


class Beam:
    """A `data.extraction.calls.Spread`: Beam's workers make the calls.

    Args:
      options: those of a pipeline, NAME=VALUE with commas between them.
      root: dataset directory, which all workers see under this path.
      workers: processes of the DirectRunner; None for one per core.

    Raises:
      InputError: Beam is not installed, or an option is not to be understood.
    """

    def __init__(self, options: str, root: AnyPath, workers: int | None = None):
        self._runner, self._flags = read_options(options, workers)
        self._folder = root / FOLDER

    def __call__(
        self, stage: str, calls: Mapping[str, Callable], keys: Mapping[str, str]
    ) -> Iterator[tuple[str, Any]]:
        """As `Spread` says.

        Raises:
          InputError: the job failed; the message says why.
          StoppedError: a worker died, and nobody does its work again.
        """
        folder = self._folder / stage
        folder.mkdir(parents=True, exist_ok=True)
        digests = {name: digest_of(keys[name]) for name in calls}
        found = _names(folder)
        for left in (name for name in found if not name.endswith(RESULT)):
            (folder / left).unlink(missing_ok=True)  # of a run that was killed
        todo = {d: calls[name] for name, d in digests.items() if d + RESULT not in found}
        if todo:
            self._make(folder / f"{uuid.uuid4().hex}.calls", todo, stage)
        for name, digest in digests.items():
            yield name, read_result(folder, digest)

    def forget(self) -> None:
        """Removes what is kept between runs."""
        remove_folder(self._folder)

    def _make(self, file: AnyPath, todo: Mapping[str, Callable], stage: str) -> None:
        """Has a job make the calls, and watches it."""
        write_calls(file, todo)
        place = str(file) if is_remote(file) else str(file.absolute())
        job = {"file": place, "count": len(todo), "flags": self._flags, "folder": str(Path.cwd())}
        reason = ""
        with tempfile.NamedTemporaryFile(prefix="beam-", suffix=".log", delete=False) as log:
            try:
                with _started(job, log) as process:
                    is_whole = self._watch(process, file.parent, todo.keys(), stage)
                    reason = "" if is_whole else _reason(file.parent, Path(log.name))
            finally:
                file.unlink(missing_ok=True)  # now workers that still live stop
                if not reason:
                    Path(log.name).unlink()
        if reason:
            raise InputError(f"{FLAG}: {self._runner}: {reason}")

    def _watch(self, process: subprocess.Popen, folder: AnyPath, todo, stage: str) -> bool:
        """Waits for the end of a job; returns whether there are all results."""
        watch, is_remote_folder = Watch(), is_remote(folder)
        with ProgressBar(desc=stage, total=len(todo), unit="video") as bar:
            while True:
                has_ended = process.poll() is not None
                names = _names(folder)
                bar.update(sum(digest + RESULT in names for digest in todo) - bar.n)
                if has_ended:
                    return bar.n == len(todo)
                alive = {name: _text(folder / name) for name in names if name.endswith(ALIVE)}
                if watch.is_silent(alive, bar.n):
                    if bar.n == len(todo):
                        return True  # who died had done its part
                    if self._runner.lower() not in RETRYING:
                        raise StoppedError(
                            f"{FLAG}: {self._runner}: a worker died, or none began; {bar.n} of "
                            f"{len(todo)} videos are done and kept; the same command goes on"
                        )
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_REMOTE if is_remote_folder else POLL)


class Watch:
    """Notices when there is no sign of life any more, by this machine's clock alone."""

    def __init__(self):
        self._seen, self._done, self._last = {}, 0, time.monotonic()

    def is_silent(self, alive: Mapping[str, str], done: int) -> bool:
        """Whether somebody who works is silent for too long, or all are.

        Args:
          alive: what those who work say, which changes as long as they live.
          done: how many calls are.
        """
        now = time.monotonic()
        before, self._seen = self._seen, {}
        for name, text in alive.items():
            said, when = before.get(name, (None, now))
            self._seen[name] = (text, when if text == said else now)
        if done != self._done or alive:
            self._done, self._last = done, now
        if now - self._last > PATIENCE_AT_START:
            return True
        return any(now - when > PATIENCE for _, when in self._seen.values())


def read_options(options: str, workers: int | None = None) -> tuple[str, list[str]]:
    """The name of the runner, and the options as Beam takes them from a command line.

    Raises:
      InputError: see `Beam`.
    """
    if not find_spec("apache_beam"):
        raise InputError(
            f"{FLAG}: Apache Beam is not installed here; expected an environment with "
            "requirements-beam.txt, as `make test-beam` makes it: .venv-beam/bin/python"
        )
    flags = {}
    for option in filter(None, re.split(r",(?=\s*[-\w]+(?:=|,|$))", options)):
        name, _, value = option.strip().partition("=")
        if not re.fullmatch(r"\w+", name):
            raise InputError(f"{FLAG}: {option!r}; expected NAME=VALUE,NAME=VALUE")
        flags.setdefault(name, []).append(value)
    if not flags.get("runner", [""])[0]:
        raise InputError(f"{FLAG}={options}: no runner; expected runner=DirectRunner or another")
    (runner, *_) = flags["runner"]
    runner = next((known for known in CLASSES if known.lower() == runner.lower()), runner)
    flags["runner"] = [CLASSES.get(runner, runner)]
    if runner == DIRECT:
        flags.setdefault("direct_running_mode", ["multi_processing"])
        flags.setdefault("direct_num_workers", [str(workers or available_cores())])
    if runner == DASK and "dask_npartitions" not in flags:
        flags.setdefault("dask_partition_size", ["1"])  # who dies takes one video along
    listed = [(name, value) for name, values in flags.items() for value in values]
    return runner, [f"--{name}={value}" if value else f"--{name}" for name, value in listed]


@contextlib.contextmanager
def _started(job: Mapping, log) -> Iterator[subprocess.Popen]:
    """Context with the process of a job, which writes to a log; at the end all it started ends."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        [sys.executable, "-c", _JOB, json.dumps(job)],
        env=os.environ | {"PYTHONPATH": path},
        stdin=subprocess.PIPE,  # closed when this process ends, however it does
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _reason(folder: AnyPath, log: Path) -> str:
    """Why a job has failed: what a worker says, or else the last line of the log."""
    said = [_text(folder / name) for name in _names(folder) if name.endswith(FAILED)]
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    said += [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)][-1:]
    said += [line for line in lines if line][-1:]
    return f"{next(filter(None, said), 'it ended')[:300]}; its log: {log}"


def _names(folder: AnyPath) -> set[str]:
    """The names of files in a folder."""
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _text(file: AnyPath) -> str:
    try:
        return file.read_text()
    except OSError:  # gone meanwhile
        return ""
