"""The one exception for what the user, not the program, has to put right."""

import errno
import math
import numbers
import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

# How messages say that an input was used in part; others mean that it was not used.
PARTLY_USED, ELSE_USED, USED_UP_TO = "used as far as it goes", "all else is used", "used up to part"

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, a quota, or a limit of a file
# How TensorFlow tells of a file that cannot be written, and before it names of its operations.
_FULL = re.compile(r"^(.*?); (No space left on device|Disk quota exceeded|File too large)", re.M)
_OPERATIONS = re.compile(r"^\s*(?:\[*{{.*?}}\]*\s*)+")
TURNING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


class InputError(ValueError):
    """Wrong input: a path, a file's content, a configuration value.

    The message is one line: which input, what was found, what was expected. Commands print it
    without a stack trace and exit with code 2 (see `data/common/cli.py`).
    """


class LockedError(InputError):
    """Another process is at work at a place; commands exit with code 75, "try again"."""


def say_problem(problem: str) -> str:
    """A problem as commands print it: what was used in part is not called unused."""
    is_used = any(words in problem for words in (PARTLY_USED, ELSE_USED, USED_UP_TO))
    return f"used in part: {problem}" if is_used else f"not used: {problem}"


def one_line(error: Exception, length: int = 200) -> str:
    """What another library's error says, for a message of ours: never empty, cut at `length`."""
    message = str(error)
    if message.startswith("Graph execution error"):  # TensorFlow: where in the code, then what
        message = message.rpartition("\n\n")[2]
    message = _OPERATIONS.sub("", message)
    return " ".join(message.split())[:length] or type(error).__name__


def reason_of(error: OSError) -> str:
    """'no such file or directory': why something was not possible, without the path."""
    return (error.strerror or one_line(error)).lower()


def describe(error: OSError) -> str:
    """'no such file or directory: x.png' instead of '[Errno 2] ...'."""
    path = error.filename
    if error.errno in NO_ROOM and error.filename2 is not None:  # `shutil` names what it copies, too
        path = error.filename2
    if error.strerror and path is not None:
        return f"{reason_of(error)}: {path}"
    return str(error)


def say_full(error: BaseException) -> str:
    """'no space left on device: x.png' of what another library says of a full disk, else "".

    Without the path where it is not all that stands before the reason.
    """
    found = _FULL.search(str(error))
    if not found:
        return ""
    path = _OPERATIONS.sub("", found[1])
    begin = Path(*Path(path).parts[: 2 if path.startswith("/") else 1])
    is_path = path and os.path.lexists(begin)
    return f"{found[2].lower()}: {path}" if is_path else found[2].lower()


def some(things: Sequence, separator: str = ", ", limit: int = 3) -> str:
    """The first of several things as a line, and how many more there are: "a, b, c and 9 more"."""
    first = separator.join(str(thing) for thing in things[:limit])
    return first if len(things) <= limit else f"{first} and {len(things) - limit} more"


def is_utf8(path: str | os.PathLike) -> bool:
    """Whether a path can be written as text: a file system takes any bytes for a name."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def has_controls(path: str | os.PathLike) -> bool:
    """Whether line breaks or other control characters are in a path: no table can hold them."""
    text = str(path)
    return not text.isprintable() and any(map(_is_control, text))


def printable(path: str | os.PathLike, kept: str = "") -> str:
    """A path, or a message, in one line: what cannot be printed as its numbers.

    Those are bytes that are not UTF-8, and control characters other than those in `kept`.
    """
    text = os.fsencode(path).decode(errors="backslashreplace")
    if not has_controls(text):
        return text
    return "".join(repr(x)[1:-1] if _is_control(x) and x not in kept else x for x in text)


def _is_control(letter: str) -> bool:
    """Of Unicode's: controls, breaks of lines and paragraphs, what turns the direction of text."""
    return unicodedata.category(letter) in ("Cc", "Zl", "Zp") or letter in TURNING


def check_range(name: str, value: float, least: float, largest: float = math.inf) -> None:
    """Raises `InputError` unless `value` is finite and least <= value <= largest."""
    is_number = isinstance(value, numbers.Real)
    if not (is_number and math.isfinite(value) and least <= value <= largest):
        limit = "" if largest == math.inf else f" and at most {largest}"
        raise InputError(f"{name} is {value!r}; expected at least {least}{limit}")


def check_ranges(values: Mapping[str, float | None], ranges: Iterable[tuple]) -> None:
    """Checks several values as `check_range` does; None, for a value that is not set, passes.

    Args:
      values: by name.
      ranges: (name, least value, largest value) of each.
    """
    for name, least, largest in ranges:
        if values[name] is not None:
            check_range(name, values[name], least, largest)


def check_choices(values: Mapping, choices: Mapping[str, Collection]) -> None:
    """Raises `InputError` unless each value that `choices` names is one of those it allows."""
    for name, allowed in choices.items():
        if values[name] not in allowed:
            expected = ", ".join("empty" if choice == "" else str(choice) for choice in allowed)
            raise InputError(f"{name} is {values[name]!r}; expected {expected}")


def check_names(name: str, values) -> None:
    """Raises `InputError` unless `values` are strings that are not empty."""
    for value in values:
        if not isinstance(value, str) or not value:
            raise InputError(f"{name}: found {value!r}; expected a name in quotes")
