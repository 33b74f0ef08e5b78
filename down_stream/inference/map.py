"""A map of embeddings in two dimensions: an HTML page with thumbnails, and a picture beside it.

The plane is UMAP's (McInnes et al., arXiv 1802.03426) where umap-learn is installed, else that of
the first two principal components. The page needs no other file; the picture, for papers, is
coloured by what the page shows first.
"""

import base64
import colorsys
import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from sklearn.decomposition import PCA

from data.annotation_formats.clock_times import clock
from data.batches.read_ahead import InputFrame
from data.common.errors import InputError
from data.frames.frames import Frames
from data.images.image_io import frame_to_input
from data.storage.paths import AnyPath
from data.storage.whole import whole_file
from down_stream.inference.parts.table_parts import Parts
from down_stream.report.figures import (
    CLASS_COLOURS,
    SMALL,
    colour_of,
    new_figure,
    save_png,
    width_of,
    wrapped,
)
from down_stream.report.wording import words

MAX_POINTS = 4000  # evenly over all frames: more could not be told apart, nor opened at once
THUMBNAILS = "thumbnails"
THUMBNAIL_HEIGHT, JPEG_QUALITY = 72, 75
SEED = 0
_NAMED = 40  # colours in a picture's legend, at most: as many as can be told apart
_ROWS = 24  # of a column of it
TEMPLATE = Path(__file__).with_name("embedding_map.html")


class Plane(NamedTuple):
    """Points in two dimensions.

    Attributes:
      points: float [n, 2].
      method: how they were found, for people.
      axes: what lies along x and y.
    """

    points: np.ndarray
    method: str
    axes: tuple[str, str]


def choose(frames: Frames) -> np.ndarray:
    """bool [n], the rows that are drawn: of each video every first, second, fourth, ...

    Where videos are added, those that are drawn of the others are as before, or some of them.
    """
    place = np.arange(len(frames))
    if len(frames.videos) <= MAX_POINTS and (np.diff(frames.video) >= 0).all():
        place -= frames.starts[frames.video]
    step = 1
    while (place % step == 0).sum() > MAX_POINTS and step < len(frames):
        step *= 2
    return place % step == 0


def keep_thumbnails(parts: Parts, frames: Iterable[InputFrame], is_drawn: np.ndarray) -> None:
    """Writes small pictures of the frames that are drawn, beside the parts."""
    for frame in frames:
        if is_drawn[frame.row]:
            size = (max(1, round(THUMBNAIL_HEIGHT * frame.aspect)), THUMBNAIL_HEIGHT)
            image = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
            quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
            encoded = cv2.imencode(".jpg", image[..., ::-1], quality)[1]
            path = _thumbnail(parts, frame.row)
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as side:
                side.write_bytes(encoded.tobytes())


def add_thumbnails(parts: Parts, frames: Frames, rows: np.ndarray, image_size: int) -> None:
    """Writes those that earlier runs have not: the others are read once more."""
    is_drawn = choose(frames)
    for row in rows[is_drawn[rows]].tolist():
        if not _thumbnail(parts, row).is_file():
            try:
                image = frames.read(row)
            except InputError:  # gone
                image = np.full((8, 8, 3), 127, np.uint8)
            aspect = image.shape[1] / image.shape[0]
            frame = InputFrame(row, frame_to_input(image, image_size), aspect)
            keep_thumbnails(parts, [frame], is_drawn)


