"""Sweeps: a list of overrides of one configuration, a cell a line; and who runs which of them.

A file has a line for each cell: `key=value key=value ...`, each as after `--config.` on the command
line. Quotes, and # for a comment, are as in a shell.
"""

import ast
import contextlib
import functools
import hashlib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from data.common.configurations import unknown_part, with_overrides
from data.common.errors import InputError, one_line, reason_of
from data.storage.paths import file_name

LONGEST_NAME = 100  # of a folder, in characters
WORDS = {"true": True, "false": False, "none": None}


@dataclass(frozen=True)
class Line:
    """A cell of a sweep.

    Attributes:
      name: of its folder, by what it sets: it stays the same when other lines come or go.
      overrides: {dotted key: value}.
    """

    name: str
    overrides: Mapping[str, Any]


@dataclass(frozen=True)
class Shard:
    """Which of several processes this is, that share the cells of a grid: I of N, from 1."""

    number: int = 1
    count: int = 1

    def has(self, place: int) -> bool:
        """Whether the cell at this place of the list is one of its own."""
        return place % self.count == self.number - 1


def read_shard(text: str | None) -> Shard:
    """The shard that I/N names, all for None; raises `InputError`."""
    if text is None:
        return Shard()
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise InputError(f"--shard is {text!r}; expected I/N, as 1/4 to 4/4 for four processes")
    return Shard(int(number), int(count))


def read_sweep(path: str | Path, config: ConfigDict) -> list[Line]:
    """The cells of a sweep of a configuration, in the order of the file.

    Raises:
      InputError: no such file, no cell in it, or a line that is none.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"--sweep={path}: not UTF-8; expected a text file") from error
    except OSError as error:
        reason = reason_of(error)
        raise InputError(f"--sweep={path}: {reason}; expected a text file") from error
    lines, places = [], {}
    for number, row in enumerate(text.splitlines(), 1):
        where = f"{path}, line {number}"
        if not (words := _words(row, where)):
            continue
        line = Line(_name(words), _overrides(words, config, where))
        other = places.setdefault(line.name.casefold(), number)
        if other != number:
            raise InputError(f"{where}: has the same folder, {line.name}, as line {other}")
        lines.append(line)
    if not lines:
        raise InputError(f"--sweep={path}: no cells in it; expected lines of key=value key=value")
    return lines


def _words(row: str, where: str) -> list[str]:
    try:
        return shlex.split(row, comments=True)
    except ValueError as error:
        raise InputError(f"{where}: {one_line(error).lower()}") from error


def _name(words: list[str]) -> str:
    name = file_name("_".join(words))
    if len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(" ".join(words).encode()).hexdigest()[:8]
    return f"{name[: LONGEST_NAME - 9]}-{digest}"


def _overrides(words: list[str], config: ConfigDict, where: str) -> dict[str, Any]:
    found = {}
    for word in words:
        key, equals, text = word.partition("=")
        key = key.removeprefix("--config.")
        if not equals:
            raise InputError(f"{where}: found {word!r}; expected key=value")
        if unknown := unknown_part(config, key):
            raise InputError(f"{where}: {unknown}")
        if key in found or key == "workdir":
            why = "twice" if key in found else "which each cell has of its own, in the sweep's"
            raise InputError(f"{where}: {key} {why}")
        found[key] = _value(config, key, text, where)
    return found


def _value(config: ConfigDict, key: str, text: str, where: str):
    """A value as the configuration has it under this key: a number, a tuple, a text."""
    *above, last = key.split(".")
    node = functools.reduce(lambda node, part: node[part], above, config)
    if node.get_type(last) is str:  # "1" too, and "none" where there is a text by default
        return None if node[last] is None and text.lower() == "none" else text
    candidates = [WORDS[text.lower()]] if text.lower() in WORDS else []
    with contextlib.suppress(ValueError, SyntaxError):
        candidates.append(ast.literal_eval(text))
    for value in (*candidates, text):
        try:
            with_overrides(config, {key: value})
        except (TypeError, ValueError) as error:
            reason = one_line(error)
        else:
            return value
    raise InputError(f"{where}: {key} is {text!r}; {reason}")
