"""Stopping by a signal: between two steps where work has to be saved first, elsewhere at once.

SIGTERM (batch systems, containers), SIGHUP (a terminal that is closed), SIGUSR1 (Slurm's
--signal=USR1@90) and Ctrl-C ask for the same. What a process was started to ignore, as SIGHUP under
nohup, it goes on to ignore.

Commands call `end_at_once` before they import anything else: until their work begins, and again
when it has ended, a signal ends them in the middle of whatever Python is about.

Those are the commands' signals. In a program that calls this as a library, signals are that
program's: only Ctrl-C, the stop button of a notebook, is noted until work is saved, and that where
nobody has a handler of his own, as Python's `asyncio.run` does.
"""

import atexit
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator

SIGNALS = {
    signal.SIGTERM: "SIGTERM",
    signal.SIGHUP: "SIGHUP",
    signal.SIGUSR1: "SIGUSR1",
    signal.SIGINT: "Ctrl-C",
}
TRY_AGAIN = 75  # exit code, EX_TEMPFAIL: stopped, or another process is at work at the same place

_commands = []  # of this process, as long as they run: one or none
_outside = {"code": TRY_AGAIN, "line": "nothing was begun; start it again"}  # of a command's work


class StoppedError(KeyboardInterrupt):
    """A signal stopped a run; the message says how to go on.

    Like Ctrl-C it is no `Exception`: nothing that copes with errors keeps it from ending the run.
    """


class StopSignal:
    """Context in which a signal is noted instead of ending the process; Ctrl-C twice ends it.

    Outside of `ended_by_signals`, Ctrl-C alone.

    Attributes:
      requested: name of the signal that came, "" before.
    """

    def __enter__(self):
        self.requested = ""
        self._handled = contextlib.ExitStack()
        self._before = self._handled.enter_context(_handled_by(self._note, _ours()))
        return self

    def _note(self, number, frame):
        before = self._before[number]
        if number == signal.SIGINT and self.requested == SIGNALS[number] and callable(before):
            before(number, frame)
        if _commands and not self.requested:
            os.write(2, f"\n{SIGNALS[number]}: stopping as soon as all is saved\n".encode())
        self.requested = SIGNALS[number]

    def __exit__(self, *_):
        self._handled.close()


@contextlib.contextmanager
def ended_by_signals(kept: str) -> Iterator[None]:
    """Context in which a signal raises `StoppedError`; Ctrl-C twice ends the process.

    Args:
      kept: what is kept, and how to go on: the end of the message.
    """
    came = []

    def end(number, _):
        if not came:
            came.append(number)
            raise StoppedError(f"stopped by {SIGNALS[number]}: {kept}")
        if number == signal.SIGINT:
            os._exit(TRY_AGAIN)  # what is being ended takes too long

    _commands.append(kept)
    try:
        with _handled_by(end, SIGNALS):
            yield
    finally:
        _commands.pop()


def end_at_once() -> None:
    """Has signals end the process with one line and code 75, outside of `ended_by_signals`.

    Without an exception: one that comes up in an import is a stack trace, or an error of the
    module's, or nothing at all where a library passes over it.
    """

    def end(number, _):
        if _outside["line"]:
            os.write(2, f"stopped by {SIGNALS[number]}: {_outside['line']}\n".encode())
        os._exit(_outside["code"])

    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, end)
    # Python, when it ends, goes back to what it finds set by nobody: to be killed by Ctrl-C.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def has_ended(code: int) -> None:
    """A command has ended with this code, which a signal of `end_at_once` does not change now."""
    _outside.update(code=code, line="")


def leave_to_parent() -> None:
    """In a worker process: ignores what a terminal or a batch system sends to all of a group."""
    for number in set(SIGNALS) - {signal.SIGTERM}:  # by which the parent ends it
        signal.signal(number, signal.SIG_IGN)


def _ours() -> tuple[int, ...]:
    """The signals that work which has to be saved may note."""
    if _commands:
        return tuple(SIGNALS)
    return (signal.SIGINT,) if signal.getsignal(signal.SIGINT) == signal.default_int_handler else ()


@contextlib.contextmanager
def _handled_by(handler: Callable, numbers: Iterable[int]) -> Iterator[dict]:
    """Context with a handler for signals, but for ignored ones; yields those before.

    Outside of the main thread, which alone may set handlers, it does nothing.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in numbers}
        before = {n: found for n, found in handlers.items() if found != signal.SIG_IGN}
    terminals = [output for output in (1, 2) if os.isatty(output)]

    def handle(number, frame):
        for output in terminals:
            if not os.isatty(output):  # closed: to write there would be an error
                os.dup2(os.open(os.devnull, os.O_WRONLY), output)
        handler(number, frame)

    for number in before:
        signal.signal(number, handle)
    try:
        yield before
    finally:
        for number, found in before.items():
            signal.signal(number, found)
