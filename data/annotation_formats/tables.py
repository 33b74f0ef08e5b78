"""What the columns of a text table mean, and its rows video by video.

Columns are known by their names, in any case: a video; a frame, second or time, or a start and an
end; a phase, or a tool or event, or columns of 0 and 1, each named by a tool.
"""

import functools
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from data.annotation_formats.delimited import Table
from data.annotation_formats.frame_table import TOOLS_GROUP, is_presence, read_moments
from data.annotation_formats.interval_table import IntervalColumns, read_intervals
from data.annotation_formats.labels import (
    HUMAN,
    MODEL,
    PHASE,
    VideoLabels,
    marked_group,
    no_intervals,
)
from data.common.errors import InputError, some
from data.dataset.audit import Audit
from data.images.names import is_image

VIDEO = {"video", "video_id", "video_name", "videoname", "operation", "case", "case_id", "file"}
VIDEO |= {"filename", "file_name", "recording"}
IMAGE = {"image", "image_id", "image_name", "picture", "bild"}
START = {"start", "begin", "from", "start_time", "begin_time", "time_start", "beginn", "von"}
END = {"end", "stop", "to", "end_time", "stop_time", "time_end", "ende", "bis"}
DURATION = {"duration", "length", "dauer", "durée", "duree"}
MOMENT = {"frame", "frame_id", "frame_number", "second", "seconds", "sec", "time", "timestamp"}
LABEL = {"phase": PHASE, "phases": PHASE, "phase_name": PHASE, "step": PHASE, "label": PHASE}
LABEL |= {"tool": TOOLS_GROUP, "instrument": TOOLS_GROUP, "event": "events", "criterion": "cvs"}
UNITS = {"s": "second", "sec": "second", "seconds": "second", "frame": "frame", "frames": "frame"}
# Columns of what a model has written; `labelled_by` is "model" as long as nobody has looked at it.
CONFIDENCE, LOOK_FIRST, LABELLED_BY = "confidence", "look_first", "labelled_by"
DENSE = 0.8  # of steps equal to the smallest one, from which on a table has a row per step

Read = Callable[[Audit], list[VideoLabels]]


def split_videos(table: Table, audit: Audit) -> tuple[dict[str, tuple[Table, Read]], str]:
    """{video: (its rows, what reads them)}, and how the table is read, in words.

    A table without a column for the video has one, "".

    Raises:
      InputError: the columns do not say what is when.
    """
    names = [_plain(column) for column in table.columns]
    if not len(table.lines) and LABELLED_BY not in names:
        raise InputError(f"{table.path}: no rows under the header")
    video = next((place for place, name in enumerate(names) if name in VIDEO), None)
    reader, described = _reader(table, names, video, audit)
    if video is None or not len(table.lines):
        return {"": (table, functools.partial(reader, table))}, described
    texts, places = table.texts(video)
    parts = {}
    for code in dict.fromkeys(places.tolist()):
        same = np.isin(places, [k for k, text in enumerate(texts) if text == texts[code]])
        if texts[code] and texts[code] not in parts:
            rows = table.taken(same)
            parts[texts[code]] = (rows, functools.partial(reader, rows))
    return parts, described


def _reader(table: Table, names: list[str], video: int | None, audit: Audit):
    """A function (rows, audit) -> labels for tables with these columns, and words for it."""
    places = dict(zip(names, range(len(names)), strict=True))
    start, end, moment = (
        next((places[name] for name in names if name.partition(" ")[0] in known), None)
        for known in (START, END, MOMENT)
    )
    lasting = [name for name in names if name.partition(" ")[0] in DURATION]
    if start is not None and end is None and lasting:
        raise InputError(
            f"{table.path}:1: a column {table.columns[places[lasting[0]]]!r} beside the start; "
            "expected the end of each, start and duration together"
        )
    labels = [(places[name], LABEL[name]) for name in names if name in LABEL]
    marked = {p: g for p, column in enumerate(table.columns) if (g := marked_group(column))}
    labels += marked.items()
    by = places.get(LABELLED_BY)
    timed = {video, start, end, moment, by, places.get(CONFIDENCE), places.get(LOOK_FIRST)}
    others = [p for p in range(len(names)) if p not in timed and p not in dict(labels)]
    present = [p for p in others if is_presence(table, p)]
    if start is None and moment is None:
        is_of_images = not IMAGE.isdisjoint(names) or _names_images(table, video)
        raise InputError(
            f"{table.path}:1: columns {some(table.columns, limit=8)}; expected a frame, a second "
            "or a start, and a phase"
            + "; classes of images need no time: --dataset=classes"
            * is_of_images
        )
    if not labels and not present and len(others) == 1:
        labels, others = [(others[0], names[others[0]])], []
    if not labels and not present:
        raise InputError(
            f"{table.path}:1: columns {some(table.columns, limit=8)}; expected a phase, a tool, or "
            "tools with 0 and 1"
        )
    if ignored := [table.columns[p] for p in others if p not in present]:
        audit.remark(f"{table.path}:1: columns that are not used: {some(ignored)}")
    time = moment if start is None else start
    is_frames = "frame" in names[time]
    if start is None and (is_frames or _is_dense(table, time, video)):
        fps = None if is_frames else 1.0
        groups = [(group, [place]) for place, group in labels if group == PHASE]
        for place in present:
            group, _, _ = table.columns[place].rpartition("/")
            group = group or TOOLS_GROUP
            if group not in dict(groups):
                groups.append((group, []))
            dict(groups)[group].append(place)

        def read(rows, audit):
            return [read_moments(rows, time, columns, g, audit, fps) for g, columns in groups]

        return read, f"a row per {'frame' if is_frames else 'second'}"
    columns = [IntervalColumns(time, end, place, group, is_frames) for place, group in labels]

    def read(rows, audit):
        intervals = [read_intervals(rows, each, audit) for each in columns]
        author = MODEL if by is not None and _contents(rows, by) <= {MODEL} else HUMAN
        if by is not None:
            intervals = [
                no_intervals(rows.path, of.group) if part is None and of.group != PHASE else part
                for part, of in zip(intervals, columns, strict=True)
            ]
        return [replace(part, labelled_by=author) for part in intervals if part is not None]

    lasting = "intervals" if end is not None else "starts, each lasts until the next"
    return read, lasting + (", in frames" if is_frames else "")


def _contents(table: Table, column: int) -> set[str]:
    """What the rows of a column have, in lower case."""
    texts, places = table.texts(column)
    return {texts[place].casefold() for place in np.unique(places)}


def _names_images(table: Table, column: int | None) -> bool:
    """Whether a column, None for none, has the names of image files."""
    return column is not None and all(map(is_image, table.texts(column)[0]))


def _is_dense(table: Table, column: int, video: int | None) -> bool:
    """Whether a column has whole seconds, most of them as far apart as the nearest two."""
    seconds = table.whole_numbers(column)
    if (seconds < 0).any():
        return False
    same = np.ones(len(seconds) - 1, bool)
    if video is not None:
        same = np.diff(table.texts(video)[1]) == 0
    steps = np.diff(seconds)[same]
    return bool(len(steps)) and steps.min() > 0 and (steps == steps.min()).mean() >= DENSE


def _plain(column: str) -> str:
    """A column's name in lower case; a unit in brackets follows it, after a space.

    "Start (s)" -> "start second", "start_frame" -> "start frame".
    """
    words = re.findall(r"\w+", column.casefold())
    name = "_".join(words)
    for ending, unit in UNITS.items():
        if name.endswith(f"_{ending}"):
            return f"{name.removesuffix(f'_{ending}')} {unit}"
    return name
