"""selection.csv and its page: what is chosen, in order, and why."""

from collections.abc import Sequence
from html import escape

import numpy as np
from matplotlib.figure import Figure

from data.annotation_formats.clock_times import clock
from data.storage.paths import AnyPath
from data.storage.whole import write_csv
from down_stream.inference.map import project
from down_stream.lookup.key_frames import key_frames
from down_stream.lookup.pictures import Pictures, files_before
from down_stream.lookup.strips import STYLE, strip
from down_stream.report.figures import FAINT, SMALL, bare, colour_of, new_figure
from down_stream.report.page import Section, pairs, table, warnings, write_report
from down_stream.selection.candidates import Candidates
from down_stream.selection.choosing import Choice

STRIP = 8  # key frames of a unit
POINTS = 3000  # of the map, as many of each unit
WORDS = {  # of the numbers of a reason
    "cluster": "cluster",
    "of_cluster": "units in its cluster",
    "typicality": "1 / mean distance to its neighbours in the cluster",
    "new": "share of all frames that it covers and nothing before it does",
    "covered": "share that is covered with it",
    "radius": "radius of the balls that cover",
    "entropy": "mean entropy of the predictions, 0 certain to 1",
    "distance": "distance to the centre of its cluster",
    "frames": "frames",
}


def write_table(path: AnyPath, candidates: Candidates, choices: Sequence[Choice]) -> None:
    """Writes a row for each unit: order, its name, start and end of intervals, and the reason."""
    reasons = list(dict.fromkeys(name for choice in choices for name in choice.reason))
    column = "sequence" if candidates.kind == "sequence" else "video"
    times = ["start", "end"] if candidates.kind == "interval" else []
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [["order", column, *times, *reasons]]
    for order, choice in enumerate(choices, 1):
        span = candidates.start[choice.unit], candidates.end[choice.unit]
        shown = [f"{second:g}" for second in span] if times else []
        values = [_number(choice.reason.get(name)) for name in reasons]
        rows.append([order, candidates.names[choice.unit], *shown, *values])
    write_csv(path, rows)


def write_page(
    path: AnyPath,
    candidates: Candidates,
    labelled: np.ndarray,
    choices: Sequence[Choice],
    facts: dict[str, str],
    remarks: Sequence[str] = (),
) -> None:
    """Writes the page, which needs no other file.

    Args:
      path: of the .html file.
      candidates: with the frames.
      labelled: bool [units].
      choices: in order.
      facts: what was chosen from, and how, to be listed.
      remarks: what could not be used.
    """
    rows, strips = candidates.rows, []
    before = files_before(rows.video.tolist(), rows.path.tolist(), rows.second.tolist())
    pictures = Pictures(candidates.fps, before)
    for order, choice in enumerate(choices, 1):
        strips.append(_strip(candidates, choice, order, pictures))
    pictures.close()
    lost = [f"no picture: {why}" for why in list(pictures.missing.values())[:3]]
    sections = [
        warnings("Not used", [*remarks, *lost]),
        Section("What was chosen", pairs(facts) + _list(candidates, choices)),
        Section(
            "Where they are",
            text="Each point is a frame; frames that look alike are close. Large numbered points "
            "are the means of the chosen units, crosses those of units with labels.",
            picture=map_picture(candidates, labelled, choices),
        ),
        Section("Key frames", STYLE + "".join(strips), "In the order in which to annotate them."),
    ]
    write_report(path, f"What to annotate next: {len(choices)}", sections)


def map_picture(candidates: Candidates, labelled: np.ndarray, choices: Sequence[Choice]) -> Figure:
    """All frames in a plane, those of the chosen units in colours, and where their means are."""
    rows = candidates.sampled(POINTS)[:POINTS]
    means = candidates.means()
    plane = project(np.concatenate([candidates.points[rows], means]))
    frames, units = plane.points[: len(rows)], plane.points[len(rows) :]
    drawing = new_figure(7.2, 5.6)
    axes = drawing.add_subplot()
    axes.scatter(*frames.T, s=4, c=FAINT, linewidths=0, alpha=0.35)
    for order, choice in enumerate(choices, 1):
        own = frames[candidates.unit[rows] == choice.unit]
        colour = colour_of(order - 1)
        axes.scatter(*own.T, s=8, c=colour, linewidths=0, alpha=0.8)
        axes.scatter(*units[choice.unit], s=60, c=colour, linewidths=0.6, edgecolors="black")
        beside = {"xytext": (5, 4), "textcoords": "offset points", "fontsize": SMALL}
        axes.annotate(str(order), units[choice.unit], **beside)  # black on any colour is not read
    axes.scatter(*units[labelled].T, s=50, marker="x", c="black", linewidths=1.5)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel(plane.axes[0])
    axes.set_ylabel(plane.axes[1])
    bare(axes)
    axes.tick_params(labelleft=False, labelbottom=False)
    return drawing


def _list(candidates: Candidates, choices: Sequence[Choice]) -> str:
    names = list(dict.fromkeys(name for choice in choices for name in choice.reason))
    rows = [
        [f"{order}. {name_of(candidates, choice.unit)}"]
        + [_number(choice.reason.get(name)) for name in names]
        for order, choice in enumerate(choices, 1)
    ]
    meanings = {name.replace("_", " "): WORDS[name] for name in names}
    told = {name: meaning for name, meaning in meanings.items() if name != meaning}
    return table(["", *meanings], rows) + pairs(told)


def _strip(candidates: Candidates, choice: Choice, order: int, pictures: Pictures) -> str:
    first, stop = candidates.bounds[choice.unit : choice.unit + 2]
    rows = first + key_frames(candidates.points[first:stop], STRIP)
    why = ", ".join(
        f"{name.replace('_', ' ')} {_number(value)}" for name, value in choice.reason.items()
    )
    title = f"{order}. {name_of(candidates, choice.unit)}"
    text = f'<h3>{escape(title)}</h3><p class="rule">{escape(why)}</p>'
    return text + strip(candidates.rows, rows.tolist(), pictures)


def name_of(candidates: Candidates, unit: int) -> str:
    """What a unit is called: its name, and of an interval from when to when."""
    if candidates.kind != "interval":
        return candidates.names[unit]
    span = f"{clock(candidates.start[unit])} to {clock(candidates.end[unit])}"
    return f"{candidates.names[unit]}, {span}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
