"""Calls that workers on other machines make, and their results, in a folder that all of them see.

No worker is told anything but where the folder is, and which call to make; so it does not matter
who starts the workers, and whether one makes a call that another has begun. In the folder:

    <run>.calls        the calls of a run, in their order; gone when nobody waits for it any more
    <digest>.pickle    what a call returned, or the `InputError` that it raised
    <digest>.alive     a number that grows as long as a worker makes the call
    <digest>.failed    the line that says what else it raised

Pickled, as all that frameworks of clusters send: only who may change the data set writes here.
"""

import contextlib
import hashlib
import os
import pickle
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from data.common.errors import InputError, one_line
from data.storage.paths import AnyPath
from data.storage.whole import whole_file

RESULT, ALIVE, FAILED = ".pickle", ".alive", ".failed"
BEAT = 3.0  # seconds


class Spread(Protocol):
    """Who makes calls elsewhere."""

    def __call__(
        self, stage: str, calls: Mapping[str, Callable], keys: Mapping[str, str]
    ) -> Iterator[tuple[str, Any]]:
        """Makes calls, in any order and more than once where a worker dies.

        Args:
          stage: what they are for.
          calls: {name: function that can be pickled, with the keywords `stop` and `writer` as of
            `data.extraction.one_video.extract_video`}.
          keys: {name: text that changes with the result}: what an earlier run got is kept by it.

        Returns:
          (Name, result or the `InputError` that the call raised), in the order of `calls`.
        """


def digest_of(key: str) -> str:
    """What the files of a call are called by."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:32]


def write_calls(file: AnyPath, calls: Mapping[str, Callable]) -> None:
    """Writes {digest: call}."""
    _write(file, pickle.dumps(list(calls.items())))


def read_calls(file: AnyPath) -> list[tuple[str, Callable]]:
    """What `write_calls` wrote, by number."""
    return pickle.loads(file.read_bytes())


def read_result(folder: AnyPath, digest: str) -> Any:
    """What a call returned, or the `InputError` that it raised."""
    return pickle.loads((folder / f"{digest}{RESULT}").read_bytes())


def make_call(file: AnyPath, digest: str, call: Callable) -> None:
    """Makes a call of `file` in this worker, unless there is its result, or nobody waits for it."""
    folder = file.parent
    result, failed = folder / f"{digest}{RESULT}", folder / f"{digest}{FAILED}"
    if result.exists() or not file.exists():
        return
    with _beating(file, folder / f"{digest}{ALIVE}") as stop:
        try:
            found = call(stop=stop, writer=_writer())
        except InputError as error:
            found = error
        except Exception as error:
            failed.write_text(f"{type(error).__name__}: {one_line(error)}")
            raise
        if not stop.is_set():
            _write(result, pickle.dumps(found))
            failed.unlink(missing_ok=True)


def _write(file: AnyPath, content: bytes) -> None:
    with whole_file(file, writer=_writer()) as side:
        side.write_bytes(content)


def _writer() -> str:
    """No other worker's name; a process that died may go on where nobody sees it."""
    return f"{socket.gethostname()}-{os.getpid()}-"


@contextlib.contextmanager
def _beating(calls: AnyPath, alive: AnyPath) -> Iterator[threading.Event]:
    """Context in which a file says that this worker lives; yields what is set when `calls` goes."""
    done, stop = threading.Event(), threading.Event()

    def beat():
        number = 0
        while not stop.is_set():
            number += 1
            with contextlib.suppress(OSError):  # of a store, now and then: the next one counts
                alive.write_text(f"{_writer()}{number}")
                if not calls.exists():
                    stop.set()
            if done.wait(BEAT):
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        done.set()
        thread.join()
        alive.unlink(missing_ok=True)
