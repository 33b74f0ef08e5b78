"""A page for each video, and one of all: what is in a folder of recordings."""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from data.common.progress import ProgressBar
from data.images.names import natural_key
from down_stream.lookup.contents import (
    BLACK_PART,
    OUTSIDE,
    STANDING,
    Contents,
    look_into,
    with_same,
)
from down_stream.lookup.pictures import Pictures
from down_stream.lookup.strips import STYLE, link_to, strip
from down_stream.lookup.tables import Rows
from down_stream.metrics.predictions import Predictions
from down_stream.report.page import Section, pairs, table, write_report
from down_stream.report.plots import timeline
from down_stream.report.wording import clock, duration, percent, words

SHOWN = 4  # key frames of a video in the overview
MOST_PARTS = 200  # listed on a page


def write_overview(
    folder: Path, rows: Rows, classes: Sequence[str], fps: float | None
) -> tuple[list[str], list[str]]:
    """Writes index.html and a page for each video of a table.

    Args:
      folder: is made.
      rows: frames of any videos.
      classes: names of the columns of the rows' probabilities.
      fps: frames per second of the videos.

    Returns:
      The names of the videos, and a line about each file that could not be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures, contents = Pictures(fps), []
    names = sorted(set(rows.video.tolist()), key=natural_key)
    for name in ProgressBar(names, "videos", unit="video"):
        contents.append(look_into(name, rows.take(rows.video == name), fps, pictures))
    contents = with_same(contents)
    files = _file_names(names)
    strips = []
    for one in ProgressBar(contents, "pages", unit="page"):
        is_shown = np.unique(np.linspace(0, len(one.keys) - 1, SHOWN).astype(int))
        write_video(folder / files[one.name], one, classes, files, pictures)
        strips.append(strip(one.rows, one.keys[is_shown].tolist(), pictures))
    pictures.close()
    body = "".join(_entry(one, files, few) for one, few in zip(contents, strips, strict=True))
    hours = sum(one.seconds for one in contents if not np.isnan(one.rows.second).any())
    facts = {"Videos": f"{len(contents):,}", "Frames": f"{len(rows):,}", "Time": duration(hours)}
    totals = {what: sum(one.total(what) for one in contents) for what in _KINDS}
    facts |= {what.capitalize(): duration(seconds) for what, seconds in totals.items()}
    sections = [Section("All of it", pairs(facts)), Section("Videos", STYLE + _STYLE + body)]
    write_report(folder / "index.html", "What is in these videos", sections)
    return names, [f"no picture: {why}" for why in pictures.missing.values()]


def write_video(
    path: Path, one: Contents, classes: Sequence[str], files: dict[str, str], pictures: Pictures
) -> None:
    """Writes the page of a video; `files` are the pages of all, by name."""
    facts = {"Duration": duration(one.seconds), "Frames": f"{len(one.rows):,}"}
    facts |= {what.capitalize(): duration(one.total(what)) for what in _KINDS}
    same = "".join(
        f'<li><a href="{escape(files[name])}">{escape(name)}</a>: {percent(share)} of the key '
        "frames</li>"
        for name, share in one.same.items()
    )
    listed = [
        [part.what, clock(part.start), clock(part.end), duration(part.seconds)]
        for part in one.parts[:MOST_PARTS]
    ]
    if len(one.parts) > MOST_PARTS:
        listed.append([f"and {len(one.parts) - MOST_PARTS} more", "", "", ""])
    sections = [
        Section("The video", pairs(facts) + '<p><a href="index.html">All videos</a></p>'),
        Section("The same as", f"<ul>{same}</ul>") if same else None,
        Section("Key frames", STYLE + _wrapped(strip(one.rows, one.keys.tolist(), pictures))),
        *_phases(one, classes),
        Section(
            "Parts that show nothing of use",
            table(("", "from", "to", "duration"), listed),
            "Black, and outside, by the colours of some frames of each cluster of frames that look "
            "alike; still, where frames do not change.",
        )
        if listed
        else None,
    ]
    write_report(path, one.name, sections, str(one.rows.path[0]))


def _phases(one: Contents, classes: Sequence[str]) -> list[Section]:
    """What a model says, over time and in sum; nothing where there is none."""
    said = one.rows.probabilities
    if not said.shape[1] or np.isnan(said).any():
        return []
    best = said.argmax(axis=1)
    seconds = np.where(np.isnan(one.rows.second), np.arange(len(said)), one.rows.second)
    predictions = Predictions(
        np.full(len(said), one.name), seconds, np.full(len(said), -1), best, said, tuple(classes)
    )
    share = np.bincount(best, minlength=len(classes)) / len(said)
    rows = [
        [words(classes[k]), percent(share[k]), percent(float(said[best == k, k].mean()))]
        for k in np.flatnonzero(share)
    ]
    header = ("class", "share of the time", "mean confidence")
    picture = timeline({"model": predictions})
    return [Section("What the model says", table(header, rows), picture=picture)]


def _entry(one: Contents, files: dict[str, str], few: str) -> str:
    told = [duration(one.seconds)]
    shares = {what: one.total(what) / one.seconds for what in _KINDS}
    told += [f"{what} {percent(share)}" for what, share in shares.items() if share]
    told += [f"the same as {name}" for name in one.same]
    link = link_to(str(one.rows.path[0]), 0.0)
    opened = f' · <a href="{escape(link)}">recording</a>' if link else ""
    return (
        f'<div class="entry"><h3><a href="{escape(files[one.name])}">{escape(one.name)}</a></h3>'
        f'<p class="rule">{escape(", ".join(told))}{opened}</p>{few}</div>'
    )


def _file_names(names: Sequence[str]) -> dict[str, str]:
    """{video: file of its page}; names that differ only by odd letters get numbers."""
    files, taken = {}, {"index"}
    for name in names:
        stem = plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name) or "video"
        number = 2
        while stem.lower() in taken:
            stem, number = f"{plain}_{number}", number + 1
        taken.add(stem.lower())
        files[name] = f"{stem}.html"
    return files


def _wrapped(html: str) -> str:
    return html.replace('class="strip"', 'class="strip wrapped"') + _STYLE


_KINDS = (BLACK_PART, OUTSIDE, STANDING)
_STYLE = """<style>
.wrapped { flex-wrap: wrap; }
.entry { break-inside: avoid; border-bottom: 1px solid var(--line); padding-top: 8px; }
.entry h3 { margin-top: 0; }
</style>"""
