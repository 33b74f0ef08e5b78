"""Pictures of a report as HTML and SVG: text stays text, and they follow the width of the page.

Each function gives a `down_stream.report.page.Section`, or None where there is nothing to draw.
Classes have the colours of `down_stream.report.plots`, by the style sheet's classes c0, c1, ...
"""

from html import escape
from itertools import pairwise

import numpy as np

from down_stream.metrics import statistics
from down_stream.metrics.predictions import Predictions
from down_stream.report.class_scores import ClassScores
from down_stream.report.page import Section, colour_class, swatch, table
from down_stream.report.wording import clock, words

_COLUMNS = 1200  # of a ribbon, at most: a longer video is drawn in steps of several seconds
_POINTED_AT = 300  # pieces of a ribbon below such a part of its width do not tell their time
_CHANCES = 240  # columns of the probabilities
_TICKS = (5, 10, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200)  # seconds apart


def phase_ribbons(tables: dict[str, Predictions]) -> Section:
    """Ribbons of truth and predictions, with the probabilities, and each video's scores.

    Args:
      tables: name of a model -> its predictions; all of the same videos and classes. Where there
        are several, their ribbons are below each other.
    """
    first = next(iter(tables.values()))
    longest = max(table.second.max() for table in tables.values()) + 1
    names = [f"<li>{swatch(k)}{escape(words(name))}</li>" for k, name in enumerate(first.classes)]
    if (first.label < 0).any():
        names.append(f"<li>{swatch(-1)}Unknown</li>")
    videos = "".join(_video(name, tables, longest) for name in first.videos)
    return Section(
        "Phases over time",
        f'<ul class="legend">{"".join(names)}</ul>{videos}',
        "One ribbon of the truth and one of each model; below it the probabilities of all phases, "
        "stacked in their order. Blank: no frame. Accuracy and F1 are in percent, by the protocol "
        "video. Point at a ribbon for the phase and its time.",
    )


def confusion(predictions: Predictions) -> Section:
    """Which classes are taken for which, in percent of each true class and in frames."""
    classes = predictions.classes
    counts = statistics.confusion(predictions.label, predictions.prediction, len(classes))
    head = "".join(
        f'<th scope="col"><span class="turned">{swatch(k)}{escape(words(name))}</span></th>'
        for k, name in enumerate(classes)
    )
    rows = []
    for truth, name in enumerate(classes):
        total = counts[truth].sum()
        cells = "".join(
            f'<td style="--s:{count / max(total, 1):.3f}">'
            + (f"{100 * count / total:.1f}<small>{count:,}</small>" if total else "-")
            + "</td>"
            for count in counts[truth].tolist()
        )
        rows.append(
            f'<tr><th scope="row"><span class="named">{swatch(truth)}{escape(words(name))}</span>'
            f"</th>{cells}</tr>"
        )
    return Section(
        "Confusion matrix",
        '<div class="scroll" tabindex="0" role="region" aria-label="Confusion matrix">'
        '<table class="confusion"><thead><tr>'
        f"<td>true \\ predicted</td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        "</div>",
        f"{counts.sum():,} frames. A row is a class of the truth: the upper numbers say which "
        "percentage of its frames was given each class, the lower ones how many frames.",
    )


def class_bars(scores: ClassScores, title: str, text: str) -> Section:
    """The scores of each class as numbers and bars, with their intervals."""
    names = list(next(iter(scores.values())))
    head = "".join(f'<th scope="col">{escape(n)}</th>' for n in ("Class", *names))
    rows = "".join(
        f'<tr class="{colour_class(k)}"><th scope="row"><span class="named">{swatch(k)}'
        f"{escape(words(name))}</span></th>{''.join(_bar(*of_class[n]) for n in names)}</tr>"
        for k, (name, of_class) in enumerate(scores.items())
    )
    return Section(
        title,
        f'<table class="bars"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>',
        text,
    )


# Ribbons.


def _video(name: str, tables: dict[str, Predictions], longest: int) -> str:
    scores, strips = [], []
    for model, predictions in tables.items():
        rows = np.flatnonzero(predictions.video == name)
        rows = rows[np.argsort(predictions.second[rows])]
        second, label = predictions.second[rows], predictions.label[rows]
        guess, chances = predictions.prediction[rows], predictions.probabilities[rows]
        if not strips:
            strips += [_ribbon("truth", second, label, predictions.classes, longest)]
        strips += [_ribbon(model, second, guess, predictions.classes, longest)]
        if not np.isnan(chances).any():
            strips += [_stacked(second, chances, longest)]
        counts = statistics.confusion(label, guess, len(predictions.classes))
        found = statistics.video_scores(counts) if counts.any() else {}
        shown = [f"{100 * found[key]:.1f}" if found else "-" for key in ("accuracy", "f1")]
        scores += [(model, *shown)]
    return (
        f'<article class="video"><div><h3>{escape(name)}</h3>'
        f'{table(("", "accuracy", "F1"), scores)}</div><div class="strips">{"".join(strips)}'
        f"<span></span>{_axis(longest)}</div></article>"
    )


