"""Objects in a mask whose colours say what they are: connected parts of one colour.

A mask is drawn in pure colours, and saved as JPEG its edges are not pure any more: each channel
counts as on or off, and what is smaller than one of JPEG's blocks is no object.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from data.images.image_io import read_image

ON = 128  # of 255, the middle between the values that a channel is drawn in
# A square of so many pixels has to fit into an object: JPEG's blocks with halved colours have 16,
# and between two colours that meet, their mixture is a line of a few pixels.
LEAST = 16
COLOURS = {
    (1, 0, 0): "red",
    (0, 1, 0): "green",
    (1, 1, 0): "yellow",
    (0, 0, 1): "blue",
    (1, 0, 1): "magenta",
    (0, 1, 1): "cyan",
    (1, 1, 1): "white",
}


class MaskObject(NamedTuple):
    """An object: the name of its colour, and its box (left, top, right, bottom) in pixels."""

    colour: str
    box: tuple[int, int, int, int]


class MaskContent(NamedTuple):
    """What a mask shows.

    Attributes:
      objects: from left to right, of each colour in turn.
      size: (width, height) of the mask.
      too_small: how many parts are smaller than an object.
    """

    objects: tuple[MaskObject, ...]
    size: tuple[int, int]
    too_small: int


def read_mask(file: Path) -> MaskContent:
    """Reads a mask; raises `InputError` where the file is no image."""
    return find_objects(read_image(file))


def find_objects(mask: np.ndarray, names: Mapping = COLOURS) -> MaskContent:
    """The objects in a mask, uint8 [height, width, 3], RGB; black is background."""
    on = mask >= ON
    objects, too_small = [], 0
    for colour, name in names.items():
        of_colour = (on == np.array(colour, bool)).all(axis=2).astype(np.uint8)
        if not of_colour.any():
            continue
        count, parts, stats, _ = cv2.connectedComponentsWithStats(of_colour, connectivity=8)
        # Where a square of LEAST pixels fits in, erosion leaves something of a part.
        core = cv2.erode(of_colour, np.ones((LEAST, LEAST), np.uint8), borderValue=0)
        large = set(np.unique(parts[core > 0])) - {0}
        too_small += count - 1 - len(large)
        boxes = [tuple(map(int, stats[part, :4])) for part in large]
        objects += [
            MaskObject(name, (left, top, left + width, top + height))
            for left, top, width, height in sorted(boxes)
        ]
    return MaskContent(tuple(objects), (mask.shape[1], mask.shape[0]), too_small)
