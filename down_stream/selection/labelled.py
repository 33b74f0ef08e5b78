"""What has labels already, and what is never chosen: from a data set, and from files."""

import csv
import json
from collections.abc import Iterable, Sequence

import numpy as np

from data.annotation_formats.labels import MODEL, PHASE
from data.annotations.corrections import read_labelled_by
from data.common.errors import InputError, some
from data.common.logs import logger
from data.dataset.frame_index import FrameIndex
from data.images.names import composed
from data.splits.manifest import MANIFEST
from data.splits.patients import read_patients
from data.storage.paths import AnyPath
from data.storage.texts import read_any_text
from down_stream.selection.candidates import Candidates

Span = tuple[str, float, float]  # a video, and from which second to which


def spans_of_file(path: AnyPath) -> list[Span]:
    """Videos or parts of them that a file lists as labelled.

    Args:
      path: a CSV table with the column video (or sequence), and start and end in seconds where
        intervals were annotated: a `selection.csv`, too. Or a text file with a name in each line.

    Raises:
      InputError: the file cannot be read, or a time is no number.
    """
    try:
        text, remark = read_any_text(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}); expected a list of videos") from error
    if remark:
        logger.warning("%s", remark)
    lines = [line for line in text.splitlines() if line.strip()]
    delimiter = ";" if ";" in "".join(lines[:1]) else ","
    header = next(csv.reader(lines[:1], delimiter=delimiter), [])
    column = next((name for name in ("video", "sequence") if name in header), None)
    if column is None:
        return [(line.strip(), -np.inf, np.inf) for line in lines]
    spans = []
    for number, row in enumerate(csv.DictReader(lines, delimiter=delimiter), 2):
        times = (row.get(name) or "" for name in ("start", "end"))
        start, end = (text.replace(",", ".") if delimiter == ";" else text for text in times)
        try:
            start, end = float(start or -np.inf), float(end or np.inf)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {error}; expected seconds") from error
        spans.append((row[column] or "", start, end))
    return spans


def spans_of_index(root: AnyPath, index: FrameIndex, task: str) -> list[Span]:
    """The videos of a data set that have labels, or for tools and other groups their seconds.

    Labels that a model has written, and nobody has corrected, are none.
    """
    group = PHASE if task == "phases" else task
    by_model = {video for video, by in read_labelled_by(root).items() if by.get(group) == MODEL}
    return [span for span in _spans(index, task) if span[0] not in by_model]


def _spans(index, task):
    if task in ("phases", "classes"):
        known = (index.phase if task == "phases" else index.label) >= 0
        return [(index.videos[n], -np.inf, np.inf) for n in np.unique(index.video[known])]
    if task not in index.presence:
        raise InputError(
            f"task is {task!r}; expected {some(['phases', 'classes', *index.presence])}"
        )
    rows = np.flatnonzero((index.presence[task] >= 0).any(axis=1))
    second = index.second[rows].astype(float)
    videos = index.video[rows].tolist()
    return [(index.videos[v], s, s) for v, s in zip(videos, second.tolist(), strict=True)]


def videos_of_tests(root: AnyPath, videos: Iterable[str]) -> dict[str, set[str]]:
    """Those of `videos` that a data set's splits test on, and others of their patients.

    Returns:
      {name of the split: videos}, the default one first; {} where there are no splits.

    Raises:
      InputError: the manifest is damaged.
    """
    path = root / MANIFEST
    if not path.is_file():
        return {}
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        protocols = manifest["protocols"]
        names = dict.fromkeys([manifest["default"], *protocols])
        tests = {name: set(protocols[name]["test"]["videos"]) for name in names}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged; prepare.py writes it") from error
    every = sorted(set(videos).union(*tests.values()))
    groups = read_patients(root).group(every).groups.values()
    return {
        name: {video for group in groups if tested & set(group) for video in group}
        for name, tested in tests.items()
    }


def mark(candidates: Candidates, spans: Sequence[Span]) -> tuple[np.ndarray, list[str]]:
    """Which units a list of spans touches.

    Returns:
      bool [units]; and the names in the list that no unit has.
    """
    of_video, marked = {}, np.zeros(len(candidates), bool)
    for number, name in enumerate(candidates.names):
        of_video.setdefault(composed(name), []).append(number)
    unknown = []
    for name, start, end in spans:
        units = of_video.get(composed(name))
        if units is None:
            unknown.append(name)
            continue
        begins, ends = candidates.start[units], candidates.end[units]
        is_touched = np.isnan(begins) | ((begins < end) & (ends > start))
        is_touched |= (begins <= start) & (ends > start)
        marked[np.array(units)[is_touched]] = True
    return marked, list(dict.fromkeys(unknown))
