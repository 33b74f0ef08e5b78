"""Phase and tool annotation files: written, read into arrays, labels looked up by frame number.

The official format: text, columns separated by tabs, a header line, the source frame's number
(counted from 0, 25 a second) in the first column. Rows are identified by that number alone, never
by their position: files with missing, shuffled or repeated rows give right labels or none.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from data.common.errors import InputError
from data.dataset.cholec80 import LABEL_FPS, PHASES, SOURCE_FPS, TOOLS
from data.preparation.audit import Audit, Strict
from data.storage.whole import whole_file

FOLDERS = {"phase": "phase_annotations", "tool": "tool_annotations"}  # in a dataset directory
UNKNOWN = -1  # phase or tool without an annotation

_PHASE_IDS = {name: number for number, name in enumerate(PHASES)}
_TOOL_VALUES = {"0": 0, "1": 1}


def read_phases(path: Path, audit: Audit | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Reads `videoVV-phase.txt`.

    Args:
      path: the file.
      audit: takes what is wrong, and the usable rows are returned; without it, the first row that
        cannot be used raises.

    Returns:
      int64 [n], source frames, ascending, each once; int8 [n], phase ids, -1 where unknown.

    Raises:
      InputError: the file is missing, empty or no such table; without `audit`, also a row that
        cannot be used. The message names file and line.
    """
    frames, columns = _read_table(path, ("Phase",), _PHASE_IDS, audit or Strict(), step=1)
    return frames, columns[:, 0]


