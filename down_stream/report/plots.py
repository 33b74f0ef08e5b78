"""Pictures of predictions and of training; one colour per class in all of them.

Each function draws a `Figure`, for `down_stream.report.figures` to write; None where there is
nothing to draw.
"""

import textwrap
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation
from sklearn.metrics import auc, roc_curve

from down_stream.metrics import statistics
from down_stream.metrics.predictions import Predictions
from down_stream.report import figures
from down_stream.report.class_scores import ClassScores
from down_stream.report.figures import SMALL, bare, colour_of, new_figure, tell, wrapped
from down_stream.report.wording import clock, words

_STRIP, _GAP, _BETWEEN = 0.2, 0.025, 0.12  # inches, of a timeline
_COLUMNS = 1200  # of a ribbon, at most: a longer video is drawn in steps of several seconds
_MEANS = 240  # columns of the probabilities, at most
_LINES = 40  # of the probabilities
_POINTED_AT = 200  # pieces of a ribbon below such a part of its width do not tell their time
_BLUE = (0.12, 0.37, 0.75)
# Up to so many classes: inches of a cell, letters of a name's line, names' angle, what cells say.
_CELLS = (
    (12, 0.75, 24, 35, "{share:.1f} %\n{count:,}"),
    (24, 0.34, 52, 90, "{share:.0f}"),
    (np.inf, 0.2, 52, 90, ""),
)


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


