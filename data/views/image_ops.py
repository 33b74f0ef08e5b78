"""Pillow's image operations, to within a grey level or so, computed by OpenCV's kernels.

`tests/data/views/test_multi_crop.py` compares them, `tests/benchmarks/views.py` times them.
"""

import functools
import math

import cv2
import numpy as np

DOWN = -0.499  # added before OpenCV rounds: Pillow's blends cut the fraction off


def resample(image, size, averaged=1) -> np.ndarray:
    """Resizes [height, width, 3] to [size, size, 3], closely as Pillow's bilinear filter does.

    That filter is a triangle as wide as two pixels of the result, so that nothing aliases. Here a
    narrower triangle blurs the image, and interpolating between two pixels does the rest: both are
    vectorised, and together they take a third of Pillow's time. `data.images.image_io.resize` is
    Pillow's.

    Args:
      image: uint8 [height, width, 3].
      size: of the result in pixels.
      averaged: how many pixels a side each of these has been made of, which has blurred already.
    """
    height, width = image.shape[:2]
    if max(height, width) > size:
        triangles = _triangle(width, size, averaged), _triangle(height, size, averaged)
        image = cv2.sepFilter2D(image, -1, *triangles, borderType=cv2.BORDER_REFLECT)
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)


@functools.lru_cache(maxsize=4096)
def _triangle(length, size, averaged=1) -> np.ndarray:
    """The blur that makes linear interpolation of `length` pixels at `size` places Pillow's filter.

    Interpolation is a filter itself: a triangle that reaches one pixel to either side. One that
    reaches n pixels, a whole number, is the sum of its copies at -n + 1 .. n - 1, weighted by a
    triangle. For other reaches its two neighbours are mixed.

    Variances of filters in a row add up: that of a triangle is reach^2 / 6, and that of the mean of
    n pixels, in widths of all of them, (1 - 1 / n^2) / 12.
    """
    reach = math.sqrt(max(1.0, (length / size) ** 2 - (1 - averaged**-2) / 2))
    n = int(reach)
    share = reach - n
    distance = np.abs(np.arange(-n, n + 1))
    inner, outer = (np.maximum(0, m - distance) / m**2 for m in (n, n + 1))
    return _fixed_point((1 - share) * inner + share * outer)


def _fixed_point(weights) -> np.ndarray:
    """A symmetric kernel in steps of 1 / 256, with the sum 1.

    OpenCV filters bytes in such steps. Its own rounding would change the sum: the brightness.
    """
    below = np.cumsum(weights[: len(weights) // 2]) / np.sum(weights)
    side = np.diff(np.round(256 * below), prepend=0)
    return np.array([*side, 256 - 2 * side.sum(), *side[::-1]], np.float32) / 256


def adjust_brightness(image, factor) -> np.ndarray:
    """Blends with black: factor 0 is black, 1 the image."""
    return cv2.convertScaleAbs(image, alpha=factor, beta=DOWN)


def adjust_contrast(image, factor) -> np.ndarray:
    """Blends with the mean grey: factor 0 is that grey all over, 1 the image."""
    mean = int(cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0] + 0.5)
    return cv2.addWeighted(image, factor, image, 0, (1 - factor) * mean + DOWN)


def adjust_saturation(image, factor) -> np.ndarray:
    """Blends with the grey image: factor 0 is grey, 1 the image."""
    return cv2.addWeighted(image, factor, to_grey(image), 1 - factor, DOWN)


def adjust_hue(image, shift) -> np.ndarray:
    """Turns the hue by `shift`, a share of the circle, -0.5..0.5."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(int(shift * 255) % 256)  # wraps around
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def to_grey(image) -> np.ndarray:
    """Luma (ITU-R 601) in all three channels."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def blur(image, radius) -> np.ndarray:
    """Gaussian blur as Pillow does it; `radius` is the standard deviation in pixels."""
    kernel = _three_boxes(round(radius, 2))  # few enough to be kept
    return cv2.sepFilter2D(image, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT)


@functools.lru_cache(maxsize=1024)
def _three_boxes(radius) -> np.ndarray:
    """Three box filters in a row, the approximation of a Gaussian that Pillow takes, as one kernel.

    Each has a third of the variance, which it gets from what its two outermost pixels weigh
    (Gwosdek et al., SSVM 2011).
    """
    variance = radius**2 / 3
    whole = int((math.sqrt(12 * variance + 1) - 1) / 2)  # pixels of full weight to either side
    edge = (2 * whole + 1) * (3 * variance - whole * (whole + 1))
    edge /= 6 * ((whole + 1) ** 2 - variance)
    box = [edge, *[1] * (2 * whole + 1), edge]
    return _fixed_point(np.convolve(np.convolve(box, box), box))
