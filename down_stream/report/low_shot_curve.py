"""The curve of few labels: what is labelled against the score, a line per encoder."""

import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from down_stream.report.figures import FAINT, RULE, legend_below, new_figure

# Okabe and Ito (2008), those of enough contrast on white; the markers tell them apart without.
_LINES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#000000", "v"))


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
        colour, marker = _LINES[number % len(_LINES)]
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
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    legend_below(axes)
    lines = [line for text in texts for line in textwrap.wrap(text, 110)]
    figure.supxlabel("\n".join(lines), fontsize=9, x=0.02, ha="left")
    return figure


def _baseline(axes: Axes, summary: dict) -> None:
    """The baseline with the most labels, and with how few the others are shown to be better."""
    by_number = summary["table"][summary["baseline"]]
    most = max(by_number, key=int)
    target = by_number[most]["mean"]
    if target is None:
        return
    label = f"{summary['baseline']}, {most} {summary['counted']}: {100 * target:.1f}"
    axes.axhline(100 * target, color=FAINT, linestyle="--", linewidth=1, label=label, zorder=1)
    for saved in summary["saved"].values():
        if saved["videos"] is not None:
            point = {"color": "white", "markeredgecolor": FAINT, "zorder": 3}
            axes.plot(saved["videos"], 100 * target, "o", **point)
