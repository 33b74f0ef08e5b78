"""Pictures of what the last block's CLS token attends to, over the frame: heads and their mean."""

import contextlib
import threading
from collections.abc import Iterable
from concurrent.futures import Executor
from pathlib import Path, PurePath

import cv2
import numpy as np

from data.common.errors import InputError
from data.common.logs import logger
from data.dataset.index_columns import INDEX
from data.frames.frames import Frames
from data.images.image_io import SUFFIXES
from data.images.names import official_number
from data.storage.paths import AnyPath, check_output_folder, is_remote
from data.storage.whole import whole_file

HEIGHT = 224  # of one panel, in pixels
COLUMNS = 4
SHARE = 0.6  # of the attention's colour in the picture
MARGIN, CAPTION = 4, 20  # pixels
SCALE = (200, 12)  # width and height of the colours' scale, in pixels
INK = (34, 34, 34)
FONT = (cv2.FONT_HERSHEY_SIMPLEX, 0.45)


class AttentionPictures:
    """Writes `<folder>/<video>/<frame>.png` for frames, in threads.

    A frame is named as its file, or in a video `<video>_NNNNNN`, counted from 1 as `prepare.py`
    does. Of files that are no PNG the suffix is kept, a.jpg.png: beside a.jpg there may be a.png.

    Args:
      folder: made where it is missing; None for no pictures.
      frames: the list that the frames are of.
      pool: where the pictures are drawn.
    """

    def __init__(self, folder: AnyPath | None, frames: Frames, pool: Executor):
        self._folder = folder
        self._frames, self._pool = frames, pool
        self._first = {}  # row of a video's first frame
        self._drawing = []
        self._announcing = threading.Lock()
        self._is_announced = False

    def draw(self, frames, attention: np.ndarray) -> None:
        """Begins to draw frames [n] with their attention, float32 [n, heads, patches]."""
        for frame, weights in zip(frames, attention, strict=True):
            path = self.path(frame.row)
            self._drawing.append(self._pool.submit(self._write, path, frame, weights))

    def wait(self) -> None:
        """Until all pictures that were begun are written; raises what went wrong."""
        for drawing in self._drawing:
            drawing.result()
        self._drawing = []

    def _write(self, path, frame, weights):
        size = write_attention(path, frame, weights)
        with self._announcing:
            if not self._is_announced:
                number = len(self._frames)
                about = f"{number:,} pictures, about {number * size / 1e6:,.0f} MB in all"
                logger.info("%s: %s", self._folder, about)
            self._is_announced = True

    def path(self, row):
        """The file of the picture of a row."""
        (file,) = map(PurePath, self._frames.paths([row]))
        place = int(self._frames.video[row])
        video = self._frames.videos[place]
        if file.suffix.lower() in SUFFIXES:
            return self._folder / video / f"{file.name.removesuffix('.png')}.png"
        if place not in self._first:
            self._first[place] = int(np.searchsorted(self._frames.video, place))
        return self._folder / video / f"{video}_{row - self._first[place] + 1:06d}.png"


def check_folder(folder: AnyPath, frames: Frames) -> None:
    """Raises `InputError` if pictures cannot be written to a folder, or would be taken for frames.

    That is so in a dataset, and where the frames are that they are made of.
    """
    check_output_folder("attention", folder)
    if is_remote(folder):
        return
    place = folder.resolve()
    if dataset := next((p for p in (place, *place.parents) if (p / INDEX).is_file()), None):
        raise InputError(
            f"--attention={folder}: is in the dataset {dataset}; expected another folder"
        )
    _, rows = np.unique(frames.video, return_index=True)  # the first of each video
    for path in frames.paths(np.sort(rows)):
        if not is_remote(path) and Path(path).resolve().is_relative_to(place):
            raise InputError(f"--attention={folder}: {path} is read there; expected another folder")


