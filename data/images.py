"""Image files to arrays: one way to decode and one way to resize, for everything that reads frames.

Probes, evaluation and inference all pass here, so that an encoder sees the same numbers in each.
Parts that are cropped at random, in training, are resized by `data.views.resample`: all but the
same numbers, in less time.
"""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from data.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")

# Written to encoder.json: what turns a frame into the encoder's input.
RESIZE_RULE = "whole frame to a square, Pillow's bilinear filter (anti-aliased)"


def read_image(path: str | Path) -> np.ndarray:
    """Decodes an image file to RGB, uint8 [height, width, 3]; grey and 16-bit become RGB 8-bit.

    Raises:
      InputError: the file is empty or cannot be decoded.
    """
    data = np.fromfile(path, np.uint8)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if len(data) else None
    except cv2.error:  # an image larger than OpenCV's limit, for one
        image = None
    if image is None:
        raise InputError(f"{path}: {len(data)} bytes that are not a complete image")
    return image


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes uint8 [height, width, 3] with Pillow's bilinear filter, which does not alias.

    Args:
      image: RGB, or any three channels.
      size: (height, width) of the result.

    Returns:
      uint8 [*size, 3].
    """
    if image.shape[:2] == tuple(size):
        return image.copy()
    height, width = size
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def frame_to_input(image: np.ndarray, image_size: int) -> np.ndarray:
    """A frame as an encoder takes it, by RESIZE_RULE: uint8 [image_size, image_size, 3], RGB."""
    return resize(image, (image_size, image_size))
