"""The classes of videos over time, as ribbons: the truth, and what models say."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure

from data.annotation_formats.clock_times import clock
from data.annotation_formats.labels import stretches
from down_stream.metrics import statistics
from down_stream.metrics.predictions import Predictions
from down_stream.report import figures
from down_stream.report.figures import SMALL, bare, new_figure, tell, wrapped
from down_stream.report.wording import words

_STRIP, _GAP, _BETWEEN = 0.2, 0.025, 0.12  # inches
_COLUMNS = 1200  # of a ribbon, at most: a longer video is drawn in steps of several seconds
_MEANS = 240  # columns of the probabilities, at most
_LINES = 40  # of the probabilities
_POINTED_AT = 200  # pieces of a ribbon below such a part of its width do not tell their time


def timeline(tables: dict[str, Predictions]) -> Figure:
    """The classes of each video over time: a ribbon of the truth, below it those of the models.

    Where a model gave probabilities they are below its ribbon, stacked in the order of the classes.
    Beside it stand its accuracy and F1 of this video (protocol `video`), in percent. A frame whose
    class is unknown is grey; a time without a frame is blank. In a page, pieces tell their times.
    Where no frame's class is known, there is no truth, and no score.

    Args:
      tables: name of a model -> its predictions; all of the same videos and classes.
    """
    first = next(iter(tables.values()))
    strips = {name: 1 + (not np.isnan(t.probabilities).any()) for name, t in tables.items()}
    has_truth = bool((first.label >= 0).any())
    height = (has_truth + sum(strips.values())) * (_STRIP + _GAP) + _BETWEEN  # of one video
    names = [words(name) for name in first.classes]
    figure = new_figure(11, 1)
    above = figures.class_legend(
        figure, names, has_unknown=has_truth and bool((first.label < 0).any())
    )
    figure.set_figheight(above + 1.1 + height * len(first.videos))
    axes = figure.add_subplot()
    length = max(table.second.max() + 1 for table in tables.values())
    axes.set_xlim(0, length)
    tops = np.arange(len(first.videos)) * height
    for video, top in zip(first.videos, tops, strict=True):
        if has_truth:
            second, label, _ = first.of_video(video)
            _ribbon(axes, second, label, top, names)
            top += _STRIP + _GAP
        for model, table in tables.items():
            second, label, prediction = table.of_video(video)
            _ribbon(axes, second, prediction, top, names)
            counts = statistics.confusion(label, prediction, len(names))
            scores = statistics.video_scores(counts) if counts.any() else {}
            missing = "-" if has_truth else ""
            shown = (f"{100 * scores[k]:.1f}" if scores else missing for k in ("accuracy", "f1"))
            _beside(axes, top + _STRIP / 2, *shown, *([model] if len(tables) > 1 else []))
            top += _STRIP + _GAP
            if strips[model] > 1:
                _probabilities(axes, second, table, video, top)
                top += _STRIP + _GAP
    if has_truth:
        _beside(axes, -0.12, "accuracy", "F1")
    axes.set_ylim(tops[-1] + height - _BETWEEN, 0)
    axes.set_yticks(tops + (height - _BETWEEN) / 2, [wrapped(name, 28) for name in first.videos])
    figures.time_axis(axes, length)
    of_each = "" if len(tables) == 1 else " of each model"
    below = " and probabilities" if max(strips.values()) > 1 else ""
    above = "truth; prediction" if has_truth else "prediction"
    axes.set_title(f"From above: {above}{below}{of_each}", loc="left", pad=9)
    bare(axes, keep="bottom")
    return figure


def _ribbon(axes: Axes, second, number, top: float, names: list[str]) -> None:
    """Paints classes, int [n], at their seconds, int [n] (rising), from `top` downwards."""
    frame = _frame_at(second)
    stride = -(-len(frame) // _COLUMNS)
    shown = np.where(frame < 0, -2, number[frame])[::stride]
    _paint(axes, shown[np.newaxis], stride, top)
    for start, end in stretches(shown):
        x, until = start * stride, min(end * stride, len(frame))
        if shown[start] > -2 and until - x > axes.get_xlim()[1] / _POINTED_AT:
            name = "Unknown" if shown[start] < 0 else names[shown[start]]
            told = f"{name}, {clock(x)} to {clock(until)}"
            tell(axes, told, x, top, until - x, _STRIP)


def _probabilities(axes: Axes, second, table: Predictions, video: str, top: float) -> None:
    """Paints classes upwards, each as high as its mean probability over a column."""
    rows = np.flatnonzero(table.video == video)
    chances = table.probabilities[rows[np.argsort(table.second[rows])]]
    frame = _frame_at(second)
    stride = -(-len(frame) // _MEANS)
    frame = np.pad(frame, (0, -len(frame) % stride), constant_values=-1).reshape(-1, stride)
    weight = (frame >= 0) / np.maximum((frame >= 0).sum(axis=1, keepdims=True), 1)
    tops = np.einsum("ijk,ij->ik", chances[frame], weight).cumsum(axis=1)
    heights = (np.arange(_LINES, 0, -1)[:, np.newaxis, np.newaxis] - 0.5) / _LINES
    found = (tops < heights).sum(axis=-1)
    _paint(axes, np.where(found < chances.shape[1], found, -2), stride, top)


def _frame_at(second: np.ndarray) -> np.ndarray:
    """Which frame shows each second of a video, -1 none.

    A frame stands for the time to the next one, and the first of a second for all of that second:
    videos may be sampled at less than 1 fps, or at more.
    """
    step = max(1, int(np.median(np.diff(second)))) if len(second) > 1 else 1
    latest_first = np.arange(len(second))[::-1]  # the last to be written is the first in time
    whole = np.floor(second[latest_first]).astype(np.int64)
    frame = np.full(whole[0] + step, -1)
    for offset in reversed(range(step)):
        frame[whole + offset] = latest_first
    return frame


def _paint(axes: Axes, number: np.ndarray, stride: int, top: float) -> None:
    """Paints classes, int [lines, columns of `stride` seconds]; -1 is unknown, -2 left blank."""
    palette = to_rgba_array([*figures.CLASS_COLOURS, "none", figures.UNKNOWN_COLOUR])
    colours = palette[np.where(number < 0, number, number % len(figures.CLASS_COLOURS))]
    extent = (0, number.shape[1] * stride, top + _STRIP, top)
    limits = axes.get_xlim()
    axes.imshow(colours, extent=extent, aspect="auto", interpolation="none")
    axes.set_xlim(limits)


def _beside(axes: Axes, y: float, *texts: str) -> None:
    """Writes columns at the right of a timeline."""
    for text, points, side in zip(texts, (58, 90, 102), ("right", "right", "left"), strict=False):
        place = {"xytext": (points, 0), "textcoords": "offset points", "ha": side, "va": "center"}
        at = {"xycoords": axes.get_yaxis_transform(), "annotation_clip": False}
        axes.annotate(text, (1, y), **at, **place, fontsize=SMALL)
