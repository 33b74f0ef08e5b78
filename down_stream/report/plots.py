"""Pictures of scores and of training, and the curve of few labels; one colour per class.

Each function draws a `Figure`, for `down_stream.report.figures` to write; None where there is
nothing to draw.
"""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation
from sklearn.metrics import auc, roc_curve

from down_stream.metrics import statistics
from down_stream.metrics.predictions import Predictions
from down_stream.report import figures
from down_stream.report.class_scores import ClassScores
from down_stream.report.figures import SMALL, bare, colour_of, new_figure, tell, wrapped
from down_stream.report.wording import words

# Okabe and Ito (2008), those of enough contrast on white; the markers tell them apart without.
_STYLES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#000000", "v"))
_BLUE = (0.12, 0.37, 0.75)
# Up to so many classes: inches of a cell, letters of a name's line, names' angle, what cells say.
_CELLS = (
    (12, 0.75, 24, 35, "{share:.1f} %\n{count:,}"),
    (24, 0.34, 52, 90, "{share:.0f}"),
    (np.inf, 0.2, 52, 90, ""),
)


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


def low_shot_curve(summary: dict, seeds: str, texts: list[str]) -> Figure:
    """Draws the means with their deviations over seeds, and how much annotation is saved.

    Args:
      summary: what `down_stream.low_shot.grid.run_grid` returns.
      seeds: how many the means are of, in words.
      texts: lines below the picture.
    """
    figure = new_figure(7.5, 5.4)
    axes = figure.add_subplot()
    for number, (encoder, by_number) in enumerate(summary["table"].items()):
        colour, marker = _STYLES[number % len(_STYLES)]
        points = [
            (int(videos), 100 * one["mean"], 100 * (one["std"] or 0.0))
            for videos, one in by_number.items()
            if one["mean"] is not None
        ]
        if points:
            style = {"label": encoder, "color": colour, "marker": marker, "capsize": 3}
            axes.errorbar(*zip(*points, strict=True), **style)
    _baseline(axes, summary)
    axes.set_xlim(0, 1.05 * summary["videos"])
    axes.set_xlabel(f"labelled training {summary['counted']}")
    axes.set_ylabel(f"{summary['score']} on the test {summary['counted']}, in %")
    axes.set_title(f"Mean and deviation over {seeds}", loc="left")
    axes.grid(axis="y", color=figures.RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figures.legend_below(axes)
    lines = [line for text in texts for line in textwrap.wrap(text, 110)]
    figure.supxlabel("\n".join(lines), fontsize=9, x=0.02, ha="left")
    return figure


# Parts of the pictures.


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


def _baseline(axes: Axes, summary: dict) -> None:
    """The baseline with the most labels, and with how few the others are shown to be better."""
    by_number = summary["table"][summary["baseline"]]
    most = max(by_number, key=int)
    target = by_number[most]["mean"]
    if target is None:
        return
    label = f"{summary['baseline']}, {most} {summary['counted']}: {100 * target:.1f}"
    axes.axhline(
        100 * target, color=figures.FAINT, linestyle="--", linewidth=1, label=label, zorder=1
    )
    for saved in summary["saved"].values():
        if saved["videos"] is not None:
            point = {"color": "white", "markeredgecolor": figures.FAINT, "zorder": 3}
            axes.plot(saved["videos"], 100 * target, "o", **point)
