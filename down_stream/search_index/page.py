"""The page of a search: what was asked for, and the frames that are like it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data.annotation_formats.clock_times import clock
from down_stream.lookup.pictures import Pictures
from down_stream.lookup.strips import STYLE, figure, link_to, thumbnail
from down_stream.report.page import Section, pairs, warnings, write_report
from down_stream.search_index.searching import Found

HEIGHT = 180  # pixels of a picture


def write_page(
    path: Path,
    asked: Sequence[Found],
    images: Sequence[Path],
    found: Sequence[Found],
    facts: dict[str, str],
    fps: float | None,
    before: Mapping[str, Sequence[str]],
) -> None:
    """Writes the page, which needs no other file but for its links.

    Args:
      path: of the .html file.
      asked: frames of the index that were asked for.
      images: files that were asked for.
      found: what is like them, best first.
      facts: what was searched, to be listed.
      fps: frames per second of the tables' videos.
      before: as of `Pictures`.
    """
    pictures = Pictures(fps, before)
    queries = [_figure(one, pictures, f"{place_of(one)}") for one in asked]
    queries += [
        figure(thumbnail(pictures.read(str(image)), HEIGHT), image.name, link_to(str(image)))
        for image in images
    ]
    hits = [
        _figure(one, pictures, f"{number}. {place_of(one)}, likeness {one.likeness:.3f}")
        for number, one in enumerate(found, 1)
    ]
    pictures.close()
    write_report(
        path,
        "Frames like this one" if len(queries) == 1 else f"Frames like these {len(queries)}",
        [
            Section("Asked for", STYLE + _grid(queries) + pairs(facts)),
            Section("Found", _grid(hits), "Best first; a picture opens its recording at its time."),
            warnings("No picture", list(pictures.missing.values())[:3]),
        ],
    )


def place_of(one: Found) -> str:
    """Where a frame is, for people: "op1, 12:34"."""
    return one.video if np.isnan(one.second) else f"{one.video}, {clock(one.second)}"


def _figure(one, pictures, caption):
    image = thumbnail(pictures.read(one.path, one.second), HEIGHT)
    return figure(image, caption, link_to(one.path, pictures.in_file(one.path, one.second)))


def _grid(figures):
    return f'<div class="frames">{"".join(figures)}</div>'