def read_tools(path: Path, audit: Audit | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Reads `videoVV-tool.txt`; arguments and exceptions as for `read_phases`.

    Returns:
      int64 [n], source frames, ascending, each once; int8 [n, 7], 1 where the tool is present, 0
      where not, -1 where unknown, columns as in `cholec80.TOOLS`.
    """
    step = SOURCE_FPS // LABEL_FPS
    return _read_table(path, TOOLS, _TOOL_VALUES, audit or Strict(), step)


def look_up(frames: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The values of the wanted source frames.

    Args:
      frames: int64 [n], ascending, each once.
      values: int8 [n, ...].
      wanted: int64 [m].

    Returns:
      int8 [m, ...], -1 where `frames` does not hold the wanted one.
    """
    if not len(frames):
        return np.full((len(wanted), *values.shape[1:]), UNKNOWN, np.int8)
    places = np.searchsorted(frames, wanted).clip(max=len(frames) - 1)
    result = values[places]
    result[frames[places] != wanted] = UNKNOWN
    return result


def annotation_files(root: Path, video: str) -> dict[str, Path]:
    """{"phase": file, "tool": file}: where a dataset has the annotations of a video."""
    return {kind: root / folder / f"{video}-{kind}.txt" for kind, folder in FOLDERS.items()}


def is_annotated(root: Path, video: str) -> bool:
    """Whether a video has both annotation files."""
    return all(file.is_file() for file in annotation_files(root, video).values())


def write_annotations(
    root: Path, video: str, labels: Mapping[int, tuple[str, Sequence]], *, replace: bool
) -> None:
    """Writes the annotation files of a video.

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


def _read_table(
    path: Path, names: Sequence[str], ids: dict[str, int], audit: Audit, step: int
) -> tuple[np.ndarray, np.ndarray]:
    """Reads the columns `names`: int64 [n] source frames, int8 [n, len(names)] ids of the cells.

    `step` is how many source frames lie between two rows.
    """
    header, _, body = _read_text(path, audit).partition("\n")
    columns = [cell.strip() for cell in header.split("\t")]
    if columns[0] != "Frame" or not set(names) <= set(columns):
        wanted = " ".join(("Frame", *names))
        raise InputError(f"{path}:1: header {header!r}; expected {wanted!r}, with tabs")
    table, numbers = _parse(path, columns, body, audit)
    if not len(table):
        raise InputError(f"{path}: no rows under the header; expected one per {step} frames")
    frames = table["Frame"].to_numpy()
    values = np.empty((len(frames), len(names)), np.int8)
    for place, name in enumerate(names):
        values[:, place] = _to_ids(path, table[name], ids, numbers, audit)
    frames, values = _in_order(path, frames, values, numbers, audit)
    _remark_gaps(path, frames, step, audit)
    return frames, values


def _read_text(path: Path, audit: Audit) -> str:
    """A text file with Unix line ends and no blank lines at its end."""
    if not path.is_file():
        raise InputError(f"{path}: no such annotation file")
    content = path.read_bytes()
    if not content.strip():
        raise InputError(f"{path}: empty")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: not UTF-8 text") from error
    if "\r" in text:
        audit.remark(f"{path}:1: lines end with a carriage return (Windows); read all the same")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.endswith("\n"):
        line = text.count("\n") + 1
        audit.remark(f"{path}:{line}: no newline at the end; rows may be missing after this one")
    return text.rstrip("\n")


def _parse(path: Path, columns: list[str], body: str, audit: Audit) -> tuple[pa.Table, np.ndarray]:
    """The rows as a table, and the line number of each. Lines that are no rows are a problem."""
    numbers = np.arange(2, body.count("\n") + 3 if body else 2)  # the header is line 1
    try:
        table = _parse_rows(columns, body)
        if not (table["Frame"].to_numpy() < 0).any():
            return table, numbers
    except pa.ArrowInvalid:  # it does not tell all the lines that it cannot read
        pass
    lines = body.split("\n")
    row = re.compile(r"\d{1,18}" + r"\t[^\t]*" * (len(columns) - 1))
    is_row = [row.fullmatch(line) is not None for line in lines]
    first = is_row.index(False)
    audit.problem(
        f"{path}:{first + 2}: {lines[first]!r} is no row of {len(columns)} columns that begins "
        f"with a frame number ({is_row.count(False)} such lines)"
    )
    rows = [line for line, good in zip(lines, is_row, strict=True) if good]
    return _parse_rows(columns, "\n".join(rows)), numbers[is_row]


def _parse_rows(columns: list[str], body: str) -> pa.Table:
    """Columns of a text with tabs: int64 for the first, categories for the others."""
    types = dict.fromkeys(columns, pa.dictionary(pa.int32(), pa.string()))
    types[columns[0]] = pa.int64()
    if not body:
        return pa.schema(types).empty_table()
    return csv.read_csv(
        pa.py_buffer(body.encode()),
        csv.ReadOptions(column_names=columns, use_threads=False),
        csv.ParseOptions(delimiter="\t", quote_char=False, ignore_empty_lines=False),
        csv.ConvertOptions(column_types=types, null_values=[]),
    )


def _to_ids(
    path: Path, column: pa.ChunkedArray, ids: dict[str, int], numbers: np.ndarray, audit: Audit
) -> np.ndarray:
    """The ids of a column's cells, -1 for those that have none: each such content is a problem."""
    column = column.unify_dictionaries().combine_chunks()
    codes = column.indices.to_numpy()
    contents = [content.strip() for content in column.dictionary.to_pylist()]
    for code, content in enumerate(contents):
        if content not in ids:
            wrong = np.flatnonzero(codes == code)
            audit.problem(
                f"{path}:{numbers[wrong[0]]}: {content!r} is unknown ({len(wrong)} rows); "
                f"known: {', '.join(ids)}"
            )
    return np.array([ids.get(content, UNKNOWN) for content in contents], np.int8)[codes]


def _in_order(
    path: Path, frames: np.ndarray, values: np.ndarray, numbers: np.ndarray, audit: Audit
) -> tuple[np.ndarray, np.ndarray]:
    """Sorts rows by frame and drops repeated ones; contradicting ones become unknown."""
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
    contradicts = (values != values[first]).any(axis=1)
    if contradicts.any():
        row = int(np.argmax(contradicts))
        audit.problem(
            f"{path}:{numbers[row]}: frame {frames[row]} is labelled otherwise in line "
            f"{numbers[first[row]]} ({contradicts.sum()} such rows; their labels are unknown)"
        )
        values = values.copy()
        values[first[contradicts]] = UNKNOWN
    return frames[~is_repeated], values[~is_repeated]


def _remark_gaps(path: Path, frames: np.ndarray, step: int, audit: Audit) -> None:
    gaps = np.diff(frames, prepend=-step) > step
    if gaps.any():
        missing = (np.diff(frames, prepend=-step)[gaps] // step - 1).sum()
        before = frames[int(np.argmax(gaps))]
        audit.remark(f"{path}: {missing} rows are missing, the first before frame {before}")
