"""Frames as points of a plane, coloured by what they are: the map of embeddings for a paper."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from down_stream.report.figures import SMALL, new_figure, width_of, wrapped
from down_stream.report.wording import words

_NAMED = 40  # colours in the legend, at most: as many as can be told apart
_ROWS = 24  # of a legend's column


def plane_picture(
    plane: np.ndarray, axes_names: tuple[str, str], names: list[str], colours: list[str], of
) -> Figure:
    """Draws the points, both axes at one scale.

    Args:
      plane: float [n, 2].
      axes_names: what lies along x and y.
      names, colours: of what points can be; more than 40 names are counted, not listed.
      of: int [n], positions in both.
    """
    listed = names if len(names) <= _NAMED else [f"{len(names)} different ones"]
    lines = [wrapped(words(name), 30) for name in listed]
    columns = -(-len(lines) // _ROWS)
    beside = columns * (width_of(lines) + 0.45)
    figure = new_figure(6.2 + beside, 5.6)
    axes = figure.add_subplot()
    axes.scatter(*plane.T, s=9, c=np.array(colours)[of], linewidths=0, alpha=0.8)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel(axes_names[0])
    axes.set_ylabel(axes_names[1])
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL)
    marks = [
        Line2D([], [], color=colour, marker="o", linestyle="", markersize=5)
        for colour in (colours if len(listed) == len(colours) else ["none"])
    ]
    figure.legend(
        *(marks, lines),
        **{"loc": "outside right upper", "ncols": columns, "frameon": False, "fontsize": SMALL},
    )
    return figure
