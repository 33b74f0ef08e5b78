"""The curve of few labels: labelled videos against the score, a line per encoder."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data.storage.whole import whole_file

# Okabe and Ito (2008), those of enough contrast on white; the markers tell them apart without.
_LINES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#000000", "v"))
_FAINT = "#767676"


def draw_curve(summary: dict, texts: list[str], path: Path) -> None:
    """Draws the means with their deviations over seeds, and how much annotation is saved.

    Args:
      summary: what `down_stream.low_shot.grid.run_grid` returns.
      texts: lines below the picture.
      path: of the PNG file; what is there is replaced at once.
    """
    figure = Figure(figsize=(7.5, 5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for number, (encoder, by_number) in enumerate(summary["table"].items()):
        colour, marker = _LINES[number % len(_LINES)]
        points = [
            (int(videos), 100 * one["mean"], 100 * (one["std"] or 0.0))
            for videos, one in by_number.items()
            if one["mean"] is not None
        ]
        if points:
            videos, means, deviations = zip(*points, strict=True)
            axes.errorbar(
                videos, means, deviations, label=encoder, color=colour, marker=marker, capsize=3
            )
    _baseline(axes, summary)
    axes.set_xlim(0, 1.05 * summary["videos"])
    axes.set_xlabel("labelled training videos")
    axes.set_ylabel(f"{summary['score']} on the test videos, in %")
    axes.set_title("Mean and deviation over seeds", loc="left")
    axes.grid(axis="y", color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.supxlabel("\n".join(texts), fontsize=9, x=0.02, ha="left")
    with whole_file(path) as side:
        figure.savefig(side, format="png")


def _baseline(axes: Axes, summary: dict) -> None:
    """The baseline with the most labels, and where the others reach it."""
    by_number = summary["table"][summary["baseline"]]
    most = max(by_number, key=int)
    target = by_number[most]["mean"]
    if target is None:
        return
    label = f"{summary['baseline']}, {most} videos: {100 * target:.1f}"
    axes.axhline(100 * target, color=_FAINT, linestyle="--", linewidth=1, label=label, zorder=1)
    for saved in summary["saved"].values():
        if saved["videos"] is not None:
            axes.plot(
                saved["videos"], 100 * target, "o", color="white", markeredgecolor=_FAINT, zorder=3
            )
