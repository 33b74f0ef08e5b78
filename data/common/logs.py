"""What is said on the way: the project's logger; and what libraries in C write to stderr.

Called from Python, nothing is said until the program around it wants that:

    logging.basicConfig(level=logging.INFO)                       all there is
    logging.getLogger("endoscopy_msn").setLevel(logging.WARNING)  without what goes as it should

Commands print all of it to stderr (`data/common/cli.py`).
"""

import contextlib
import io
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

logger = logging.getLogger("endoscopy_msn")
logger.addHandler(logging.NullHandler())  # else Python writes warnings to stderr


@contextlib.contextmanager
def unconfigured() -> Iterator[None]:
    """Context that leaves logging as unconfigured as it was.

    absl's first line, such as that of a SavedModel, gives the root logger a handler, which would
    write our warnings from then on.
    """
    before = list(logging.root.handlers)
    try:
        yield
    finally:
        for handler in set(logging.root.handlers) - set(before):
            logging.root.removeHandler(handler)


@contextlib.contextmanager
def caught_stderr(is_shown_after_errors: bool = False) -> Iterator[None]:
    """Context in which nothing that the process writes to stderr is seen.

    Of all threads: one at a time, and briefly.

    Args:
      is_shown_after_errors: whether it is written after all if something is raised.
    """
    with tempfile.TemporaryFile() as caught:
        stderr = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            yield
        except Exception:  # not Ctrl-C
            if is_shown_after_errors:
                caught.seek(0)
                os.write(stderr, caught.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def open_standard_streams() -> None:
    """Errors of standard output, as of a full disk or a closed pipe, name it from now on.

    Streams that are closed (`2>&-`) go nowhere: a file that gets their number would receive what
    libraries in C write to them, and so would one of a process that is started from here. Names of
    files that are printed can be any bytes.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
            os.set_inheritable(opened, True)
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    output = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    is_unbuffered = getattr(output, "write_through", False)  # python -u
    raw = _NamedOutput(1, "wb", closefd=False)
    sys.stdout = io.TextIOWrapper(
        raw if is_unbuffered else io.BufferedWriter(raw),
        output.encoding,
        errors="backslashreplace",
        line_buffering=bool(output.line_buffering),
        write_through=is_unbuffered,
    )


class _NamedOutput(io.FileIO):
    """After its first error it takes everything: Python writes what is left again at its end."""

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content)
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            raise OSError(error.errno, error.strerror, "standard output") from error
