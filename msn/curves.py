"""Draws what runs of pre-training told while they ran: metrics.jsonl as one figure.

python -m msn.curves runs/demo/msn runs/demo/other --output=curves.png
"""

if __name__ == "__main__":  # before what takes long to import
    from data.common import stopping

    stopping.end_at_once()

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import flags

from data.common import cli
from data.common.errors import InputError
from data.storage.locking import locked_file
from data.storage.paths import AnyPath, to_path
from data.storage.whole import whole_file

# Okabe and Ito (2008) without the yellow, which is too pale for a line, and black, which is text.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
STYLES = ("-", "--", ":", "-.")
INK, FAINT = "#222222", "#767676"
DPI = 110


class Panel(NamedTuple):
    """One panel of the figure.

    Attributes:
      title: above it.
      healthy: what its curves look like when all is well.
      curves: name in metrics.jsonl -> name in the picture; each has a line style of its own.
      limit: key in `Run.limits`: where a grey line is drawn.
      bounds: values that the axis shows in any case.
      scale: of the axis.
    """

    title: str
    healthy: str
    curves: dict[str, str]
    limit: str = ""
    bounds: tuple[float, ...] = ()
    scale: str = "linear"


PANELS = (
    Panel("Loss", "falls from log K", {"loss": "loss"}, limit="log K"),
    Panel(
        "Its parts",
        "cross-entropy falls slowly, me-max is near 0",
        {"cross_entropy": "cross-entropy", "me_max": "me-max", "teacher": "teacher"},
    ),
    Panel(
        "Entropy of predictions",
        "the mean's stays at log K, the single ones' falls",
        {"mean_entropy": "of the mean prediction", "entropy": "of single predictions"},
        limit="log K",
    ),
    Panel(
        "Prototypes in use, of a batch",
        "a good part of them",
        {"prototypes_used": "prototypes"},
        limit="min(batch, K)",
        bounds=(0,),
    ),
    Panel(
        "Standard deviation of embeddings",
        "far from 0",
        {"embedding_std": "deviation"},
        bounds=(0, 1),
    ),
    Panel(
        "Effective rank of embeddings",
        "far above 1, does not fall for long",
        {"effective_rank": "rank"},
        bounds=(1,),
    ),
    Panel(
        "Gradient norms",
        "no spikes, the blocks' are alike",
        {
            "gradient_norm": "encoder and head",
            "gradient_norm_first_block": "first block",
            "gradient_norm_last_block": "last block",
        },
        scale="log",
    ),
    Panel(
        "k-NN on other patients",
        "rises",
        {"knn_macro_f1": "macro-F1", "knn_average_precision": "average precision"},
        bounds=(0, 0.5),
    ),
    Panel(
        "k-NN of a frame's source",
        "not near 1 while the task falls",
        {"source_knn": "data sets or videos", "source_chance": "by chance"},
        bounds=(0, 1),
    ),
    Panel(
        "Share of time waiting for input",
        "below 0.1",
        {"waiting_for_input": "share"},
        bounds=(0, 0.2),
    ),
)


# What is told of a run at its end: name in metrics.jsonl -> title, and how it is written.
LAST = {
    "loss": ("loss", "{:.4f}"),
    "knn_macro_f1": ("k-NN macro-F1", "{:.3f}"),
    "knn_average_precision": ("k-NN average precision", "{:.3f}"),
}


class Run(NamedTuple):
    """What is drawn of a run.

    Attributes:
      name: of its folder.
      curves: name in metrics.jsonl -> float [2, n]: the steps at which it was recorded, its values.
      limits: name -> what no curve can exceed.
    """

    name: str
    curves: dict[str, np.ndarray]
    limits: dict[str, float]


