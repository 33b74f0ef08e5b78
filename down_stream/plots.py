"""Pictures of phase predictions and of training, as PNG files; one colour per phase in all of them.

Drawn on figures of their own, never through pyplot: nothing global changes, no display is needed.
"""

import re
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from down_stream import metrics
from down_stream.predictions import Predictions

# By phase id (more phases than colours: from the start again). The palette of Okabe and Ito (2008)
# with its colours moved apart: any two differ by more than 25 in CIELAB, for normal vision and for
# the three kinds of colour blindness as simulated by Machado et al. (2009).
PHASE_COLOURS = ("#63DDEA", "#1C49DB", "#FFD16B", "#03967C", "#C77A00", "#A350B0", "#B13529")
UNKNOWN_COLOUR = "#D9D9D9"

_CURVE_COLOURS = ("#1C49DB", "#03967C", "#C77A00", "#A350B0", "#B13529")
_INK, _FAINT = "#222222", "#767676"

# Which epoch was the best: the first of these that was recorded decides.
_BEST_BY = {"val_macro_f1": np.nanargmax, "val_accuracy": np.nanargmax, "val_loss": np.nanargmin}


def phase_timeline(predictions: Predictions, path: str | Path) -> None:
    """Draws the phases of each video over time: a ribbon of the truth, below it the prediction.

    Beside a video stand its accuracy and F1 (protocol `video`), in percent. A frame whose phase
    is unknown is grey; a time without a frame is blank.
    """
    videos = predictions.videos
    figure = _figure(11, 1.8 + 0.36 * len(videos))
    axes = figure.add_subplot()
    for row, name in enumerate(videos):
        second, label, prediction = predictions.of_video(name)
        _ribbon(axes, second, label, top=row - 0.38)
        _ribbon(axes, second, prediction, top=row + 0.02)
        counts = metrics.confusion(label, prediction, len(predictions.classes))
        scores = metrics.video_scores(counts) if counts.any() else {}
        _beside(axes, row, *(f"{100 * scores[k]:.1f}" if scores else "-" for k in _BESIDE))
    _beside(axes, -0.8, *_BESIDE.values())
    axes.set_xlim(0, (predictions.second.max() + 1) / 60)
    axes.set_ylim(len(videos) - 0.5, -0.5)
    axes.set_yticks(range(len(videos)), videos)
    axes.set_xlabel("time in minutes")
    axes.set_title("Truth (upper ribbon) and prediction (lower ribbon)", loc="left", pad=14)
    _bare(axes, keep="bottom")
    handles = [
        Patch(color=PHASE_COLOURS[k % len(PHASE_COLOURS)], label=_words(name))
        for k, name in enumerate(predictions.classes)
    ]
    if (predictions.label < 0).any():
        handles.append(Patch(color=UNKNOWN_COLOUR, label="Unknown"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, format="png")


def confusion_matrix(predictions: Predictions, path: str | Path) -> None:
    """Draws which phases are taken for which, over all frames whose phase is known.

    A row is a phase of the truth. Its cells say which part of its frames was given each phase: in
    percent (also as shade) and in frames.
    """
    classes = predictions.classes
    counts = metrics.confusion(predictions.label, predictions.prediction, len(classes))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = _figure(3.4 + 0.9 * len(classes), 2.2 + 0.8 * len(classes))
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (truth, predicted), count in np.ndenumerate(counts):
        share = shares[truth, predicted]
        text = f"{100 * share:.1f} %\n{count:,}" if counts[truth].any() else "-"
        ink = "white" if share > 0.55 else _INK if count else _FAINT
        axes.text(predicted, truth, text, ha="center", va="center", color=ink, fontsize=9)
    names = ["\n".join(_words(name).rsplit(" ", 1)) for name in classes]
    axes.set_xticks(range(len(classes)), names, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(classes)), names)
    axes.set_xlabel("predicted phase")
    axes.set_ylabel("true phase")
    axes.set_title(f"Predictions of {counts.sum():,} frames, in % of each true phase", loc="left")
    _bare(axes)
    axes.tick_params(pad=13)
    for k in range(len(classes)):  # the colour of each phase, along both axes
        line = {"color": PHASE_COLOURS[k % len(PHASE_COLOURS)], "linewidth": 6, "clip_on": False}
        line["solid_capstyle"] = "butt"
        along, beside = (k - 0.5, k + 0.5), (-0.012, -0.012)
        axes.plot(along, beside, transform=axes.get_xaxis_transform(), **line)
        axes.plot(beside, along, transform=axes.get_yaxis_transform(), **line)
    figure.savefig(path, format="png")