def remove_leftovers(
    folder: AnyPath, frames: Frames, gone: Iterable[str], changed: Iterable[str]
) -> None:
    """Removes the pictures of videos that are gone, and of frames that changed ones have no more.

    Files that are not named as those of frames are, `<video>_NNNNNN.png`, stay.

    Args:
      folder: of the pictures.
      frames: those that have pictures.
      gone, changed: names of videos.
    """
    pictures = AttentionPictures(folder, frames, None)
    for video in [*gone, *changed]:
        is_there = video in frames.videos
        rows = np.flatnonzero(frames.video == frames.videos.index(video)) if is_there else ()
        drawn = {pictures.path(int(row)).name for row in rows}
        for file in (folder / video).glob("*.png"):
            if official_number(file.stem, video) is not None and file.name not in drawn:
                file.unlink()
        with contextlib.suppress(OSError):  # something is in it, or it is not there
            (folder / video).rmdir()


def write_attention(path: AnyPath, frame, weights: np.ndarray) -> int:
    """Writes the frame, the mean over the heads, and each head, side by side, as a PNG file.

    A map's colours go from its own least value to its largest; its caption has both, in multiples
    of what every patch would have if the attention were even.

    Args:
      path: of the file; folders are made.
      frame: `data.batches.read_ahead.InputFrame`.
      weights: float32 [heads, patches], attention of CLS to the patches, row by row.

    Returns:
      How many bytes it has.
    """
    grid = round(weights.shape[1] ** 0.5)
    size = (max(1, round(HEIGHT * frame.aspect)), HEIGHT)
    image = cv2.resize(frame.image, size, interpolation=cv2.INTER_LINEAR)[..., ::-1]
    maps = [weights.mean(axis=0), *weights]
    names = ["frame", "mean", *(f"head {head}" for head in range(1, len(weights) + 1))]
    panels = [image, *(_overlay(image, each.reshape(grid, grid)) for each in maps)]
    even = max(weights.sum(axis=1).mean(), 1e-12) / weights.shape[1]
    ranges = ["", *(f"{each.min() / even:.1f} to {each.max() / even:.1f}" for each in maps)]
    panels = [_with_caption(*one) for one in zip(panels, names, ranges, strict=True)]
    blank = np.full_like(panels[0], 255)
    panels += [blank] * (-len(panels) % COLUMNS)
    rows = [np.hstack(panels[at : at + COLUMNS]) for at in range(0, len(panels), COLUMNS)]
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = cv2.imencode(".png", np.vstack([*rows, _scale(rows[0].shape[1])]))[1]
    with whole_file(path, writer=f"{frame.row}-") as side:  # a list may have a file twice
        side.write_bytes(encoded.tobytes())
    return len(encoded)


def _overlay(image, attention):
    """The frame with a map over it, coloured from its own least value to its largest."""
    span = max(np.ptp(attention), 1e-12)
    scaled = (255 * (attention - attention.min()) / span).astype(np.uint8)
    scaled = cv2.resize(scaled, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    colour = cv2.applyColorMap(scaled, cv2.COLORMAP_INFERNO)
    return cv2.addWeighted(colour, SHARE, np.ascontiguousarray(image), 1 - SHARE, 0)


def _with_caption(panel, name, values):
    edges = (CAPTION, MARGIN, MARGIN, MARGIN)
    framed = cv2.copyMakeBorder(panel, *edges, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    _put(framed, name, MARGIN)
    if panel.shape[1] > _width(name) + _width(values) + MARGIN:
        _put(framed, values, framed.shape[1] - MARGIN - _width(values))
    return framed


def _scale(width):
    """What the colours mean, a row as wide as the picture."""
    row = np.full((CAPTION, width, 3), 255, np.uint8)
    text = "least to most attention of a map, in multiples of even attention"
    ramp = np.linspace(0, 255, SCALE[0]).astype(np.uint8)[np.newaxis].repeat(SCALE[1], axis=0)
    shown = cv2.applyColorMap(ramp, cv2.COLORMAP_INFERNO)[:, : max(0, width - 2 * MARGIN)]
    row[MARGIN : MARGIN + SCALE[1], MARGIN : MARGIN + shown.shape[1]] = shown
    if width > SCALE[0] + _width(text) + 4 * MARGIN:
        _put(row, text, SCALE[0] + 3 * MARGIN)
    return row


def _put(image, text, left):
    cv2.putText(image, text, (left, CAPTION - 6), *FONT, INK, 1, cv2.LINE_AA)


def _width(text):
    return cv2.getTextSize(text, *FONT, 1)[0][0]
