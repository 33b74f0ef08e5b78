"""suspicious.csv and its page: what to look at first."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from data.annotation_formats.clock_times import clock
from data.dataset.frame_index import FrameIndex
from data.storage.whole import write_csv
from down_stream.lookup.strips import STYLE, figure, thumbnail
from down_stream.report.frames import read_frame
from down_stream.report.page import Section, pairs, swatch, table, write_report
from down_stream.report.wording import words
from down_stream.suspicious.ranking import Suspicion

COLUMNS = ("video", "start", "end", "annotated", "proposed", "score")
FRAMES = 6  # of a strip: some before, in and behind what is suspicious
MOST = 100  # rows that a page shows


def times_of(index: FrameIndex, one: Suspicion) -> tuple[float, float]:
    """Start and end of what is suspicious, in seconds of its video."""
    step = 1.0 / float(index.fps[one.video])
    return float(index.second[one.first]), float(index.second[one.behind - 1]) + step


def write_table(
    path: Path, index: FrameIndex, ranked: Sequence[Suspicion], classes: Sequence[str]
) -> None:
    """Writes a row for each annotated interval, the most suspicious ones first."""
    rows = [COLUMNS]
    for one in ranked:
        times = [f"{time:.10g}" for time in times_of(index, one)]
        names = [classes[one.annotated], classes[one.proposed]]
        rows.append((index.videos[one.video], *times, *names, f"{one.score:.3f}"))
    write_csv(path, rows)


def first_seconds(
    index: FrameIndex, ranked: Sequence[Suspicion], seconds: float
) -> list[Suspicion]:
    """The beginning of the list that lasts so long; nothing of which the annotation is likelier."""
    chosen, total = [], 0.0
    for one in ranked[:MOST]:
        if one.score <= 0 or total >= seconds:
            break
        start, end = times_of(index, one)
        total += end - start
        chosen.append(one)
    return chosen


def write_page(
    path: Path,
    index: FrameIndex,
    ranked: Sequence[Suspicion],
    joint: np.ndarray,
    classes: Sequence[str],
    seconds: float,
    facts: dict[str, str],
) -> None:
    """Writes the page, which needs no other file.

    Args:
      path: of the .html file.
      index: the frames that `ranked` counts.
      ranked: the list.
      joint: as `ranking.confident_joint` gives it.
      classes: their names.
      seconds: to be looked at.
      facts: what was asked, and how, to be listed.
    """
    chosen = first_seconds(index, ranked, seconds)
    total = sum(end - start for start, end in (times_of(index, one) for one in chosen))
    cards = "".join(_card(index, one, number, classes) for number, one in enumerate(chosen, 1))
    if not chosen:
        cards = "<p>Nothing contradicts its annotation.</p>"
    sections = [
        Section("What was asked", pairs(facts)),
        Section(
            f"Look at these {total:.0f} seconds first",
            STYLE + cards,
            "Parts of annotated intervals that look like another class, by their evidence. The "
            "frames at both ends of a strip are those before and behind the part.",
        ),
        _confused(joint, classes),
    ]
    write_report(path, "Suspicious labels", sections)


def _card(index: FrameIndex, one: Suspicion, number: int, classes: Sequence[str]) -> str:
    start, end = times_of(index, one)
    title = f"{number}. {index.videos[one.video]}, {clock(start)} to {clock(end)}"
    said = (
        f"annotated {swatch(one.annotated)}{escape(words(classes[one.annotated]))}, looks like "
        f"{swatch(one.proposed)}{escape(words(classes[one.proposed]))}; evidence {one.score:.1f}"
    )
    own = np.flatnonzero(index.video == one.video)
    places = np.linspace(one.first, one.behind - 1, FRAMES - 2).round().astype(int)
    shown = [max(one.first - 1, own[0]), *places.tolist(), min(one.behind, own[-1])]
    figures = "".join(
        figure(thumbnail(read_frame(index, row)), clock(float(index.second[row])))
        for row in dict.fromkeys(shown)
    )
    strip = f'<div class="strip" tabindex="0">{figures}</div>'
    return f'<h3>{escape(title)}</h3><p class="rule">{said}</p>{strip}'


def _confused(joint: np.ndarray, classes: Sequence[str]) -> Section | None:
    """Which classes are annotated where others are confidently seen, the most frequent first."""
    counts = joint.copy()
    np.fill_diagonal(counts, 0)
    places = [divmod(int(place), len(classes)) for place in np.argsort(-counts, axis=None)]
    rows = [
        [
            words(classes[one]),
            words(classes[other]),
            f"{counts[one, other]}",
            f"{counts[one, other] / max(joint[one].sum(), 1):.1%}",
        ]
        for one, other in places[:10]
        if counts[one, other]
    ]
    return (
        Section(
            "Which classes are taken for which",
            table(["annotated", "looks like", "frames", "of those annotated so"], rows),
            "Frames that are confidently of another class (confident learning, arXiv 1911.00068, "
            "section 3.1).",
        )
        if rows
        else None
    )