def _ribbon(name: str, second, phase, classes, longest: int) -> str:
    """Phases, int [n], at their seconds, int [n] (rising): runs of one phase are one piece."""
    place, stride, columns = _columns(second, longest, _COLUMNS)
    shown = np.full(columns, -2)  # blank
    # The first frame of each column is shown: a vote would favour some phases where it is a tie.
    shown[place[::-1]] = np.repeat(phase, len(place) // len(phase))[::-1]
    called = {-1: "Unknown"} | {k: escape(words(title)) for k, title in enumerate(classes)}
    long, short = [], {}
    for start, end in _runs(shown):
        number, width = int(shown[start]), end - start
        piece = f"M{start} 0h{width}v1h-{width}z"
        if number >= -1 and width < columns / _POINTED_AT:
            short[number] = short.get(number, "") + piece
        elif number >= -1:
            span = f"{clock(start * stride)} to {clock(end * stride)}"
            long.append(_piece(number, piece, f"{called[number]}, {span}"))
    pieces = long + [_piece(number, path, called[number]) for number, path in short.items()]
    return (
        f"<span>{escape(name)}</span>"
        f'<svg class="ribbon" viewBox="0 0 {columns} 1" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(name)}: phases over time">{"".join(pieces)}</svg>'
    )


def _piece(number: int, path: str, title: str) -> str:
    return f'<path class="{colour_class(number)}" d="{path}"><title>{title}</title></path>'


def _runs(values: np.ndarray):
    """(start, end) of each run of one value."""
    return pairwise([0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)])


def _stacked(second, probabilities, longest: int) -> str:
    """Probabilities, float [n, classes], one upon the other, in their means over columns."""
    place, _, columns = _columns(second, longest, _CHANCES)
    total = np.zeros((columns, probabilities.shape[1]))
    np.add.at(total, place, np.repeat(probabilities, len(place) // len(second), axis=0))
    frames = np.maximum(np.bincount(place, minlength=columns), 1)[:, np.newaxis]
    tops = 100 - (100 * total / frames).cumsum(axis=1).round().astype(int)
    # From the highest top to the lowest: each area hides the lower part of the one before.
    areas = [
        f'<path class="{colour_class(number)}" d="{_steps(tops[:, number])}"/>'
        for number in reversed(range(tops.shape[1]))
        if number == 0 or (tops[:, number] < tops[:, number - 1]).any()
    ]
    return (
        f'<span class="soft">probability</span><svg class="chances" viewBox="0 0 {len(tops)} 100" '
        f'preserveAspectRatio="none" role="img" aria-label="probabilities of the phases, stacked">'
        f"{''.join(areas)}</svg>"
    )


def _columns(second, longest: int, limit: int) -> tuple[np.ndarray, int, int]:
    """Which columns frames are drawn in, int [n * step], the seconds per column, their number.

    A frame stands for the time to the next one: videos may be sampled at less than 1 fps, and then
    each has `step` entries in a row.
    """
    stride = -(-longest // limit)
    step = max(1, int(np.median(np.diff(second)))) if len(second) > 1 else 1
    times = np.minimum((second[:, np.newaxis] + np.arange(step)).ravel(), longest - 1)
    return times // stride, stride, -(-longest // stride)


def _steps(tops: np.ndarray) -> str:
    """The area below a staircase, as an SVG path; steps of one height are one."""
    return "M0 100" + "".join(f"V{tops[start]}H{end}" for start, end in _runs(tops)) + "V100z"


def _axis(longest: int) -> str:
    step = next((tick for tick in _TICKS if longest / tick <= 6), longest)
    ticks = "".join(
        f'<span style="left:{100 * second / longest:.2f}%">{clock(second)}</span>'
        for second in range(0, int(0.96 * longest) + 1, step)
    )
    return f'<div class="axis">{ticks}</div>'


# Bars.


def _bar(value: float, low: float, high: float) -> str:
    """A cell with a score, its interval, and both as a bar; NaN where undefined."""
    if np.isnan(value):
        return "<td>-</td>"
    interval = whisker = ""
    if not np.isnan(low):
        interval = f' <span class="soft">{100 * low:.0f} to {100 * high:.0f}</span>'
        whisker = f'<b style="left:{100 * low:.1f}%;right:{100 - 100 * high:.1f}%"></b>'
    return (
        f"<td><strong>{100 * value:.1f}</strong>{interval}"
        f'<span class="bar"><i style="width:{100 * value:.1f}%"></i>{whisker}</span></td>'
    )
