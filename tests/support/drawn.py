"""Figures as they are looked at: their pixels, and what they tell in a page."""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from down_stream.report.figures import inline_svg, save_png
from tests.support.small_reports import Page


def where(picture, colour, tolerance=0.01):
    """Rows and columns, int [pixels] each, at which a picture [h, w, 3] has this colour."""
    return np.nonzero(np.abs(picture - to_rgb(colour)).max(axis=-1) < tolerance)


def draw(figure, path):
    save_png(figure, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    return imread(path)[..., :3]


def told(figure):
    """What a picture tells in a page, in the order in which it is drawn."""
    return Page(inline_svg(figure, "a picture", "")).texts("title")