def draw(workdirs: Sequence[str | Path], output: str | Path) -> None:
    """Draws the curves of one or several runs over their steps, a panel for each question.

    A run has a colour, each of a panel's values a line style. Values that were not finite are gaps.

    Args:
      workdirs: run directories of msn.train, at most as many as there are colours.
      output: PNG file that is written.

    Raises:
      InputError: no run, or nothing logged yet.
    """
    if not 1 <= len(workdirs) <= len(COLOURS):
        raise InputError(f"{len(workdirs)} runs; expected 1 to {len(COLOURS)}")
    runs = [read_run(to_path(workdir)) for workdir in workdirs]
    from matplotlib.figure import Figure  # half a second, of which a wrong folder needs nothing
    from matplotlib.lines import Line2D

    rows = -(-len(PANELS) // 3)
    figure = Figure(figsize=(13, 3.2 * rows), dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
    places = iter(figure.subplots(rows, 3).flat)
    for panel, axes in zip(PANELS, places, strict=False):
        draw_panel(axes, panel, runs)
    for axes in places:  # of the last row
        axes.remove()
    handles = [Line2D([], [], color=c, lw=2.5) for c, _ in zip(COLOURS, runs, strict=False)]
    names = [run.name for run in runs]
    figure.legend(handles, names, loc="outside upper left", ncols=len(runs), frameon=False)
    with locked_file(Path(output)), whole_file(Path(output)) as side:
        figure.savefig(side, format="png")


def read_run(workdir: AnyPath) -> Run:
    """Reads metrics.jsonl and config.json of a run directory.

    Raises:
      InputError: one of them is missing, or no step is logged yet.
    """
    log, settings = workdir / "metrics.jsonl", workdir / "config.json"
    for file in (log, settings):
        if not file.is_file():
            raise InputError(f"{workdir}: not a run of msn.train (no {file.name})")
    whole = (line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n"))
    try:
        lines = [json.loads(line) for line in whole]  # half a line is of a run that was killed
        if not lines:
            raise InputError(f"{log}: no step has been logged yet")
        curves = {
            name: np.array([(line["step"], line[name]) for line in lines if name in line], float).T
            for name in {name for line in lines for name in line}
        }
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{log}: damaged ({error!r}); expected a step in each line") from error
    try:
        config = json.loads(settings.read_text())
        prototypes = config["model"]["num_prototypes"]
        used = min(config["batch_size"], prototypes)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(
            f"{settings}: damaged ({error!r}); expected the configuration of a run of msn.train"
        ) from error
    return Run(workdir.name, curves, {"log K": math.log(prototypes), "min(batch, K)": used})


def last_values(workdirs: Iterable[str | Path]) -> str:
    """A table of what runs have logged last, a line for each: step, loss and scores of the probe.

    Those that have logged nothing yet, or cannot be read, have no values.
    """
    rows = [("run", "step", *(title for title, _ in LAST.values()))]
    for workdir in map(to_path, workdirs):
        try:
            curves = read_run(workdir).curves
        except InputError:
            rows.append((workdir.name, "-", *["-"] * len(LAST)))
            continue
        steps = max(int(steps[-1]) for steps, _ in curves.values())
        values = [
            shape.format(curves[name][1][-1]) if name in curves else "-"
            for name, (_, shape) in LAST.items()
        ]
        rows.append((workdir.name, str(steps), *values))
    kept = [n for n in range(len(rows[0])) if n < 3 or any(row[n] != "-" for row in rows[1:])]
    widths = [max(len(row[n]) for row in rows) for n in kept]
    return "\n".join(
        "  ".join(
            row[n].ljust(width) if n == 0 else row[n].rjust(width)
            for n, width in zip(kept, widths, strict=True)
        )
        for row in rows
    )


def draw_panel(axes, panel: Panel, runs: list[Run]) -> None:
    """Draws one panel on Matplotlib's axes: every run's curves, its limits, what is healthy."""
    for colour, run in zip(COLOURS, runs, strict=False):
        for style, name in zip(STYLES, panel.curves, strict=False):
            steps, values = run.curves.get(name, ((), ()))
            marker = "o" if len(steps) == 1 else None
            axes.plot(steps, values, linestyle=style, color=colour, lw=1.6, marker=marker)
    for limit in {run.limits[panel.limit] for run in runs} if panel.limit else ():
        axes.axhline(limit, color=FAINT, lw=0.9, zorder=1)
    if not any(len(line.get_xdata()) for line in axes.lines):
        axes.text(0.5, 0.5, "not recorded", color=FAINT, ha="center", transform=axes.transAxes)
        axes.set(xticks=[], yticks=[])
    legend(axes, panel)
    axes.update_datalim([(0, bound) for bound in panel.bounds], updatex=False)
    axes.set_yscale(panel.scale)
    axes.autoscale_view()
    axes.set_title(panel.title, loc="left", color=INK, fontsize=11, pad=20)
    axes.text(
        0, 1.03, f"healthy: {panel.healthy}", transform=axes.transAxes, color=FAINT, fontsize=9
    )
    axes.set_xlabel("step", color=FAINT)
    axes.grid(axis="y", color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0, which="both")


def legend(axes, panel: Panel) -> None:
    """Says what the line styles mean, where there is more than one line."""
    from matplotlib.lines import Line2D

    handles = {
        name: Line2D([], [], color=INK, linestyle=style)
        for style, name in zip(STYLES, panel.curves.values(), strict=False)
    }
    if panel.limit:
        handles[panel.limit] = Line2D([], [], color=FAINT, lw=0.9)
    if len(handles) > 1:
        axes.legend(handles.values(), handles.keys(), frameon=False, fontsize=8, loc="best")


def main(*workdirs: str) -> None:
    """Draws the curves of the run directories given."""
    output = flags.FLAGS.output
    draw(workdirs, output)
    print(f"written to {output}")


if __name__ == "__main__":
    flags.DEFINE_string("output", "curves.png", "PNG file that is written")
    cli.run(main, wrong_input=(InputError,), positional="WORKDIR ...")
