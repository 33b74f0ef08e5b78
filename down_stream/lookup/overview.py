"""A page for each video, and one of all: what is in a folder of recordings."""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from data.annotation_formats.clock_times import clock
from data.annotation_formats.labels import stretches
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
from down_stream.lookup.pictures import Pictures, files_before
from down_stream.lookup.strips import STYLE, link_to, strip
from down_stream.lookup.tables import Rows
from down_stream.report.figures import colour_of
from down_stream.report.page import Section, pairs, swatch, table, write_report
from down_stream.report.wording import duration, percent, words

SHOWN = 4  # key frames of a video in the overview
COLUMNS = 1200  # of a ribbon, at most
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
    before = files_before(rows.video.tolist(), rows.path.tolist(), rows.second.tolist())
    pictures, contents = Pictures(fps, before), []
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
    facts |= {what.capitalize(): _total(contents, what) for what in _KINDS}
    sections = [Section("All of it", pairs(facts)), Section("Videos", STYLE + _STYLE + body)]
    write_report(folder / "index.html", "What is in these videos", sections)
    return names, [f"no picture: {why}" for why in pictures.missing.values()]


def write_video(
    path: Path, one: Contents, classes: Sequence[str], files: dict[str, str], pictures: Pictures
) -> None:
    """Writes the page of a video; `files` are the pages of all, by name."""
    facts = {"Duration": duration(one.seconds), "Frames": f"{len(one.rows):,}"}
    facts |= {what.capitalize(): _total([one], what) for what in _KINDS}
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
        _phases(one, classes),
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


def _phases(one: Contents, classes: Sequence[str]) -> Section | None:
    """What a model says, over time and in sum; nothing where there is none."""
    said = one.rows.probabilities
    if not said.shape[1] or np.isnan(said).any():
        return None
    best = said.argmax(axis=1)
    seconds = np.where(np.isnan(one.rows.second), np.arange(len(said)), one.rows.second)
    share = np.bincount(best, minlength=len(classes)) / len(said)
    rows = "".join(
        f'<tr><th scope="row">{swatch(k)}{escape(words(classes[k]))}</th>'
        f"<td>{percent(share[k])}</td><td>{percent(float(said[best == k, k].mean()))}</td></tr>"
        for k in np.flatnonzero(share).tolist()
    )
    html = (
        f'{_ribbon(best, seconds, classes)}<div class="scroll" tabindex="0"><table><thead><tr>'
        "<th>class</th><th>share of the time</th><th>mean confidence</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )
    return Section("What the model says", html, f"From 0:00 to {clock(seconds[-1])}.")


def _ribbon(best: np.ndarray, seconds: np.ndarray, classes: Sequence[str]) -> str:
    """The most likely class over time, as an SVG element: some ms for each of 400 pages."""
    columns = np.linspace(0, len(best) - 1, min(len(best), COLUMNS)).astype(int)
    kinds = best[columns]
    pieces = "".join(
        f'<rect x="{first}" width="{stop - first}" height="40" '
        f'fill="{colour_of(int(kinds[first]))}">'
        f"<title>{escape(words(classes[kinds[first]]))}, {clock(seconds[columns[first]])} to "
        f"{clock(seconds[columns[stop - 1]])}</title></rect>"
        for first, stop in stretches(kinds)
    )
    return (
        f'<svg viewBox="0 0 {len(kinds)} 40" width="100%" height="40" preserveAspectRatio="none" '
        f'role="img" aria-label="the most likely class over time">{pieces}</svg>'
    )


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


def _total(contents: Sequence[Contents], what: str) -> str:
    """How long all parts of a kind are, for people."""
    unseen = 0 if what == STANDING else sum(not one.has_pictures for one in contents)
    if unseen == len(contents):
        return "unknown, no picture is here"
    known = duration(sum(one.total(what) for one in contents))
    return f"{known}; unknown of {unseen} without pictures" if unseen else known


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
