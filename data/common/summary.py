"""What a command tells machines: --summary=FILE.json, and --known_problems=FILE, one of before.

The file is there as a whole or not at all. It is written when a command begins, with "ended" and
"exit_code" null, and again when it ends, however it ends: what has no end was killed.

    command, version, started, ended, exit_code
    error       the line that it ended with, or null
    inputs      what it was given
    done        what its outputs have, such as videos
    new, changed    of which what this run has made, or made again since files have changed
    gone        what earlier runs have done and is not among the usable inputs any more
    not_used    of each input that could not be used, or not to its end, the "reason", and a "key"
                that stays the same from run to run
    new_problems    keys of those that the known problems lack
    known       keys of known problems, for the run after this one
    outputs     files and folders that were written
"""

import datetime
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from absl import flags

from data.common.errors import InputError, reason_of
from data.common.logs import logger

ROOT = Path(__file__).resolve().parents[2]
LISTS = ("inputs", "done", "new", "changed", "gone", "outputs")

_summary = None  # of this process


def define_summary() -> None:
    """Defines --summary and --known_problems; `data.common.cli.run` does what they say."""
    told = {
        "summary": "JSON file for what was done and what could not be used, for other programs",
        "known_problems": "summary of an earlier run: exit code 1 for problems that it lacks alone",
    }
    for name, help_string in told.items():
        flags.DEFINE_string(name, None, help_string)
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])  # for --help


def note(problems: Iterable[str] = (), **lists: Iterable) -> None:
    """Notes for the summary: lines about what was not used, and things for its `LISTS`."""
    if _summary:
        _summary.problems += problems
        for name, things in lists.items():
            _summary.lists[name] += map(str, things)


def begin(argv: list[str]) -> "Summary":
    """The summary of this process, which begins now; raises `InputError` for a wrong path."""
    global _summary
    values = [getattr(flags.FLAGS, name, None) for name in ("summary", "known_problems")]
    path, known = (Path(value) if value else None for value in values)
    if path and path.is_dir():
        raise InputError(f"--summary={path}: a folder; expected a file to write")
    try:
        _summary = Summary(argv, path, known)
    except OSError as error:
        raise InputError(f"--summary={path}: cannot be written: {reason_of(error)}") from error
    return _summary


class Summary:
    """What a command has to say in its --summary.

    Args:
      command: its words.
      path: of the file; None for no file.
      known: file of an earlier run, or None; one that is not there yet knows nothing.
    """

    def __init__(self, command: list[str], path: Path | None, known: Path | None):
        self.path, self.problems = path, []
        self.lists = {name: [] for name in LISTS}
        self._facts = {"command": command, "version": path and version(), "started": _now()}
        self._known_path, self._known = known, _read_known(known) if known else set()
        self._write(None, None, known=self._known)

    def end(self, code: int, in_part: int, error: str | None = None) -> int:
        """Writes how the command ended; a line says so where that cannot be written.

        Args:
          code: its exit code.
          in_part: the exit code that says that something could not be used.
          error: the line that it ended with.

        Returns:
          The exit code; 0 for `in_part` if all problems are known.
        """
        keys = {key_of(problem) for problem in self.problems}
        # Else there may be problems that it has not come to; a mistake of ours has `in_part` too.
        is_over = error is None and code in (0, in_part)
        if is_over and (old := keys & self._known):
            text = "%d of %d problems are those that --known_problems=%s knows%s"
            end = "" if keys - old else ": no failure, exit code 0"
            logger.info(text, len(old), len(keys), self._known_path, end)
            code = code if keys - old else 0
        try:
            self._write(code, error, known=keys & self._known if is_over else self._known)
        except OSError as failure:  # the disk is full: what the command has to say matters more
            text = "--summary=%s: the end is not written: %s"
            logger.error(text, self.path, reason_of(failure))
        return code

    def _write(self, code: int | None, error: str | None, known: Iterable[str]) -> None:
        if not self.path:
            return
        reasons = {key_of(problem): problem for problem in self.problems}
        content = self._facts | {"ended": None if code is None else _now(), "exit_code": code}
        content |= {"error": error} | self.lists
        content["not_used"] = [{"key": key, "reason": reasons[key]} for key in reasons]
        content["new_problems"] = [key for key in reasons if key not in self._known]
        content["known"] = sorted(known)
        side = self.path.with_name(f".part-{self.path.name}")  # as data/storage/whole.py does
        self.path.parent.mkdir(parents=True, exist_ok=True)
        side.write_text(json.dumps(content, indent=1, ensure_ascii=True) + "\n")
        side.replace(self.path)


def key_of(problem: str) -> str:
    """A problem's key: the same for the same line."""
    return hashlib.sha256(os.fsencode(problem)).hexdigest()[:16]


def version() -> str:
    """The commit of this checkout, with "-dirty" where files were changed, or "unknown"."""
    if not (ROOT / ".git").exists():
        return "unknown"
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() or "unknown"


def _read_known(path: Path) -> set[str]:
    """Keys of the problems in a summary, and of those that were known to it."""
    try:
        found = json.loads(path.read_text())
        return {problem["key"] for problem in found["not_used"]} | set(found["known"])
    except FileNotFoundError:
        return set()
    except OSError as error:
        reason = reason_of(error)
        raise InputError(f"--known_problems={path}: cannot be read: {reason}") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(
            f"--known_problems={path}: not a summary; expected a file that --summary has written"
        ) from error


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
