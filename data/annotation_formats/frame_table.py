"""Tables with a row per annotated frame or second: the official text files, and what is like them.

The official format: columns separated by tabs, a header line, the source frame's number (from 0, in
Cholec80 25 a second) in the first column. Rows are identified by that number alone, never by their
position: files with missing, shuffled or repeated rows give right labels or none.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data.annotation_formats.delimited import Table, check_names, read_table, refuse_rows
from data.annotation_formats.labels import MISSING, PHASE, UNKNOWN, Moments
from data.common.errors import InputError, some
from data.dataset.audit import Audit
from data.dataset.cholec80 import LABEL_FPS, SOURCE_FPS, TOOLS
from data.storage.whole import whole_file

TOOLS_GROUP = "tools"
FOLDERS = {PHASE: "phase_annotations", "tool": "tool_annotations"}  # in a dataset directory
_PRESENCE = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1, "no": 0, "yes": 1}


def read_official(path: Path, audit: Audit, group: str) -> Moments:
    """Reads `<video>-phase.txt` or a file such as `<video>-tool.txt`.

    Args:
      path: the file.
      audit: takes what is wrong; the usable rows are returned.
      group: "phase", or the multi-label group of the columns.

    Raises:
      InputError: the file is missing, empty or no such table. The message names the line.
    """
    table = read_table(path, audit)
    names = [column.casefold() for column in table.columns]
    if names[0] != "frame" or (group == PHASE and PHASE not in names):
        wanted = "Frame Phase" if group == PHASE else "Frame, then one name per column"
        raise InputError(f"{path}:1: header {some(table.columns, ' ', 8)!r}; expected {wanted}")
    columns = [names.index(PHASE)] if group == PHASE else list(range(1, len(names)))
    return read_moments(table, 0, columns, group, audit)


def read_moments(
    table: Table,
    number: int,
    columns: Sequence[int],
    group: str,
    audit: Audit,
    fps: float | None = None,
) -> Moments:
    """The labels of one video in a table with a row per frame.

    Args:
      table: its rows.
      number: the column with the frames' numbers.
      columns: the one with the phases, or those of a multi-label group.
      group: "phase" or the group.
      audit: takes what is wrong.
      fps: numbers per second; None where that is not known yet.

    Raises:
      InputError: no row is left.
    """
    frames = table.whole_numbers(number)
    expected = (
        f"a frame number, without marks between thousands, in the column {table.columns[number]!r}"
    )
    table = refuse_rows(table, frames >= 0, expected, audit)
    frames = frames[frames >= 0]
    if not len(frames):
        raise InputError(f"{table.path}: no rows; expected one per annotated frame")
    if group == PHASE:
        names, values, lines = _phases(table, columns[0], audit)
    else:
        names = tuple(table.columns[column].rpartition("/")[2] for column in columns)
        values = np.stack([_presence(table, column, audit) for column in columns], axis=1)
        lines = (1,) * len(names)
    frames, values = _in_order(table, frames, values, audit)
    if fps is None:
        _remark_gaps(table.path, frames, audit)
    return Moments(table.path, group, names, frames, values, fps, lines=lines)


def is_presence(table: Table, column: int) -> bool:
    """Whether a column has 0 and 1, or words for them, and else only marks of what is missing."""
    texts, places = table.texts(column)
    known = np.array([text.casefold() in _PRESENCE for text in texts] or [False])
    fits = np.array([text.casefold() in MISSING or text == "-1" for text in texts] or [False])
    return bool(len(places)) and bool(known[places].any() and (known | fits)[places].all())


def annotation_files(root: Path, video: str) -> dict[str, Path]:
    """{kind: file}: where a dataset has the annotations of a video that Cholec80 has."""
    return {kind: root / folder / f"{video}-{kind}.txt" for kind, folder in FOLDERS.items()}


def is_annotated(root: Path, video: str) -> bool:
    """Whether a video has both annotation files of Cholec80."""
    return all(file.is_file() for file in annotation_files(root, video).values())


def write_annotations(
    root: Path, video: str, labels: Mapping[int, tuple[str, Sequence]], *, replace: bool
) -> None:
    """Writes the annotation files of a video as Cholec80 has them.

    Each of the 25 source frames of a second gets its phase.

    Args:
      root: dataset directory.
      video: its name.
      labels: {second: (name of the phase, seven times 0 or 1)}.
      replace: whether a file that is there is replaced; else it is kept.
    """
    step = SOURCE_FPS // LABEL_FPS
    phases, tools = ["Frame\tPhase"], ["\t".join(("Frame", *TOOLS))]
    for second, (phase, presence) in labels.items():
        first = step * second
        phases += [f"{frame}\t{phase}" for frame in range(first, first + step)]
        tools.append("\t".join(map(str, (first, *presence))))
    for path, rows in zip(annotation_files(root, video).values(), (phases, tools), strict=True):
        if path.is_file() and not replace:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as side:
            side.write_text("\n".join(rows) + "\n")


def _phases(table: Table, column: int, audit: Audit) -> tuple[tuple, np.ndarray, tuple]:
    """The names that occur, int16 [rows] positions in them, and the first line of each."""
    texts, places = table.texts(column)
    used, firsts = np.unique(places, return_index=True)
    order = used[np.argsort(firsts)]
    check_names(table, column, [texts[n] for n in used if texts[n].casefold() not in MISSING])
    names, lines, ids = [], [], np.full(len(texts), UNKNOWN, np.int16)
    for code in order:
        text, line = texts[code], int(table.lines[np.argmax(places == code)])
        if text.casefold() in MISSING:
            count = int((places == code).sum())
            audit.remark(f"{table.path}:{line}: {text!r} is not a phase ({count} rows without one)")
        elif text in names:
            ids[code] = names.index(text)
        else:
            ids[code] = len(names)
            names.append(text)
            lines.append(line)
    return tuple(names), ids[places], tuple(lines)


def _presence(table: Table, column: int, audit: Audit) -> np.ndarray:
    """int8 [rows], 1, 0 or -1 where a cell says neither: each such content is a problem."""
    texts, places = table.texts(column)
    values = np.array([_PRESENCE.get(text.casefold(), UNKNOWN) for text in texts], np.int8)
    for code, text in enumerate(texts):
        wrong = np.flatnonzero(places == code)
        if values[code] != UNKNOWN or not len(wrong):
            continue
        where = f"{table.path}:{table.lines[wrong[0]]}: {table.columns[column]}: {text!r}"
        if text.casefold() in MISSING or text == "-1":
            audit.remark(f"{where} is neither 1 nor 0 ({len(wrong)} rows without a label)")
        else:
            audit.problem(f"{where} is unknown ({len(wrong)} rows); expected 1 or 0")
    return values[places]


def _in_order(
    table: Table, frames: np.ndarray, values: np.ndarray, audit: Audit
) -> tuple[np.ndarray, np.ndarray]:
    """Sorts rows by frame and drops repeated ones; contradicting ones become unknown."""
    path, numbers = table.path, table.lines
    steps = np.diff(frames)
    if (steps > 0).all():
        return frames, values
    if (steps < 0).any():
        row = int(np.argmax(steps < 0))
        audit.remark(
            f"{path}:{numbers[row + 1]}: frame {frames[row + 1]} comes after {frames[row]}; "
            "rows are found by frame number all the same"
        )
    order = np.argsort(frames, kind="stable")
    frames, values, numbers = frames[order], values[order], numbers[order]
    is_repeated = np.diff(frames, prepend=frames[0] - 1) == 0
    if is_repeated.any():
        row = int(np.argmax(is_repeated))
        audit.remark(
            f"{path}:{numbers[row]}: frame {frames[row]} was there before "
            f"({is_repeated.sum()} rows are repeated)"
        )
    first = np.maximum.accumulate(np.where(is_repeated, 0, np.arange(len(frames))))
    contradicts = values != values[first]
    contradicts = contradicts.any(axis=1) if values.ndim == 2 else contradicts
    if contradicts.any():
        row = int(np.argmax(contradicts))
        audit.problem(
            f"{path}:{numbers[row]}: frame {frames[row]} is labelled otherwise in line "
            f"{numbers[first[row]]} ({contradicts.sum()} such rows; their labels are unknown)"
        )
        values = values.copy()
        values[first[contradicts]] = UNKNOWN
    return frames[~is_repeated], values[~is_repeated]


def _remark_gaps(path: Path, frames: np.ndarray, audit: Audit) -> None:
    """Says where rows are missing; the usual step between two is the smallest that is common."""
    if len(frames) < 2:
        return
    sizes, counts = np.unique(np.diff(frames), return_counts=True)
    step = int(sizes[counts.argmax()])
    steps = np.diff(frames, prepend=-step)
    gaps = steps > step
    if gaps.any():
        missing = (np.ceil(steps[gaps] / step) - 1).sum()
        before = frames[int(np.argmax(gaps))]
        audit.remark(f"{path}: {missing:.0f} rows are missing, the first before frame {before}")