def write_map(path, parts: Parts, frames: Frames, rows, model, probabilities, tokens) -> str:
    """Writes the map and its picture; returns a line about them.

    Args:
      path: of the .html file; the picture is a .png file beside it.
      parts: with the embeddings and the thumbnails.
      frames: the list that `rows`, int64 [n], are of.
      model: None, or the frame model that `probabilities`, float32 [n, classes], are of.
      tokens: as the embeddings were made; of all tokens, CLS is drawn.
    """
    is_drawn = choose(frames)[rows]
    points, at = [], 0
    for part in parts.column("embeddings")():
        part_is_drawn = is_drawn[at : at + len(part)]
        points.append((part[:, 0] if tokens == "all" else part)[part_is_drawn])
        at += len(part)
    rows = rows[is_drawn]
    plane = project(np.concatenate(points))
    colours = {}
    phase = frames.phase[rows]
    if model is not None and not model.multi_label:
        predicted = probabilities[is_drawn].argmax(axis=1)
        colours[f"predicted {model.task}"] = _legend(model.classes, predicted)
    if (phase >= 0).any():
        colours["annotated phases"] = _legend(frames.phases, phase)
    colours["video"] = _legend(frames.videos, frames.video[rows])
    seconds = frames.second[rows]
    write_page(
        path,
        plane,
        colours,
        captions=[
            name if np.isnan(second) else f"{name}, {clock(second)}"
            for name, second in zip(frames.video_names(rows), seconds, strict=True)
        ],
        thumbnails=[_thumbnail(parts, row).read_bytes() for row in rows.tolist()],
    )
    legend = next(iter(colours.values()))
    save_png(plane_picture(plane.points, plane.axes, **legend), path.with_suffix(".png"))
    left_out = "" if is_drawn.all() else f", of {len(is_drawn)}, evenly spread"
    picture = path.with_suffix(".png").name
    return f"map: {plane.method}, {len(rows)} frames{left_out}; as a picture {picture}"


def project(points: np.ndarray) -> Plane:
    """The plane of points [n, width]."""
    if importlib.util.find_spec("umap") and len(points) > 15:  # UMAP's default neighbours
        import umap

        points = umap.UMAP(random_state=SEED, n_jobs=1).fit_transform(points)
        return Plane(points, "UMAP", ("UMAP 1", "UMAP 2"))
    if len(points) < 2:
        return Plane(np.zeros((len(points), 2)), "one point", ("", ""))
    pca = PCA(2, random_state=SEED)
    with np.errstate(invalid="ignore"):  # points that are all the same
        plane = pca.fit_transform(points)
    shares = [100 * share for share in np.nan_to_num(pca.explained_variance_ratio_)]
    method = (
        f"principal components, {sum(shares):.0f} % of the variance "
        "(UMAP where umap-learn is installed)"
    )
    axes = tuple(
        f"component {n}: {share:.0f} % of the variance" for n, share in enumerate(shares, 1)
    )
    return Plane(plane, method, axes)


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


def write_page(path: AnyPath, plane: Plane, colours, captions, thumbnails) -> None:
    """Writes the page.

    Args:
      plane: of n points.
      colours: {what: {"names", "colours", "of": [n] positions in both}}, the first is shown first.
      captions, thumbnails: [n], texts and JPEG files.
    """
    points = plane.points
    low, high = points.min(axis=0), points.max(axis=0)
    size = np.maximum((high - low) / max(*(high - low), 1e-12), 1e-3)
    data = {
        "method": plane.method,
        "axes": plane.axes,
        "size": size.tolist(),
        "plane": ((points - (low + high) / 2) / max(*(high - low), 1e-12)).round(4).tolist(),
        "colours": colours,
        "captions": list(captions),
        "thumbnails": [base64.b64encode(jpeg).decode() for jpeg in thumbnails],
    }
    text = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    page = TEMPLATE.read_text(encoding="utf-8").replace("/*DATA*/null", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as side:
        side.write_text(page, encoding="utf-8")


def _legend(names, of) -> dict:
    """Names that occur, a colour for each, and which of them each point has."""
    used, of = np.unique(of, return_inverse=True)
    few = len(names) <= len(CLASS_COLOURS)
    shades = [
        colour_of(k) if few or k < 0 else _shade(place, len(used)) for place, k in enumerate(used)
    ]
    return {
        "names": ["unknown" if k < 0 else names[k] for k in used],
        "colours": shades,
        "of": of.tolist(),
    }


def _shade(place: int, count: int) -> str:
    """One of `count` hues; neighbours differ in lightness, too."""
    rgb = colorsys.hls_to_rgb(place / count, (0.38, 0.52, 0.66)[place % 3], 0.7)
    return "#" + "".join(f"{round(255 * part):02X}" for part in rgb)


def _thumbnail(parts: Parts, row: int) -> AnyPath:
    of_video, row = parts.place(row)
    return of_video.folder / THUMBNAILS / f"{row:012d}.thumbnail"  # a .jpg could be an input
