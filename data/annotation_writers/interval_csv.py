"""Intervals of a model as tables, a file a video, which `annotation_formats.tables` reads.

    video,start,end,phase,confidence,look_first,labelled_by
    op1,0,31,Preparation,0.912,14,model

Times are plain seconds: spreadsheets drop the hours of 1:02:03.5 when they save. The row that
`look_first` numbers 1 is the least certain one of all videos. Who has looked at a video writes a
name instead of "model".
"""

import csv
from collections.abc import Sequence
from pathlib import Path

from data.annotation_formats.frame_table import TOOLS_GROUP
from data.annotation_formats.labels import MODEL, MULTI_LABEL, PHASE
from data.annotation_formats.tables import CONFIDENCE, LABELLED_BY, LOOK_FIRST
from data.annotation_writers.intervals import VideoIntervals, floored, look_first

HEADERS = {PHASE: "phase", TOOLS_GROUP: "tool"}


def write_tables(folder: Path, videos: Sequence[VideoIntervals]) -> list[Path]:
    """Writes `<video>.csv` for each video; returns the files."""
    ranks, files = look_first(videos), []
    for number, of in enumerate(videos):
        label = HEADERS.get(of.group, MULTI_LABEL + of.group)
        files.append(folder / f"{of.video}.csv")
        with files[-1].open("w", newline="", encoding="utf-8") as file:
            write = csv.writer(file, lineterminator="\n").writerow
            write(["video", "start", "end", label, CONFIDENCE, LOOK_FIRST, LABELLED_BY])
            for place, each in enumerate(of.intervals):
                times = [f"{floored(time):.10g}" for time in (each.start, each.end)]
                rest = [f"{each.confidence:.3f}", ranks[number, place], MODEL]
                write([of.video, *times, each.label, *rest])
    return files
