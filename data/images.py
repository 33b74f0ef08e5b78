"""Image files to arrays: one way to decode and one way to resize, for everything that reads frames.

Training, evaluation and inference all pass here, so that an encoder sees the same numbers in each.
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
    image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if len(data) else None
    if image is None:
        raise InputError(f"{path}: {len(data)} bytes that are not a complete image")
    return image


def resize(image: np.ndarray, size: tuple[int, int], box=None) -> np.ndarray:
    """Resizes uint8 [height, width, 3] with Pillow's bilinear filter, which does not alias.

    Args:
      image: RGB, or any three channels.
      size: (height, width) of the result.
      box: (left, top, right, bottom) in pixels, the part to be resized; None for all of it.

    Returns:
      uint8 [*size, 3].
    """
    if box is not None:
        left, top, right, bottom = box
        image = image[top:bottom, left:right]
    if image.shape[:2] == tuple(size):
        return image.copy()
    height, width = size
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def frame_to_input(image: np.ndarray, image_size: int) -> np.ndarray:
    """A frame as an encoder takes it, by RESIZE_RULE: uint8 [image_size, image_size, 3], RGB."""
    return resize(image, (image_size, image_size))


class ImageFiles:
    """Image files by row, as `data.index.FrameIndex` gives the frames of a dataset.

    Args:
      path: an image file, or a folder that is searched with its subfolders for image suffixes.

    Raises:
      InputError: no such path, not an image suffix, or no images in the folder.
    """

    def __init__(self, path: str | Path):
        path = Path(path)
        if path.is_dir():
            files = [file for file in path.rglob("*") if file.is_file()]
            self.files = sorted(file for file in files if file.suffix.lower() in SUFFIXES)
            if not self.files:
                raise InputError(
                    f"{path}: no images among {len(files)} files; images end in "
                    + ", ".join(SUFFIXES)
                )
        elif not path.exists():
            raise InputError(f"{path}: no such file or folder")
        elif path.suffix.lower() not in SUFFIXES:
            raise InputError(f"{path}: not an image; images end in {', '.join(SUFFIXES)}")
        else:
            self.files = [path]

    def __len__(self):
        return len(self.files)

    def paths(self, rows) -> list[str]:
        """Paths of these rows."""
        return [str(self.files[row]) for row in rows]
