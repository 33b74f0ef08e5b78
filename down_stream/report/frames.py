"""The frames of which a model was most wrong, as pictures in a report."""

import base64
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from PIL import Image

from data.common.errors import InputError
from data.dataset.frame_index import FrameIndex
from data.images.image_io import read_image
from down_stream.metrics.multi_label import MultiLabelPredictions
from down_stream.metrics.predictions import Predictions
from down_stream.report.page import Section, swatch
from down_stream.report.wording import words

_SIZE = (320, 240)  # of a thumbnail, at most
_BYTES = 18_000  # of its JPEG file
_APART = 10  # seconds (frames of a sequence), in one video: neighbours look the same


@dataclass(frozen=True)
class Mistake:
    """A frame and what was said of it.

    Attributes:
      row: of the frame in the predictions.
      group: the class that it is listed under.
      probability: of what is wrong; the higher, the more wrong.
      truth, guess: class ids of single labels; of several, the class and -1.
    """

    row: int
    group: int
    probability: float
    truth: int
    guess: int


def read_frame(index: FrameIndex, row: int) -> np.ndarray | None:
    """A frame, uint8 RGB; None if it cannot be read any more."""
    try:
        return read_image(index.paths([row])[0])
    except (InputError, OSError):
        return None


def most_wrong(
    predictions: Predictions | MultiLabelPredictions,
    read_frame: Callable[[int], np.ndarray | None],
    place: Callable[[int], str],
    number: int = 24,
) -> Section | None:
    """Shows frames with the highest probability for something wrong, spread over videos.

    Args:
      predictions: of one label per frame or of several.
      read_frame: row of the predictions -> RGB, uint8 [height, width, 3]; None where there is none.
      place: `second` -> where in its video the frame is, for people.
      number: of frames, at most.

    Returns:
      None where nothing is wrong, or no probabilities were given.
    """
    several = isinstance(predictions, MultiLabelPredictions)
    found = _of_labels(predictions) if several else _of_classes(predictions)
    chosen = _spread(found, predictions.video, predictions.second, number)
    if not chosen:
        return None
    groups = sorted({mistake.group for mistake in chosen})
    cards = []
    for mistake in chosen:
        video, second = str(predictions.video[mistake.row]), int(predictions.second[mistake.row])
        said = _said(mistake, predictions.classes, several)
        where = f"{video}, {place(second)}"
        named = "; ".join([where, *(f"{key}: {words}" for key, (_, words) in said.items())])
        facts = "".join(
            f"<dt>{key}</dt><dd>{mark}{escape(text)}</dd>" for key, (mark, text) in said.items()
        )
        cards.append(
            f'<figure class="of{mistake.group}">{_image(read_frame(mistake.row), named)}'
            f"<figcaption><strong>{escape(where)}</strong><dl>{facts}</dl></figcaption></figure>"
        )
    noun = "label" if several else "true class"
    return Section(
        "Most wrong frames",
        f'{_filter(groups, predictions.classes, noun)}<div class="frames">{"".join(cards)}</div>',
        "Wrong with the highest probability. Of frames close to each other one is shown; none has "
        "more than its share, of where they come from and of classes, where others are wrong, too.",
    )


def _of_classes(predictions: Predictions) -> list[Mistake]:
    label, guess = predictions.label, predictions.prediction
    rows = np.flatnonzero((label >= 0) & (label != guess))
    columns = rows, predictions.probabilities[rows, guess[rows]], label[rows], guess[rows]
    return [
        Mistake(row, truth, probability, truth, said)
        for row, probability, truth, said in zip(*map(np.ndarray.tolist, columns), strict=True)
        if not np.isnan(probability)
    ]


def _of_labels(predictions: MultiLabelPredictions) -> list[Mistake]:
    wrong = (predictions.label >= 0) & (predictions.label != predictions.prediction)
    wrong &= ~np.isnan(predictions.probabilities)
    return [
        Mistake(
            row,
            label,
            float(abs(predictions.probabilities[row, label] - predictions.label[row, label])),
            label if predictions.label[row, label] else -1,
            label if predictions.prediction[row, label] else -1,
        )
        for row, label in np.argwhere(wrong).tolist()
    ]


def _spread(
    mistakes: Sequence[Mistake], video: np.ndarray, second: np.ndarray, number: int
) -> list[Mistake]:
    """The most wrong ones, with a fair share for each video and each class where possible."""
    ranked = sorted(mistakes, key=lambda mistake: -mistake.probability)
    videos = {video[mistake.row] for mistake in ranked}
    groups = {mistake.group for mistake in ranked}
    shares = [-(-number // max(1, len(of))) for of in (videos, groups)]
    chosen, seconds, counts = [], {}, Counter()
    for limits in (shares, (number, number)):  # then whatever is left
        for mistake in ranked:
            name, at = video[mistake.row], second[mistake.row]
            keys = ("video", name), ("class", mistake.group)
            near = any(abs(at - other) < _APART for other in seconds.get(name, ()))
            full = any(counts[key] >= limit for key, limit in zip(keys, limits, strict=True))
            if len(chosen) < number and not near and not full:
                chosen.append(mistake)
                seconds.setdefault(name, []).append(at)
                counts.update(keys)
    return sorted(chosen, key=lambda mistake: -mistake.probability)


def _said(mistake: Mistake, classes: Sequence[str], several: bool) -> dict[str, tuple[str, str]]:
    """Truth and prediction: (swatch, text)."""
    is_there = mistake.truth >= 0
    chance = 1 - mistake.probability if several and is_there else mistake.probability
    percent = f"{100 * chance:.0f}\N{NO-BREAK SPACE}%"
    if several:
        state = ("absent", "present")
        return {
            "Label": (swatch(mistake.group), words(classes[mistake.group])),
            "Truth": ("", state[is_there]),
            "Model": ("", f"{state[not is_there]}, probability {percent}"),
        }
    return {
        "Truth": (swatch(mistake.truth), words(classes[mistake.truth])),
        "Model": (swatch(mistake.guess), f"{words(classes[mistake.guess])}, {percent}"),
    }


def _image(frame: np.ndarray | None, named: str) -> str:
    if frame is None:
        return '<div class="missing">The frame cannot be read.</div>'
    picture = Image.fromarray(frame)
    picture.thumbnail(_SIZE)
    for quality in (80, 65, 50, 35, 20, 10):
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality, optimize=True)
        if file.tell() <= _BYTES:
            break
    data = base64.b64encode(file.getvalue()).decode()
    width, height = picture.size
    return (
        f'<img src="data:image/jpeg;base64,{data}" width="{width}" height="{height}" '
        f'alt="{escape(named)}">'
    )


def _filter(groups: Sequence[int], classes: Sequence[str], noun: str) -> str:
    """Buttons that show one class alone: by the style sheet, without a script."""
    if len(groups) < 2:
        return ""
    rules = "".join(
        f"main:has(#show{k}:checked) .frames figure:not(.of{k}){{display:none}}" for k in groups
    )
    buttons = "".join(
        f'<label><input type="radio" name="show" id="show{k}">{swatch(k)}'
        f"{escape(words(classes[k]))}</label>"
        for k in groups
    )
    return (
        f'<style>{rules}</style><fieldset class="filter"><legend>Show, by {noun}:</legend>'
        f'<label><input type="radio" name="show" checked>all</label>{buttons}</fieldset>'
    )