def history(history: dict[str, list[float]], path: str | Path) -> None:
    """Draws learning curves over the epochs: losses in one panel, other metrics in another.

    The best epoch is marked: by `val_macro_f1`, else `val_accuracy`, else `val_loss`.

    Args:
      history: name -> one value per epoch, as Keras records them. `NAME` (dashed) and `val_NAME`
        share a colour; `learning_rate` is left out.
      path: of the PNG file.

    Raises:
      ValueError: there is no curve in it.
    """
    curves = {k: np.asarray(v) for k, v in history.items() if k != "learning_rate" and len(v)}
    losses = {name: values for name, values in curves.items() if "loss" in name}
    others = {name: values for name, values in curves.items() if "loss" not in name}
    panels = [(title, part) for title, part in (("Loss", losses), ("Metrics", others)) if part]
    if not panels:
        raise ValueError(f"no curve to draw in a history of {sorted(history)}")
    figure = _figure(5.5 * len(panels), 4)
    by = next((k for k in _BEST_BY if k in curves and np.isfinite(curves[k]).any()), None)
    for axes, (title, part) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        _curves(axes, part)
        if by:
            best = int(_BEST_BY[by](curves[by]))
            label = f"best epoch: {best + 1} ({by} {curves[by][best]:.3g})"
            axes.axvline(best + 1, color=_FAINT, linestyle=":", label=label, zorder=1)
        axes.set_title(title, loc="left")
        axes.legend(frameon=False, fontsize=9)
    figure.savefig(path, format="png")


# Parts of the pictures.

_DPI = 150
_BESIDE = {"accuracy": "accuracy", "f1": "F1"}  # scores beside a ribbon, and their headings


def _figure(width: float, height: float) -> Figure:
    """An empty figure, its size in inches, with a margin all around."""
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.12)
    return figure


def _ribbon(axes: Axes, second: np.ndarray, phase: np.ndarray, top: float) -> None:
    """Paints phases, int [n], at their seconds, int [n] (rising), 0.36 rows high."""
    palette = np.array([to_rgb(colour) for colour in (*PHASE_COLOURS, UNKNOWN_COLOUR, "white")])
    unknown, blank = len(PHASE_COLOURS), len(PHASE_COLOURS) + 1
    # A frame stands for the time to the next one: videos may be sampled at less than 1 fps.
    step = int(np.median(np.diff(second))) if len(second) > 1 else 1
    colours = np.full(second[-1] + step, blank)
    for offset in range(step):
        colours[second + offset] = np.where(phase < 0, unknown, phase % len(PHASE_COLOURS))
    extent = (0, len(colours) / 60, top + 0.36, top)
    axes.imshow(palette[colours][np.newaxis], extent=extent, aspect="auto", interpolation="nearest")


def _beside(axes: Axes, row: float, *texts: str) -> None:
    """Writes one column after the other at the right of a row of the timeline."""
    for column, text in enumerate(texts):
        place = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "center"}
        axes.text(1.08 + 0.06 * column, row, text, color=_INK, **place)


def _curves(axes: Axes, curves: dict[str, np.ndarray]) -> None:
    """Draws values [epochs], the first epoch at 1; marks them where a line needs two."""
    colours = {}
    for name, values in curves.items():
        base = name.removeprefix("val_")
        colours.setdefault(base, _CURVE_COLOURS[len(colours) % len(_CURVE_COLOURS)])
        style = "-" if name != base or f"val_{base}" not in curves else "--"
        marker = "o" if len(values) == 1 else None
        epochs = np.arange(1, len(values) + 1)
        axes.plot(epochs, values, style, color=colours[base], marker=marker, label=name)
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


def _words(name: str) -> str:
    """The name of a phase for people: CalotTriangleDissection -> Calot triangle dissection."""
    return re.sub(r"(?<=[a-z])([A-Z])", lambda match: " " + match[0].lower(), name)
