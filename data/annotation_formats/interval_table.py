"""Tables of intervals: video, start, end and phase, as clinicians type them.

    video,start,end,phase
    op1,0:00,3:20,Access
    op1,3:20,41:05,Dissection

Without an end, each phase lasts until the next begins. A table without a column for the video is of
one video. Instead of a phase there may be a tool, an event or a criterion, of which several may be
there at a time.
"""

import re
from dataclasses import dataclass

import numpy as np

from data.annotation_formats.clock_times import parse_times
from data.annotation_formats.delimited import Table, check_names, refuse_rows, without_zeros
from data.annotation_formats.labels import (
    MISSING,
    PHASE,
    UNKNOWN,
    Intervals,
    without_overlaps,
)
from data.dataset.audit import Audit
from data.dataset.cholec80 import SOURCE_FPS

_THOUSANDS = re.compile(r"[1-9]\d{0,2}([.,]\d{3})+")


@dataclass(frozen=True)
class IntervalColumns:
    """Where in a table what is: places of columns, None where there is none.

    Attributes:
      start, end: times or frame numbers.
      label: names of phases, or of a multi-label group.
      group: "phase", or that group.
      is_frames: whether times are numbers of frames, as their header says.
    """

    start: int
    end: int | None
    label: int
    group: str
    is_frames: bool


def read_intervals(table: Table, columns: IntervalColumns, audit: Audit) -> Intervals | None:
    """The intervals of one video; None where no row of it can be used.

    Args:
      table: its rows.
      columns: what is where.
      audit: receives a problem for each row that cannot be used and for overlaps, a remark for
        what is missing.
    """
    starts, is_clock = _times(table, columns.start, columns.is_frames)
    expected = "a time in seconds, mm:ss or hh:mm:ss, or a frame number"
    header = table.columns[columns.start]
    if columns.is_frames:
        expected = "a frame number, without marks between thousands,"
    table, starts = _good(table, starts, ~np.isnan(starts), f"{expected} in {header!r}", audit)
    ends = np.full(len(starts), np.inf)
    if columns.end is not None:
        ends, has_colons = _times(table, columns.end, columns.is_frames)
        is_clock |= has_colons
        is_open = np.array(
            [text.casefold() in MISSING for text in _column(table, columns.end)], bool
        )
        ends[is_open] = np.inf
        header = table.columns[columns.end]
        is_good = ~np.isnan(ends)
        table, starts, ends = _good(
            table, starts, is_good, f"{expected} in {header!r}", audit, ends
        )
        is_good = ends >= starts if columns.is_frames else ends > starts
        table, starts, ends = _good(table, starts, is_good, "an end after the start", audit, ends)
    names, values, lines = _labels(table, columns.label, audit)
    order = np.argsort(starts, kind="stable")
    starts, ends, values, rows = starts[order], ends[order], values[order], table.lines[order]
    if not len(starts):
        return None
    if columns.group == PHASE:
        starts, ends, values = _apart(columns, table, starts, ends, values, rows, audit)
    elif columns.is_frames:
        ends = ends + 1
    seconds = 1.0 if is_clock else None
    return (
        Intervals(
            table.path,
            columns.group,
            names,
            starts[values >= 0],
            ends[values >= 0],
            values[values >= 0],
            fps=seconds,
            likely_fps=SOURCE_FPS if columns.is_frames else 1.0,
            lines=lines,
        )
        if (values >= 0).any()
        else None
    )


def _times(table: Table, column: int, is_frames: bool) -> tuple[np.ndarray, bool]:
    """float64 [rows], NaN where a cell is no time, and whether some are written with colons."""
    texts, places = table.texts(column)
    texts = without_zeros(texts) if is_frames else texts
    times, is_clock = parse_times(texts, decimal_comma=table.delimiter != ",")
    if is_frames:  # 1.500 are 1500, or half of it is a frame's
        times[[bool(_THOUSANDS.fullmatch(text)) for text in texts]] = np.nan
    return np.append(times, np.nan)[places], is_clock


def _column(table: Table, column: int) -> list[str]:
    texts, places = table.texts(column)
    return [texts[place] for place in places]


def _good(table: Table, starts, is_good, expected: str, audit: Audit, *others):
    """The table, its starts and other columns, without the rows that are not good."""
    kept = refuse_rows(table, is_good, expected, audit)
    return kept, *(column[is_good] for column in (starts, *others))


def _labels(table: Table, column: int, audit: Audit) -> tuple[tuple, np.ndarray, tuple]:
    """The names that occur, int16 [rows] positions in them, -1 for none, and their first lines."""
    first, ids = {}, []
    for text, line in zip(_column(table, column), table.lines.tolist(), strict=True):
        if text.casefold() in MISSING:
            audit.remark(
                f"{table.path}:{line}: {text!r} is not a {table.columns[column]}; not used"
            )
            ids.append(UNKNOWN)
        else:
            ids.append(list(first).index(text) if text in first else len(first))
            first.setdefault(text, line)
    check_names(table, column, list(first))
    return tuple(first), np.array(ids, np.int16), tuple(first.values())


def _apart(columns: IntervalColumns, table: Table, starts, ends, values, lines, audit: Audit):
    """Intervals of phases, ascending, made not to overlap: what two phases claim has none.

    Last frames count as part of an interval, unless some interval begins where another ends. So do
    last seconds where each is one before the next start.
    """
    ends = np.where(np.isinf(ends), np.append(starts[1:], np.inf), ends)
    gaps = starts[1:] - ends[:-1]
    if columns.is_frames and not (gaps == 0).any():
        ends, gaps = ends + 1, gaps - 1
    elif len(gaps) and (gaps == 1).all():
        audit.remark(
            f"{table.path}:{lines[0]}: each end is 1 before the next start; taken as inclusive"
        )
        ends, gaps = ends + 1, gaps - 1
    if (gaps > 0).any():
        place = int(np.argmax(gaps > 0))
        audit.remark(
            f"{table.path}:{lines[place]}: nothing from here to line {lines[place + 1]}, "
            f"{ends[place]:g} to {starts[place + 1]:g} ({(gaps > 0).sum()} such gaps)"
        )
    where = [f"{table.path}:{line}" for line in lines]
    return without_overlaps(starts, ends, values, where, audit)
