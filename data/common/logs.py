"""What is said on the way: the project's logger; and what libraries in C write to stderr.

Called from Python, nothing is said until the program around it wants that:

    logging.basicConfig(level=logging.INFO)                       all there is
    logging.getLogger("endoscopy_msn").setLevel(logging.WARNING)  without what goes as it should

Commands print all of it to stderr (`data/common/cli.py`).
"""

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator

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
