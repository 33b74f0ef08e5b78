"""Image files to arrays: one way to decode and one way to resize, for everything that reads frames.

Probes, evaluation and inference all pass here, so that an encoder sees the same numbers in each.
Parts that are cropped at random, in training, are resized by `data.views.image_ops.resample`: all
but the same numbers, in less time.
"""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from data.images.decoding import Reduction, Shape, decode_image, decode_reduced
from data.storage.paths import is_remote, to_path
from data.storage.whole import whole_file

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".npy")
# Pillow's filters, all of them anti-aliased, under the names that timm has for them, too.
RESAMPLES = ("bilinear", "bicubic", "lanczos", "box", "hamming", "nearest")
BILINEAR = "bilinear"


def resize_rule(resample: str) -> str:
    """What turns a frame into an encoder's input, as encoder.json has it."""
    return f"whole frame to a square, Pillow's {resample} filter (anti-aliased)"


RESIZE_RULE = resize_rule(BILINEAR)


def read_image(path: str | Path) -> np.ndarray:
    """Decodes an image file to RGB, uint8 [height, width, 3].

    As `data.images.decoding.decode_image` does, which says what is raised.
    """
    return decode_image(read_bytes(path), path)


def read_reduced(path: str | Path, reduction: Reduction) -> tuple[np.ndarray, Shape]:
    """Decodes an image file no larger than it is needed, by `data.images.decoding.decode_reduced`.

    Returns:
      RGB, its sides divided by `reduction`, and the (height, width) that it has whole.
    """
    return decode_reduced(read_bytes(path), path, reduction)


def read_bytes(path: str | Path) -> np.ndarray:
    """The bytes of a file, on a disk or a remote file system: uint8 [n]."""
    if is_remote(path):
        return np.frombuffer(to_path(path).read_bytes(), np.uint8)
    return np.fromfile(path, np.uint8)


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image file as its header has it; raises `InputError` if it is none."""
    try:
        with Image.open(path) as opened:
            return opened.height, opened.width
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return read_image(path).shape[:2]


def resize(image: np.ndarray, size: tuple[int, int], resample: str = BILINEAR) -> np.ndarray:
    """Resizes uint8 [height, width, 3] with one of Pillow's filters, which do not alias.

    Args:
      image: RGB, or any three channels.
      size: (height, width) of the result.
      resample: of RESAMPLES.

    Returns:
      uint8 [*size, 3].
    """
    if image.shape[:2] == tuple(size):
        return image.copy()
    height, width = size
    method = Image.Resampling[resample.upper()]
    return np.asarray(Image.fromarray(image).resize((width, height), method))


def frame_to_input(image: np.ndarray, image_size: int, resample: str = BILINEAR) -> np.ndarray:
    """A frame as an encoder takes it, by `resize_rule`: uint8 [image_size, image_size, 3], RGB."""
    return resize(image, (image_size, image_size), resample)


def write_frame(path: Path, image: np.ndarray, settings: Mapping, writer: str = "") -> None:
    """Encodes a BGR image; the file appears under its name when it is complete.

    Args:
      writer: as for `data.storage.whole.whole_file`.
    """
    with whole_file(path, writer=writer) as side:
        side.write_bytes(encode_frame(path.suffix, image, settings))


def encode_frame(suffix: str, image: np.ndarray, settings: Mapping) -> np.ndarray:
    """A BGR image as a file's bytes, reduced to the "size" in `settings`, at its "quality"."""
    shorter = min(image.shape[:2])
    if settings["size"] and shorter > settings["size"]:
        height, width = (round(side * settings["size"] / shorter) for side in image.shape[:2])
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    is_jpeg = suffix.lower() in (".jpg", ".jpeg")
    quality = [cv2.IMWRITE_JPEG_QUALITY, settings["quality"]] if is_jpeg else []
    return cv2.imencode(suffix, image, quality)[1]
