"""What annotators have changed of what a model said, and who labels are by.

The model's own intervals lie beside the files (`data/annotation_writers/said.py`), or in Label
Studio's export. A person who changes anything of a video, or writes another name than "model" over
it, has looked at all of it: its labels are "corrected". What nobody has touched is "model", what no
model was asked about is "human".
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.annotation_formats.labels import HUMAN, MODEL, PHASE, Intervals, stretches
from data.common.errors import InputError
from data.storage.paths import AnyPath
from data.storage.whole import write_json

CORRECTED = "corrected"
LABELLED_BY = "labelled_by.json"  # in a dataset directory
TOLERANCE = 0.04  # seconds: boundaries that a format writes less finely have not been moved

Rows = Sequence[tuple[float, float, str]]  # start, end, label


@dataclass(frozen=True)
class Correction:
    """Seconds of what a model said, and of what is said now; those of all labels of a group.

    Attributes:
      kept: labelled as the model said.
      moved: labelled otherwise, where a boundary between two labels that both stayed was moved.
      changed: labelled otherwise elsewhere.
    """

    kept: float
    moved: float
    changed: float


def rows_of(labels: Intervals, fps: float) -> list[tuple[float, float, str]]:
    """The intervals of an annotation in seconds; what no label is known of is left out."""
    return [
        (start / fps, end / fps, labels.names[value])
        for start, end, value in zip(labels.starts, labels.ends, labels.values, strict=True)
        if value >= 0
    ]


def compare(said: Rows, now: Rows, group: str, length: float) -> Correction:
    """What was changed of a video.

    Args:
      said: what the model said.
      now: what is annotated.
      group: "phase", of which a moment has one; of other groups each label is looked at by itself.
      length: seconds of the video; nothing behind it counts.
    """
    labels = list(dict.fromkeys(label for _, _, label in (*said, *now)))
    if group == PHASE:
        parts = [_compare(said, now, {label: n for n, label in enumerate(labels)}, length)]
    else:
        parts = [_compare(said, now, {label: 0}, length) for label in labels]
    return (
        Correction(*(sum(part) for part in zip(*parts, strict=True)))
        if parts
        else Correction(0, 0, 0)
    )


def _compare(said: Rows, now: Rows, ids: Mapping[str, int], length: float):
    """Seconds that were kept, moved and changed of the labels in `ids`."""
    times = {0.0, length}
    for start, end, label in (*said, *now):
        if label in ids:
            times |= {min(start, length), min(end, length)}
    points = np.array(sorted(times))
    seconds = np.diff(points)
    # Thirtieths of a second that a format has rounded away belong to neither side.
    points, seconds = points[:-1][seconds > TOLERANCE], seconds[seconds > TOLERANCE]
    middle = points + seconds / 2
    before, after = _at(said, ids, middle), _at(now, ids, middle)
    is_kept = before == after
    kept = float(seconds[is_kept & (before >= 0)].sum())
    moved = changed = 0.0
    for first, behind in stretches(before, after):
        if is_kept[first]:
            continue
        beside = {
            int(before[place]) if 0 <= place < len(before) else -1
            for place in (first - 1, behind)
            if not 0 <= place < len(before) or is_kept[place]
        }
        is_moved = beside == {int(before[first]), int(after[first])}
        amount = float(seconds[first:behind].sum())
        moved, changed = moved + amount * is_moved, changed + amount * (not is_moved)
    return kept, moved, changed


def _at(rows: Rows, ids: Mapping[str, int], times: np.ndarray) -> np.ndarray:
    """int [n], what is said at times; -1 for nothing."""
    found = np.full(len(times), -1)
    for start, end, label in rows:
        if label in ids:
            found[(times >= start) & (times < end)] = ids[label]
    return found


def author_of(file_says: str, correction: Correction | None) -> str:
    """Who labels are by.

    Args:
      file_says: "model" where the file says that a model has written all of it, else "human".
      correction: of what the model said, None where what it said is not known.
    """
    if correction is None:
        return file_says
    is_as_it_was = correction.moved + correction.changed == 0
    return MODEL if file_says == MODEL and is_as_it_was else CORRECTED


def write_labelled_by(root: Path, authors: Mapping[str, Mapping[str, str]]) -> None:
    """Writes who labels are by: {video: {group: "model" or "corrected"}}; others are by humans."""
    known = {
        video: {group: by for group, by in groups.items() if by != HUMAN}
        for video, groups in authors.items()
    }
    known = {video: groups for video, groups in sorted(known.items()) if groups}
    if known:
        write_json(root / LABELLED_BY, known)
    else:
        (root / LABELLED_BY).unlink(missing_ok=True)


def read_labelled_by(root: AnyPath) -> dict[str, dict[str, str]]:
    """What `write_labelled_by` wrote; {} of a dataset that humans have labelled.

    Raises:
      InputError: the file is damaged.
    """
    path = root / LABELLED_BY
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {video: dict(groups) for video, groups in content.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error!r}); prepare.py writes it") from error
