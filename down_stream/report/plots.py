"""Pictures of predictions and of training, as PNG files; one colour per class in all of them.

Drawn on figures of their own, never through pyplot: nothing global changes, no display is needed.
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import auc, roc_curve

from down_stream.metrics import statistics
from down_stream.metrics.predictions import Predictions
from down_stream.report.class_scores import ClassScores
from down_stream.report.wording import words

# By phase id (more phases than colours: from the start again). The palette of Okabe and Ito (2008)
# with its colours moved apart: any two differ by more than 25 in CIELAB, for normal vision and for
# the three kinds of colour blindness as simulated by Machado et al. (2009).
CLASS_COLOURS = ("#63DDEA", "#1C49DB", "#FFD16B", "#03967C", "#C77A00", "#A350B0", "#B13529")
UNKNOWN_COLOUR = "#D9D9D9"
_CURVE_COLOURS = ("#1C49DB", "#03967C", "#C77A00", "#A350B0", "#B13529")
_INK, _FAINT = "#222222", "#767676"


def phase_timeline(predictions: Predictions, path: str | Path) -> None:
    """Draws the phases of each video over time: a ribbon of the truth, below it the prediction.

    Where probabilities were given they are below, stacked in the order of the phases. Beside a
    video stand its accuracy and F1 (protocol `video`), in percent. A frame whose phase is unknown
    is grey; a time without a frame is blank.
    """
    videos = predictions.videos
    has_chances = not np.isnan(predictions.probabilities).any()
    figure = _figure(11, 1.8 + (0.6 if has_chances else 0.36) * len(videos))
    axes = figure.add_subplot()
    height = 0.25 if has_chances else 0.36
    for row, name in enumerate(videos):
        second, label, prediction = predictions.of_video(name)
        _ribbon(axes, second, label[np.newaxis], row - 0.38, height)
        _ribbon(axes, second, prediction[np.newaxis], row - 0.34 + height, height)
        if has_chances:
            _ribbon(axes, second, _stacked(predictions, name), row - 0.3 + 2 * height, 0.22)
        counts = statistics.confusion(label, prediction, len(predictions.classes))
        scores = statistics.video_scores(counts) if counts.any() else {}
        _beside(axes, row, *(f"{100 * scores[k]:.1f}" if scores else "-" for k in _BESIDE))
    _beside(axes, -0.8, *_BESIDE.values())
    axes.set_xlim(0, (predictions.second.max() + 1) / 60)
    axes.set_ylim(len(videos) - 0.5, -0.5)
    axes.set_yticks(range(len(videos)), videos, parse_math=False)  # names may hold $
    axes.set_xlabel("time in minutes")
    below = ", probabilities" if has_chances else ""
    axes.set_title(f"From above: truth, prediction{below}", loc="left", pad=14)
    _bare(axes, keep="bottom")
    handles = [
        Patch(color=CLASS_COLOURS[k % len(CLASS_COLOURS)], label=words(name))
        for k, name in enumerate(predictions.classes)
    ]
    if (predictions.label < 0).any():
        handles.append(Patch(color=UNKNOWN_COLOUR, label="Unknown"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, format="png")


def confusion_matrix(predictions: Predictions, path: str | Path) -> None:
    """Draws which classes are taken for which, over all frames whose class is known.

    A row is a class of the truth. Its cells say which part of its frames was given each class: in
    percent (also as shade) and in frames.
    """
    classes = predictions.classes
    counts = statistics.confusion(predictions.label, predictions.prediction, len(classes))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = _figure(3.4 + 0.9 * len(classes), 2.2 + 0.8 * len(classes))
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (truth, predicted), count in np.ndenumerate(counts):
        share = shares[truth, predicted]
        text = f"{100 * share:.1f} %\n{count:,}" if counts[truth].any() else "-"
        ink = "white" if share > 0.55 else _INK if count else _FAINT
        axes.text(predicted, truth, text, ha="center", va="center", color=ink, fontsize=9)
    names = ["\n".join(words(name).rsplit(" ", 1)) for name in classes]
    axes.set_xticks(range(len(classes)), names, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(classes)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{counts.sum():,} frames, in % of each true class", loc="left")
    _bare(axes)
    axes.tick_params(pad=13)
    for k in range(len(classes)):  # the colour of each class, along both axes
        line = {"color": CLASS_COLOURS[k % len(CLASS_COLOURS)], "linewidth": 6, "clip_on": False}
        line["solid_capstyle"] = "butt"
        along, beside = (k - 0.5, k + 0.5), (-0.012, -0.012)
        axes.plot(along, beside, transform=axes.get_xaxis_transform(), **line)
        axes.plot(beside, along, transform=axes.get_yaxis_transform(), **line)
    figure.savefig(path, format="png")


def history(
    history: dict[str, list[float]], path: str | Path, best_epoch: int | None = None
) -> None:
    """Draws learning curves over the epochs: losses in one panel, other metrics in another.

    Args:
      history: name -> one value per epoch, as Keras records them. `NAME` (dashed) and `val_NAME`
        share a colour; `learning_rate` is left out.
      path: of the PNG file.
      best_epoch: the one that was tested, counted from 0, to be marked.

    Raises:
      ValueError: there is no curve in it.
    """
    parts = panels(history)
    if not parts:
        raise ValueError(f"no curve to draw in a history of {sorted(history)}")
    figure = _figure(5.5 * len(parts), 4)
    for axes, (title, part) in zip(
        figure.subplots(1, len(parts), squeeze=False)[0], parts, strict=True
    ):
        _curves(axes, part)
        if best_epoch is not None:
            label = f"epoch tested: {best_epoch + 1}"
            axes.axvline(best_epoch + 1, color=_FAINT, linestyle=":", label=label, zorder=1)
        axes.set_title(title, loc="left")
        axes.legend(frameon=False, fontsize=9)
    figure.savefig(path, format="png")


def class_bars(scores: ClassScores, path: str | Path) -> None:
    """Draws one panel per score: a bar per class, in its colour, with its confidence interval."""
    titles = list(next(iter(scores.values())))
    figure = _figure(2.2 + 2.9 * len(titles), 1.2 + 0.36 * len(scores))
    panel = figure.subplots(1, len(titles), squeeze=False, sharey=True)[0]
    rows = np.arange(len(scores))
    colours = [CLASS_COLOURS[k % len(CLASS_COLOURS)] for k in rows]
    for axes, title in zip(panel, titles, strict=True):
        value, low, high = 100 * np.array([found[title] for found in scores.values()]).T
        axes.barh(rows, np.nan_to_num(value), height=0.7, color=colours)
        for colour, width in (("white", 3.2), (_INK, 1.2)):  # to be seen on every colour
            axes.hlines(rows, low, high, color=colour, linewidth=width)
        for row in rows:
            text = "-" if np.isnan(value[row]) else f"{value[row]:.1f}"
            axes.text(103, row, text, va="center", color=_INK, fontsize=9)
        axes.set_xlim(0, 100)
        axes.set_title(f"{title} in %", loc="left")
        _bare(axes, keep="bottom")
    panel[0].set_yticks(rows, [words(name) for name in scores])
    panel[0].invert_yaxis()
    figure.savefig(path, format="png")


def roc_picture(predictions: Predictions, path: str | Path) -> None:
    """Draws the ROC curve of the second of two classes, with the point of the prediction.

    Raises:
      ValueError: there is no such curve (see `roc`).
    """
    curve = roc(predictions)
    if curve is None:
        raise ValueError("a ROC curve needs probabilities and frames of exactly two classes")
    false, true, area, point = curve
    figure = _figure(5, 4.8)
    axes = figure.add_subplot()
    axes.plot((0, 1), (0, 1), color="#E5E5E5")
    axes.plot(false, true, color=_CURVE_COLOURS[0], label=f"area under the curve {area:.3f}")
    axes.plot(*point, "o", color=_CURVE_COLOURS[0], label="where the prediction stands")
    axes.set_xlabel("1 - specificity")
    axes.set_ylabel("sensitivity")
    axes.set_title(f"Probability of {words(predictions.classes[1])}", loc="left")
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    _bare(axes, keep="bottom")
    figure.savefig(path, format="png")


# What is drawn, for pictures of any kind.


def panels(history: dict[str, list[float]]) -> list[tuple[str, dict[str, np.ndarray]]]:
    """(title, curves by name) of losses and of other metrics, as far as there are any."""
    curves = {k: np.asarray(v) for k, v in history.items() if k != "learning_rate" and len(v)}
    losses = {name: values for name, values in curves.items() if "loss" in name}
    others = {name: values for name, values in curves.items() if "loss" not in name}
    return [(title, part) for title, part in (("Loss", losses), ("Metrics", others)) if part]


def styles(curves: dict[str, np.ndarray]) -> list[tuple[str, int, bool]]:
    """(name, number of its colour, whether dashed): NAME and val_NAME share a colour."""
    bases = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
    return [
        (
            name,
            bases.index(name.removeprefix("val_")) % len(_CURVE_COLOURS),
            f"val_{name}" in curves,
        )
        for name in curves
    ]


def roc(predictions: Predictions) -> tuple[np.ndarray, np.ndarray, float, tuple] | None:
    """ROC curve of the second of two classes, over the frames whose class is known.

    Returns:
      False and true positive rates, float [n] each, the area below them, and (false, true) of the
      predictions. None where there are not two classes, both in the truth, or no probabilities.
    """
    known = predictions.label >= 0
    label, chances = predictions.label[known], predictions.probabilities[known]
    if len(predictions.classes) != 2 or len(np.unique(label)) != 2 or np.isnan(chances).any():
        return None
    false, true, _ = roc_curve(label, chances[:, 1])
    guess = predictions.prediction[known]
    point = tuple(float((guess[label == k] == 1).mean()) for k in (0, 1))
    return false, true, float(auc(false, true)), point


# Parts of the pictures.

_DPI = 150
_BESIDE = {"accuracy": "accuracy", "f1": "F1"}  # scores beside a ribbon, and their headings


def _figure(width: float, height: float) -> Figure:
    """An empty figure, its size in inches, with a margin all around."""
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.12)
    return figure


def _ribbon(axes: Axes, second: np.ndarray, phase: np.ndarray, top: float, height: float) -> None:
    """Paints phases, int [lines, n], at their seconds, int [n] (rising), `height` rows high.

    -1 is an unknown phase, -2 is left blank.
    """
    palette = np.array([to_rgb(colour) for colour in (*CLASS_COLOURS, "white", UNKNOWN_COLOUR)])
    # A frame stands for the time to the next one: videos may be sampled at less than 1 fps.
    step = max(1, int(np.median(np.diff(second)))) if len(second) > 1 else 1
    colours = np.full((len(phase), second[-1] + step), -2)
    for offset in range(step):
        colours[:, second + offset] = np.where(phase < 0, phase, phase % len(CLASS_COLOURS))
    extent = (0, colours.shape[1] / 60, top + height, top)
    axes.imshow(palette[colours], extent=extent, aspect="auto", interpolation="nearest")


def _stacked(predictions: Predictions, video: str) -> np.ndarray:
    """Phases, int [40, n], each in as many of the lines as its probability says, upwards."""
    frames = np.flatnonzero(predictions.video == video)
    frames = frames[np.argsort(predictions.second[frames])]
    tops = predictions.probabilities[frames].cumsum(axis=1)
    heights = (np.arange(40, 0, -1)[:, np.newaxis, np.newaxis] - 0.5) / 40
    found = (tops < heights).sum(axis=-1)
    return np.where(found < len(predictions.classes), found, -2)


def _beside(axes: Axes, row: float, *texts: str) -> None:
    """Writes one column after the other at the right of a row of the timeline."""
    for column, text in enumerate(texts):
        place = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "center"}
        axes.text(1.08 + 0.06 * column, row, text, color=_INK, **place)


def _curves(axes: Axes, curves: dict[str, np.ndarray]) -> None:
    """Draws values [epochs], the first epoch at 1; marks them where a line needs two."""
    for name, colour, is_dashed in styles(curves):
        values = curves[name]
        marker = "o" if len(values) == 1 else None
        style = {"color": _CURVE_COLOURS[colour], "linestyle": "--" if is_dashed else "-"}
        axes.plot(np.arange(1, len(values) + 1), values, marker=marker, label=name, **style)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis="y", color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)
    _bare(axes, keep="bottom")


def _bare(axes: Axes, keep: str = "") -> None:
    """Takes away the frame, but for one side, and the ticks' dashes on the others."""
    for side, spine in axes.spines.items():
        spine.set_visible(side == keep)
    axes.tick_params(axis="y", length=0)
    if not keep:
        axes.tick_params(axis="x", length=0)