def confusion_matrix(predictions: Predictions) -> Figure:
    """Which classes are taken for which, over all frames whose class is known.

    A row is a class of the truth. Its cells say which part of its frames was given each class: as
    shade and, where there is room, in percent and in frames; else a page tells them.
    """
    number = len(predictions.classes)
    counts = statistics.confusion(predictions.label, predictions.prediction, number)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    _, cell, letters, angle, says = next(row for row in _CELLS if number <= row[0])
    cell = max(cell, 3 / number)
    names = [words(name) for name in predictions.classes]
    lines = [
        textwrap.wrap(name, letters, max_lines=3 if angle < 90 else 1, placeholder="…")
        for name in names
    ]
    labels = ["\n".join(of_name) for of_name in lines]
    margin = figures.width_of(labels)
    figure = new_figure(cell * number + margin + 0.9, cell * number + margin * angle / 90 + 1.3)
    axes = figure.add_subplot()
    shades = np.concatenate([np.broadcast_to(_BLUE, (*shares.shape, 3)), shares[..., None]], axis=2)
    axes.imshow(shades, aspect="auto", interpolation="none")
    for (truth, predicted), count in np.ndenumerate(counts):
        share = shares[truth, predicted]
        text = says.format(share=100 * share, count=count) if counts[truth].any() else "-"
        if says:
            ink = "white" if share > 0.7 else "black" if count else figures.FAINT
            place = {"ha": "center", "va": "center", "fontsize": SMALL}
            axes.text(predicted, truth, text, color=ink, **place)
        if count and angle == 90:
            told = f"{names[truth]}, taken for {names[predicted]}: {100 * share:.1f} % ({count:,})"
            tell(axes, told, predicted - 0.5, truth - 0.5, 1, 1)
    turned = {"rotation": angle, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(number), labels, va="center" if angle == 90 else "top", **turned)
    axes.set_yticks(range(number), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{counts.sum():,} frames, in % of each true class", loc="left")
    bare(axes)
    axes.tick_params(pad=10, labelsize=SMALL)
    aside = [ScaledTranslation(x, y, figure.dpi_scale_trans) for x, y in ((0, -0.07), (-0.07, 0))]
    for k in range(number):  # the colour of each class, along both axes
        line = {"color": colour_of(k), "linewidth": 6, "clip_on": False, "solid_capstyle": "butt"}
        along, edge = (k - 0.5, k + 0.5), (0, 0)
        axes.plot(along, edge, transform=axes.get_xaxis_transform() + aside[0], **line)
        axes.plot(edge, along, transform=axes.get_yaxis_transform() + aside[1], **line)
    return figure


def history(history: dict[str, list[float]], best_epoch: int | None = None) -> Figure | None:
    """Learning curves over the epochs: losses in one panel, other metrics in another.

    Args:
      history: name -> one value per epoch, as Keras records them. `NAME` (dashed) and `val_NAME`
        share a colour; `learning_rate` is left out.
      best_epoch: the one that was tested, counted from 0, to be marked.
    """
    curves = {k: np.asarray(v) for k, v in history.items() if k != "learning_rate" and len(v)}
    losses = {name: values for name, values in curves.items() if "loss" in name}
    likelihood = {name: values for name, values in curves.items() if "likelihood" in name}
    others = {k: v for k, v in curves.items() if k not in losses | likelihood}
    parts = {"Loss": losses, "Log-likelihood": likelihood, "Metrics": others}
    parts = {title: part for title, part in parts.items() if part}
    if not parts:
        return None
    figure = new_figure(5.5 * len(parts), 4.2)
    panels = figure.subplots(1, len(parts), squeeze=False)[0]
    for axes, (title, part) in zip(panels, parts.items(), strict=True):
        _curves(axes, part)
        if best_epoch is not None:
            label = f"epoch tested: {best_epoch + 1}"
            axes.axvline(best_epoch + 1, color=figures.FAINT, linestyle=":", label=label, zorder=1)
        axes.set_title(title, loc="left")
        figures.legend_below(axes)
    return figure


def class_bars(scores: ClassScores) -> Figure:
    """One panel per score: a bar per class, in its colour, with its confidence interval."""
    titles = list(next(iter(scores.values())))
    names = [wrapped(words(name), 30) for name in scores]
    lines = max(name.count("\n") + 1 for name in names)
    width = 0.5 + figures.width_of(names) + 2.85 * len(titles)
    figure = new_figure(width, 0.9 + max(0.26, 0.17 * lines) * len(scores))
    panels = figure.subplots(1, len(titles), squeeze=False, sharey=True)[0]
    rows = np.arange(len(scores))
    for axes, title in zip(panels, titles, strict=True):
        value, low, high = 100 * np.array([found[title] for found in scores.values()]).T
        axes.barh(rows, np.nan_to_num(value), height=0.7, color=[colour_of(k) for k in rows])
        for colour, width in ((figures.GROUND, 3.2), ("black", 1.2)):  # to be seen on every colour
            axes.hlines(rows, low, high, color=colour, linewidth=width)
        for row in rows:
            text = "-" if np.isnan(value[row]) else f"{value[row]:.1f}"
            if not np.isnan(low[row]):
                text += f"  ({low[row]:.0f} to {high[row]:.0f})"
            axes.text(103, row, text, va="center", fontsize=SMALL)
        axes.set_xlim(0, 100)
        axes.set_title(f"{title} in %", loc="left")
        bare(axes, keep="bottom")
    panels[0].set_yticks(rows, names, fontsize=SMALL)
    panels[0].set_ylim(len(scores) - 0.5, -0.5)
    return figure


def roc(predictions: Predictions, positive_class: str | None) -> Figure | None:
    """ROC curve of the positive class of two, over the frames whose class is known.

    The point of the predictions is marked. None where there are not two classes, both in the
    truth, or no probabilities, or where it is not known which is positive.
    """
    if positive_class is None:
        return None
    positive = predictions.classes.index(positive_class)
    known = predictions.label >= 0
    label, chances = predictions.label[known], predictions.probabilities[known]
    if len(predictions.classes) != 2 or len(np.unique(label)) != 2 or np.isnan(chances).any():
        return None
    false, true, _ = roc_curve(label == positive, chances[:, positive])
    guess = predictions.prediction[known]
    x, y = ((guess[label == k] == positive).mean() for k in (1 - positive, positive))
    figure = new_figure(5.5, 5.2)
    axes = figure.add_subplot()
    axes.plot((0, 1), (0, 1), color=figures.RULE)
    colour = figures.CURVE_COLOURS[0]
    axes.plot(false, true, color=colour, label=f"area under the curve: {auc(false, true):.3f}")
    says = f"the prediction: sensitivity {100 * y:.1f} %, specificity {100 * (1 - x):.1f} %"
    axes.plot(x, y, "o", color=colour, label=says)
    axes.set_xlabel("1 - specificity")
    axes.set_ylabel("sensitivity")
    name = wrapped(words(positive_class), 40)
    axes.set_title(f"Probability of {name}", loc="left")
    figures.legend_below(axes, columns=1)
    bare(axes, keep="bottom")
    return figure


# Parts of the pictures.


def _ribbon(axes: Axes, second, number, top: float, names: list[str]) -> None:
    """Paints classes, int [n], at their seconds, int [n] (rising), from `top` downwards."""
    frame = _frame_at(second)
    stride = -(-len(frame) // _COLUMNS)
    shown = np.where(frame < 0, -2, number[frame])[::stride]
    _paint(axes, shown[np.newaxis], stride, top)
    for start, end in pairwise([0, *(np.flatnonzero(np.diff(shown)) + 1).tolist(), len(shown)]):
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


def _curves(axes: Axes, curves: dict[str, np.ndarray]) -> None:
    """Draws values [epochs], the first epoch at 1; marks them where a line needs two."""
    bases = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
    for name, values in curves.items():
        colour = figures.CURVE_COLOURS[
            bases.index(name.removeprefix("val_")) % len(figures.CURVE_COLOURS)
        ]
        style = {"color": colour, "linestyle": "--" if f"val_{name}" in curves else "-"}
        marker = "o" if len(values) == 1 else None
        axes.plot(np.arange(1, len(values) + 1), values, marker=marker, label=name, **style)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis="y", color=figures.RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    bare(axes, keep="bottom")
