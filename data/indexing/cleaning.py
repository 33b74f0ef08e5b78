"""Cleaning for pre-training: which frames to leave out, and which borders to cut off.

Four measures, each off unless it is asked for. They are simple on purpose, and look at each frame
at a quarter of its size; figures are from 458 frames of two Cholec80 videos, 160 frames of 16 other
laparoscopies and five Cholec80 clips of 32 s.

- Black: under 5 % of the picture is lit. Recorders write black without a signal, and CAMMA's data
  sets have black where the camera was out of the body (CholecT45's README). Black frames had no lit
  pixel at all, every other frame 16 % or more.
- Out of body: under 10 % of what is lit has the colours of tissue (hue from 280° over red to 50°,
  saturation over 0.2; purple is tissue under a cold white balance). Drapes, cold light on a trocar
  and menus had up to 6 %, inside the body the least was 14 %, through dense smoke. It drops no
  frame of the Cholec80 videos, and 15 of the about 22 among the others that show the theatre, a
  trocar or a menu: what is lit warmly passes. This is a cheap filter for training data and no
  anonymisation; learned detectors are made for that (OoBNet: Lavanchy et al., Scientific Reports
  13:9235, 2023). White light only: narrow-band, fluorescence and dye images have other colours.
- Near-duplicate: on 32x32 pixels, the mean difference to the last frame that was kept is under 1 of
  255 grey levels. The same picture encoded twice differs by 0.3 to 0.4, a menu by 0.02; frames one
  second apart by 2.4 or more, frames 1/25 s apart by 1.9 in the median. It finds a standing
  picture, not a quiet scene.
- Borders: rows and columns under a tenth of which is lit, outside the picture, as in the
  preparation that is customary for Cholec80 since TMRNet (Jin et al., IEEE TMI 2021). That cuts
  frame by frame; here the median over 31 frames decides, so that a dark scene does not shake it. A
  circular picture keeps its black corners.

Nothing is deleted. Dropped frames are missing from `pretraining.parquet` alone, `index.parquet` has
all. Cropped frames are copies in `cropped/`, and both indices point to them.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from data.common.errors import InputError
from data.dataset.audit import Audit
from data.images.image_io import read_image, write_frame
from data.storage.whole import write_json

CROPPED = "cropped"
BOXES = ".boxes.json"  # in a folder of cropped frames: {name: the part of the frame}

LIT = 20  # of 255, in the brightest channel; borders had 6 at most
LEAST_LIT = 0.05
TISSUE_HUES, TISSUE_SATURATION = (280, 50), 0.2
LEAST_TISSUE = 0.1
THUMBNAIL = 32
LEAST_DIFFERENCE = 1.0
LINE_LIT = 0.1
WINDOW = 31  # frames
WORTH_CROPPING = (0.25, 0.98)  # share of the picture that is left

QUALITY = 95  # of cropped JPEG
WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Cleaning:
    """What to do; `black`, `out_of_body` and `near_duplicates` drop, `borders` crops."""

    black: bool = False
    out_of_body: bool = False
    near_duplicates: bool = False
    borders: bool = False

    @property
    def drops(self) -> bool:
        """Whether frames may be left out."""
        return self.black or self.out_of_body or self.near_duplicates

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))


class Measures(NamedTuple):
    """What is measured of a frame.

    Attributes:
      lit: share of the picture that is lit.
      tissue: share of the lit part that has the colours of tissue.
      thumbnail: uint8 [32, 32, 3].
      box: left, top, right, bottom of what is lit, as shares of width and height; NaN if nothing.
    """

    lit: float
    tissue: float
    thumbnail: np.ndarray
    box: tuple[float, float, float, float]


def measure(path: Path) -> Measures:
    """Measures an image file, decoded at a quarter of its size.

    Raises:
      InputError: it cannot be decoded.
    """
    data = np.fromfile(path, np.uint8)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_REDUCED_COLOR_4) if len(data) else None
    except cv2.error:  # larger than OpenCV decodes
        image = None
    if image is None:  # .npy, for one
        image = np.ascontiguousarray(read_image(path)[::4, ::4, ::-1])
    return measure_image(image)


def measure_image(image: np.ndarray) -> Measures:
    """Measures a picture, BGR uint8 [height, width, 3]."""
    lit = image.max(axis=2) > LIT
    hue, saturation, _ = cv2.split(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_BGR2HSV))
    low, high = TISSUE_HUES
    is_tissue = ((hue >= low) | (hue <= high)) & (saturation > TISSUE_SATURATION)
    return Measures(
        lit=float(lit.mean()),
        tissue=float(is_tissue[lit].mean()) if lit.any() else 0.0,
        thumbnail=cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA),
        box=_lit_box(lit),
    )


def _lit_box(lit: np.ndarray) -> tuple[float, float, float, float]:
    columns = np.flatnonzero(lit.mean(axis=0) >= LINE_LIT)
    rows = np.flatnonzero(lit.mean(axis=1) >= LINE_LIT)
    if not len(columns) or not len(rows):
        return (np.nan,) * 4
    height, width = lit.shape
    return (
        columns[0] / width,
        rows[0] / height,
        (columns[-1] + 1) / width,
        (rows[-1] + 1) / height,
    )


def find_dropped(measures: Sequence[Measures], cleaning: Cleaning) -> list[str | None]:
    """Why each frame of a video is dropped, as named in `audit.CLEANED`; None if it is not."""
    reasons, last = [], None
    for frame in measures:
        thumbnail = frame.thumbnail.astype(np.float32)
        if cleaning.black and frame.lit < LEAST_LIT:
            reason = "black"
        elif cleaning.out_of_body and frame.lit >= LEAST_LIT and frame.tissue < LEAST_TISSUE:
            reason = "out_of_body"
        elif (
            cleaning.near_duplicates
            and last is not None
            and np.abs(thumbnail - last).mean() < LEAST_DIFFERENCE
        ):
            reason = "near_duplicates"
        else:
            reason, last = None, thumbnail
        reasons.append(reason)
    return reasons


def find_boxes(measures: Sequence[Measures]) -> np.ndarray:
    """float [n, 4], the part of each frame inside the borders, shares as in `Measures.box`.

    All of it where the borders are too small to matter, and where so little is lit that it may be
    the scene that is dark.
    """
    if not measures:
        return np.empty((0, 4))
    boxes = np.array([frame.box for frame in measures], np.float64)
    padded = np.pad(boxes, ((WINDOW // 2, WINDOW // 2), (0, 0)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=0)
    is_lit = ~np.isnan(windows).all(axis=(1, 2))
    result = np.tile(WHOLE, (len(boxes), 1))
    if is_lit.any():
        result[is_lit] = np.nanmedian(windows[is_lit], axis=2)
    left, top, right, bottom = result.T
    least, most = WORTH_CROPPING
    share = (right - left) * (bottom - top)
    result[(share < least) | (share > most)] = WHOLE
    return result


def measure_files(files: Sequence[Path], audit: Audit) -> dict[Path, Measures]:
    """Measures the files of a video; one that cannot be decoded is a problem, and left out."""
    measured = {}
    for file in files:
        try:
            measured[file] = measure(file)
        except InputError as error:
            audit.problem(str(error))
    return measured


def clean_video(
    folder: Path, measured: Mapping[Path, Measures], cleaning: Cleaning, counts: dict[str, int]
) -> tuple[list[Path], np.ndarray]:
    """Cleans one video.

    Args:
      folder: receives the cropped frames.
      measured: the frames in their order, from `measure_files`.
      cleaning: what to do.
      counts: receives those of `data.dataset.audit.CLEANED` that were asked for.

    Returns:
      The files to read instead, one per frame; bool [n], which of them are for pre-training.
    """
    files, frames = list(measured), list(measured.values())
    reasons = find_dropped(frames, cleaning)
    for reason in ("black", "out_of_body", "near_duplicates"):
        if getattr(cleaning, reason):
            counts[reason] = reasons.count(reason)
    if cleaning.borders:
        boxes = find_boxes(frames)
        is_cropped = (boxes != WHOLE).any(axis=1)
        with cropping(folder) as crop:
            for row in np.flatnonzero(is_cropped):
                files[row] = crop(files[row], boxes[row])
        counts["cropped"] = int(is_cropped.sum())
    counts["pretraining"] = reasons.count(None)
    return files, np.array([reason is None for reason in reasons], bool)


@contextlib.contextmanager
def cropping(folder: Path) -> Iterator[Callable[..., Path]]:
    """Context with a function (image, box) -> the part of the image, a file in `folder`.

    A third argument is that file's name, where an image has several parts.

    It raises `InputError` where the image cannot be decoded, and may be called from threads. What
    is there, newer than its image and of the same box, is not written again.
    """
    note = folder / BOXES
    try:
        noted = json.loads(note.read_text())
    except (OSError, ValueError):  # none yet, or damaged: what is there may be of any box
        noted = {}
    used = {}

    def crop(file, box, name=None):
        name = name or file.name
        target, box = folder / name, [float(share) for share in box]
        is_same = noted.get(name) == box and target.exists()
        if not is_same or target.stat().st_mtime < file.stat().st_mtime:
            note.unlink(missing_ok=True)  # until the end, nobody knows what is of which box
            _write_part(file, box, target)
        used[name] = box
        return target

    try:
        yield crop
    finally:
        if used:
            write_json(note, noted | used)


def _write_part(file: Path, box: Sequence[float], target: Path) -> None:
    image = read_image(file)
    height, width = image.shape[:2]
    left, right = int(np.floor(box[0] * width)), int(np.ceil(box[2] * width))
    top, bottom = int(np.floor(box[1] * height)), int(np.ceil(box[3] * height))
    target.parent.mkdir(parents=True, exist_ok=True)
    inside = np.ascontiguousarray(image[top:bottom, left:right, ::-1])
    write_frame(target, inside, {"size": None, "quality": QUALITY})
