"""The table of predicted classes: one row per frame, as arrays and as `predictions.csv`."""

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.common.errors import InputError
from data.common.logs import logger
from data.dataset.cholec80 import PHASES, UNKNOWN_PHASE
from data.storage.texts import read_any_text

LARGEST_GAP = 5.0  # seconds between two rows, in the tables of our field
LONGEST_VIDEO = 12 * 3600.0  # seconds
MOST_ROWS = 40.0  # a second, of a video that is annotated at its own rate
SHORTEST_VIDEO = 240.0  # seconds of a whole operation; as minutes, four hours
COLUMNS = ("video", "second", "label", "prediction")


@dataclass(frozen=True)
class Predictions:
    """Predictions of one class per frame, of n frames in any order.

    Attributes:
      video: str [n].
      second: int64 [n], or float64 where there are several frames a second; the frame's time in its
        video.
      label: int [n], index into `classes`; -1 where unknown.
      prediction: int [n], index into `classes`.
      probabilities: float32 [n, classes]; NaN where none were given.
      classes: names, in the order of their ids (phases: in surgical order).

    Raises:
      ValueError: the arrays do not have these shapes.
    """

    video: np.ndarray
    second: np.ndarray
    label: np.ndarray
    prediction: np.ndarray
    probabilities: np.ndarray
    classes: tuple[str, ...] = PHASES

    def __post_init__(self):
        frames = len(self.video)
        for name in COLUMNS:
            if getattr(self, name).shape != (frames,):
                raise ValueError(f"{name}: shape {getattr(self, name).shape}, not ({frames},)")
        if self.probabilities.shape != (frames, len(self.classes)):
            raise ValueError(
                f"probabilities: shape {self.probabilities.shape}, "
                f"not ({frames}, {len(self.classes)})"
            )

    @property
    def videos(self) -> list[str]:
        """The names of the videos, sorted."""
        return np.unique(self.video).tolist()

    def of_video(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`second`, `label` and `prediction` of one video, in the order of time."""
        frames = np.flatnonzero(self.video == name)
        frames = frames[np.argsort(self.second[frames])]
        return self.second[frames], self.label[frames], self.prediction[frames]


def write_predictions(path: str | Path, predictions: Predictions) -> None:
    """Writes `COLUMNS`, then one probability per class, in columns named by the classes.

    Label and prediction are ids: k is the k-th class column, -1 an unknown class. The file is
    complete in itself: it also says in which order its classes come.
    """
    columns = [getattr(predictions, name).tolist() for name in COLUMNS]
    # A float32 as text has the fewest digits that read back as the same number.
    probabilities = predictions.probabilities.astype(np.float32).astype(str)
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, *predictions.classes])
        for *frame, row in zip(*columns, probabilities, strict=True):
            writer.writerow([*frame, *row])


def read_predictions(path: str | Path) -> Predictions:
    """Reads a table that `write_predictions` or anyone else wrote.

    The columns may come in any order; all but `COLUMNS` hold probabilities, and their names are
    the classes, in their order. In a table without them the classes are Cholec80's phases, if its
    ids or names can be; else the names, in the order in which they appear, or the ids. Labels and
    predictions are ids or names; an unknown label is -1 or empty.

    Raises:
      InputError: no such file, or not such a table; the message names the line.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a predictions.csv")
    try:
        text, remark = read_any_text(path)
        reader = csv.DictReader(io.StringIO(text, newline=""))
        classes = _classes(reader.fieldnames or [], path)
        texts = {f"{path}, line {reader.line_num}": row for row in reader}
    except csv.Error as error:
        raise InputError(f"{path}: not a table of comma-separated text ({error})") from error
    if remark:
        logger.warning("%s", remark)
    if not texts:
        raise InputError(f"{path}: no rows; expected one per frame below the header")
    has_probabilities = bool(classes)
    classes = classes or _classes_of_rows(texts.values(), path)
    rows = {}
    for where, row in texts.items():
        parsed = _parse(row, classes, has_probabilities, where)
        if rows.setdefault(parsed[:2], parsed) is not parsed:
            video, second = parsed[:2]
            raise InputError(
                f"{where}: second {second:g} of {video} again; expected one row per frame"
            )
    video, second, label, prediction, probabilities = zip(*rows.values(), strict=True)
    second = np.array(second)
    return Predictions(
        video=np.array(video),
        second=second.astype(np.int64) if (second == np.floor(second)).all() else second,
        label=np.array(label),
        prediction=np.array(prediction),
        probabilities=np.array(probabilities, np.float32),
        classes=classes,
    )


def spacing_remarks(predictions: Predictions) -> list[str]:
    """What looks as if `second` counted anything else: a line a kind, with the first such video.

    Relaxed scores tolerate ten seconds around a change of phase: in other units they are others.
    """
    apart, long, close = {}, {}, {}
    for video in dict.fromkeys(predictions.video.tolist()):
        seconds = np.sort(predictions.second[predictions.video == video])
        gap = float(np.median(np.diff(seconds))) if len(seconds) > 2 else 1.0
        if gap > LARGEST_GAP:
            apart[video] = gap
        elif seconds[-1] - seconds[0] > LONGEST_VIDEO:
            long[video] = seconds[-1] / 3600
        elif gap < 1 / MOST_ROWS and seconds[-1] - seconds[0] < SHORTEST_VIDEO:
            close[video] = gap
    ask = "if `second` counts frames, divide it by the frame rate, for the relaxed scores"
    lines = []
    if apart:
        video, gap = next(iter(apart.items()))
        lines.append(f"rows are {gap:g} s apart in {len(apart)} videos, as in {video}; {ask}")
    if long:
        video, hours = next(iter(long.items()))
        lines.append(f"{len(long)} videos last for hours, as {video} for {hours:.1f}; {ask}")
    if close:
        video, gap = next(iter(close.items()))
        lines.append(
            f"rows are {gap:.3g} s apart in {len(close)} videos, as in {video}; if `second` counts "
            "minutes or hours, multiply it by 60 or 3600, for the relaxed scores"
        )
    return lines


def _classes(header: list[str], path: Path) -> tuple[str, ...]:
    """The classes that a header has columns of probabilities for; none without such columns."""
    missing = [name for name in COLUMNS if name not in header]
    if missing or len(set(header)) < len(header):
        found = ",".join(header) or "nothing"
        raise InputError(
            f"{path}, line 1: found {found[:200]}; expected a header with {', '.join(COLUMNS)} and "
            "one column of probabilities per class, each once"
        )
    return tuple(name for name in header if name not in COLUMNS)


def _classes_of_rows(rows: Iterable[dict], path: Path) -> tuple[str, ...]:
    """The classes that labels and predictions are of, in a table that does not name them."""
    texts = dict.fromkeys(row[name] for row in rows for name in ("label", "prediction"))
    known = [text for text in texts if text not in ("", str(UNKNOWN_PHASE), None)]
    ids = [int(text) for text in known if text.isdecimal()]
    names = tuple(text for text in known if not text.isdecimal())
    if set(names) <= set(PHASES) and max(ids, default=0) < len(PHASES):
        return PHASES
    if names and ids:
        raise InputError(
            f"{path}: classes such as {names[0]!r} and {ids[0]}; expected names or numbers, or a "
            "column of probabilities for each class"
        )
    return names or tuple(map(str, range(max(ids) + 1)))


def _parse(row: dict, classes: tuple[str, ...], has_probabilities: bool, where: str) -> tuple:
    """(video, second, label, prediction, probabilities) of one row of text."""
    if None in row or None in row.values():
        raise InputError(f"{where}: not as many values as the header has columns")
    if not row["video"]:
        raise InputError(f"{where}: no video name; expected one for every frame")
    try:
        second = float(row["second"])
    except ValueError:
        second = math.nan
    if not 0 <= second < math.inf:
        raise InputError(f"{where}: second {row['second']!r}; expected a number from 0 on")
    label = UNKNOWN_PHASE
    if row["label"] not in ("", str(UNKNOWN_PHASE)):
        label = _class_id(row, "label", classes, where)
    prediction = _class_id(row, "prediction", classes, where)
    probabilities = [math.nan] * len(classes)
    if has_probabilities:
        probabilities = [_probability(row, name, where) for name in classes]
    return row["video"], second, label, prediction, probabilities


def _class_id(row: dict, column: str, classes: tuple[str, ...], where: str) -> int:
    text = row[column]
    if text in classes:
        return classes.index(text)
    if text.isdecimal() and int(text) < len(classes):
        return int(text)
    raise InputError(
        f"{where}: {column} {text!r}; expected a number from 0 to {len(classes) - 1} or one "
        f"of {', '.join(classes)}"
    )


def _probability(row: dict, column: str, where: str) -> float:
    try:
        value = float(row[column])
    except ValueError:
        value = math.inf
    # NaN is what a table written without probabilities holds.
    if not (math.isnan(value) or -1e-6 <= value <= 1 + 1e-6):
        raise InputError(
            f"{where}: {row[column]!r} in column {column}; expected a probability from 0 to 1 "
            f"(all columns but {', '.join(COLUMNS)} are classes)"
        )
    return value
