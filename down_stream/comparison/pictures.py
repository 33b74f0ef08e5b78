"""The pictures of a comparison: scores with their intervals, and curves over labels."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from down_stream.comparison.scores import WAYS
from down_stream.report.figures import CURVE_COLOURS, RULE, new_figure, tell, wrapped
from down_stream.report.wording import points

MARKERS = "os^Dv"


def overview(rows: Sequence[dict], title: str) -> Figure:
    """A dot and its interval for each row, under the way that the encoder is used in.

    Args:
      rows: as `down_stream.comparison.scores.compare` returns them, of one number of labels.
      title: of the score.
    """
    encoders = list(dict.fromkeys(row["encoder"] for row in rows))
    ways = [way for way in WAYS if any(row["way"] == way for row in rows)]
    lines, places = [], {}
    for way in ways:
        lines.append((WAYS[way], None))
        lines += [(_label(row), row) for row in rows if row["way"] == way]
    figure = new_figure(6.5, 0.8 + 0.27 * len(lines))
    axes = figure.add_subplot()
    for place, (_, row) in enumerate(lines):
        if row is None or row["score"] is None or row["score"] != row["score"]:
            continue
        places[place] = row
        look = _look(encoders, row["encoder"])
        score, interval = 100 * row["score"], row["interval"]
        if interval[0] is not None and interval[0] == interval[0]:
            axes.plot(
                [100 * end for end in interval], [place] * 2, color=look["color"], linewidth=2
            )
        axes.plot(score, place, linestyle="", markersize=6, **look)
        axes.annotate(
            f"{score:.1f}", (score, place), (0, 5), textcoords="offset points", fontsize=7
        )
    axes.set_ylim(len(lines) - 0.5, -0.5)
    named = [(place, wrapped(text, 24)) for place, (text, row) in enumerate(lines) if row]
    axes.set_yticks(*zip(*named, strict=True))
    for place, (text, row) in enumerate(lines):
        if row is None:  # inside, so that names of encoders alone take room on a phone
            style = {"transform": axes.get_yaxis_transform(), "fontweight": "bold", "va": "center"}
            axes.text(0, place, text, fontsize=9, **style)
    left, right = axes.get_xlim()
    for place, row in places.items():
        tell(axes, _told(row), left, place - 0.5, right - left, 1)
    axes.set_xlabel(f"{title} in %")
    axes.grid(axis="x", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def learning_curves(rows: Sequence[dict], title: str, counted: str) -> Figure:
    """Scores over the number of labelled videos: a panel for each way, a line for each encoder.

    Args:
      rows: as `down_stream.comparison.scores.compare` returns them.
      title: of the score.
      counted: "videos" or "sequences".
    """
    encoders = list(dict.fromkeys(row["encoder"] for row in rows))
    ways = [way for way in WAYS if any(row["way"] == way for row in rows)]
    columns = min(2, len(ways))
    height = 3.0 * -(-len(ways) // columns)
    figure = new_figure(4.2 * columns, height + 0.4)
    panels = figure.subplots(-(-len(ways) // columns), columns, sharey=True, squeeze=False)
    drawn = {}
    for axes, way in zip(panels.flat, ways, strict=False):
        for name, kind in dict.fromkeys((row["encoder"], row["kind"]) for row in rows):
            points = sorted(
                (row["videos"], 100 * row["score"], 100 * (row["std"] or 0))
                for row in rows
                if (row["way"], row["encoder"], row["kind"]) == (way, name, kind)
                and row["score"] is not None
                and row["score"] == row["score"]
            )
            if points:
                style = _look(encoders, name) | {"capsize": 2, "markersize": 4}
                label = name if kind in ("usual", "own") else f"{name}, {kind}"
                drawn[label] = axes.errorbar(*zip(*points, strict=True), **style)
        axes.set_title(WAYS[way], loc="left", fontsize=9)
        axes.set_xlabel(f"labelled training {counted}", fontsize=8)
        axes.set_xlim(left=0)
        axes.grid(axis="y", color=RULE, linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels.flat[len(ways) :]:
        axes.set_axis_off()
    for axes in panels[:, 0]:
        axes.set_ylabel(f"{title} in %", fontsize=8)
    place = {"loc": "outside upper left", "ncols": min(4, len(drawn)), "frameon": False}
    figure.legend(list(drawn.values()), list(drawn), **place, fontsize=8)
    return figure


def _look(encoders: Sequence[str], name: str) -> dict:
    """Colour and marker of an encoder, the same in all pictures."""
    number = encoders.index(name)
    marker = MARKERS[(number + number // len(CURVE_COLOURS)) % len(MARKERS)]
    return {"color": CURVE_COLOURS[number % len(CURVE_COLOURS)], "marker": marker}


def _label(row: dict) -> str:
    return row["encoder"] if row["kind"] in ("usual", "own") else f"{row['encoder']}, {row['kind']}"


def _told(row: dict) -> str:
    text = f"{_label(row)}: {100 * row['score']:.1f} %"
    if row["difference"] is not None and row["difference"] == row["difference"]:
        text += f", {points(row['difference'])} to the baseline"
    return text
