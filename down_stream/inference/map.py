"""A map of embeddings in two dimensions: one HTML file, with thumbnails, that needs nothing else.

The plane is UMAP's (McInnes et al., arXiv 1802.03426) where umap-learn is installed, else that of
the first two principal components.
"""

import base64
import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
from sklearn.decomposition import PCA

from data.common.errors import InputError
from data.frames.frames import Frames
from data.storage.paths import AnyPath, check_output_folder
from data.storage.whole import whole_file
from down_stream.report.figures import CLASS_COLOURS, colour_of
from down_stream.report.wording import clock

MAX_POINTS = 4000  # evenly over all frames: more could not be told apart, nor opened at once
THUMBNAILS = "thumbnails"
THUMBNAIL_HEIGHT, JPEG_QUALITY = 72, 75
SEED = 0
TEMPLATE = Path(__file__).with_name("embedding_map.html")


def check_map(path: AnyPath) -> None:
    """Raises `InputError` if a map cannot be written there."""
    if path.suffix != ".html" or path.is_dir():
        raise InputError(f"--map={path}: expected the name of a file that ends in .html")
    check_output_folder("map", path.parent)


def choose(length: int) -> np.ndarray:
    """bool [length], the rows that are drawn."""
    chosen = np.zeros(length, bool)
    chosen[np.linspace(0, length - 1, min(length, MAX_POINTS)).round().astype(int)] = True
    return chosen


def keep_thumbnails(folder: AnyPath, frames, is_drawn: np.ndarray) -> None:
    """Writes small pictures of the frames that are drawn, until the map is."""
    (folder / THUMBNAILS).mkdir(exist_ok=True)
    for frame in frames:
        if is_drawn[frame.row]:
            size = (max(1, round(THUMBNAIL_HEIGHT * frame.aspect)), THUMBNAIL_HEIGHT)
            image = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
            quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
            encoded = cv2.imencode(".jpg", image[..., ::-1], quality)[1]
            _thumbnail(folder, frame.row).write_bytes(encoded.tobytes())


def write_map(path, parts, frames: Frames, rows, model, probabilities, tokens) -> str:
    """Writes the map; returns a line about it.

    Args:
      path: of the .html file.
      parts: `down_stream.inference.table.Parts` with the embeddings and the thumbnails.
      frames: the list that `rows`, int64 [n], are of.
      model: None, or the frame model that `probabilities`, float32 [n, classes], are of.
      tokens: as the embeddings were made; of all tokens, CLS is drawn.
    """
    is_drawn = choose(len(frames))[rows]
    points, at = [], 0
    for part in parts.column("embeddings")():
        part_is_drawn = is_drawn[at : at + len(part)]
        points.append((part[:, 0] if tokens == "all" else part)[part_is_drawn])
        at += len(part)
    rows = rows[is_drawn]
    plane, method = project(np.concatenate(points))
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
        method,
        colours,
        captions=[
            name if np.isnan(second) else f"{name}, {clock(second)}"
            for name, second in zip(frames.video_names(rows), seconds, strict=True)
        ],
        thumbnails=[_thumbnail(parts.folder, row).read_bytes() for row in rows],
    )
    left_out = "" if is_drawn.all() else f", of {len(is_drawn)}, evenly spread"
    return f"map: {method}, {len(rows)} frames{left_out}"


def project(points: np.ndarray) -> tuple[np.ndarray, str]:
    """Points [n, width] -> float [n, 2] and the name of the method."""
    if importlib.util.find_spec("umap") and len(points) > 15:  # UMAP's default neighbours
        import umap

        return umap.UMAP(random_state=SEED, n_jobs=1).fit_transform(points), "UMAP"
    if len(points) < 2:
        return np.zeros((len(points), 2)), "one point"
    plane = PCA(2, random_state=SEED).fit_transform(points)
    return plane, "principal components (UMAP where umap-learn is installed)"


def write_page(path: AnyPath, plane, method: str, colours, captions, thumbnails) -> None:
    """Writes the page.

    Args:
      plane: float [n, 2].
      method: how the plane was found.
      colours: {what: {"names", "colours", "of": [n] positions in both}}, the first is shown first.
      captions, thumbnails: [n], texts and JPEG files.
    """
    low, high = plane.min(axis=0), plane.max(axis=0)
    size = np.maximum((high - low) / max(*(high - low), 1e-12), 1e-3)
    data = {
        "method": method,
        "size": size.tolist(),
        "plane": ((plane - (low + high) / 2) / max(*(high - low), 1e-12)).round(4).tolist(),
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
    return f"hsl({round(360 * place / count)} 70% {(38, 52, 66)[place % 3]}%)"


def _thumbnail(folder: AnyPath, row: int) -> AnyPath:
    return folder / THUMBNAILS / f"{row:012d}.jpg"
