"""A job of Apache Beam that makes calls: the process that hands it to a runner, and its workers.

In a process of its own, since some runners wait for ever for a worker that has died: who started it
ends it, with all processes that it has started.
"""

import contextlib
import json
import os
import signal
import sys
import threading
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineState

from data.extraction.calls import make_call, read_calls
from data.storage.paths import to_path

CANCEL_SECONDS = 5.0  # for a cluster to take notice


class MakeCall(beam.DoFn):
    """Makes the calls of a file by their numbers."""

    def __init__(self, file: str, folder: str):
        self._file, self._folder = file, folder

    def setup(self):
        """Reads the calls, once for a worker; nothing of them is sent through the runner."""
        if Path(self._folder).is_dir():
            os.chdir(self._folder)  # where relative paths begin
        self._path = to_path(self._file)
        self._calls = read_calls(self._path) if self._path.exists() else None

    def process(self, number):
        """Makes one call."""
        if self._calls:  # else nobody waits for them any more
            make_call(self._path, *self._calls[number])


def submit(file: str, count: int, flags: list[str], folder: str) -> None:
    """Runs the job, and waits for it; raises what the runner raises.

    Args:
      file: of `data.extraction.calls.write_calls`.
      count: how many calls are in it.
      flags: the options of the pipeline.
      folder: the working directory of all workers, where they see it.
    """
    pipeline = beam.Pipeline(options=PipelineOptions(flags))
    numbers = pipeline | beam.Create(range(count)) | beam.Reshuffle()
    _ = numbers | "MakeCalls" >> beam.ParDo(MakeCall(file, folder))
    running = []
    threading.Thread(target=_end_with_parent, args=[running], daemon=True).start()
    running.append(pipeline.run())
    state = running[0].wait_until_finish()
    if state not in (None, PipelineState.DONE):
        raise RuntimeError(f"the job ended as {state}")


def _end_with_parent(running: list) -> None:
    """Waits until the process that started this one ends, or asks it to; cancels, and ends it."""
    sys.stdin.read()
    canceller = threading.Thread(target=_cancel, args=[running], daemon=True)
    canceller.start()
    canceller.join(CANCEL_SECONDS)
    os.killpg(0, signal.SIGKILL)


def _cancel(running: list) -> None:
    with contextlib.suppress(Exception):  # each runner has its own; the process ends anyway
        running[0].cancel()


def main() -> None:
    """What the process does, which is given the arguments of `submit` as JSON."""
    arguments = json.loads(sys.argv[1])
    submit(**arguments)
    sys.stdout.flush()
    os._exit(0)  # threads of the runner may be left
