"""Brushes: what they must be as geometry, light and paint, whatever they look like."""

import cv2
import numpy as np
import pytest

from data.synthetic.texture import (
    fade,
    fill,
    fractal,
    layer,
    lobules,
    paste,
    pose,
    relief,
    shade,
    smooth_outline,
    vessels,
)

SQUARE = np.float32([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])


def rng():
    return np.random.default_rng(0)


def generators(count):
    return [np.random.default_rng(seed) for seed in range(count)]


def disc(size, radius):
    """Mask uint8 [size, size], 255 within `radius` pixels of its centre."""
    y, x = np.mgrid[:size, :size] - size // 2
    return np.uint8(255 * (np.hypot(x, y) <= radius))


def plain(shape, bgr, alpha=255):
    """A layer of one colour."""
    image = np.full((*shape, 3), bgr, np.uint8)
    return layer(image, np.full(shape, alpha, np.uint8))


def centroid(image):
    """(x, y) of the brightness, in pixels from the centre of the image."""
    weight = image.sum(-1, dtype=float)
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]] + 0.5
    height, width = weight.shape
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum() - (
        width / 2,
        height / 2,
    )


def test_noise_fills_its_range_and_is_as_coarse_as_asked():
    for brush in (fractal, lobules):
        fine, coarse = (brush(rng(), (80, 120), cell) for cell in (5, 20))
        assert fine.shape == (80, 120)
        assert fine.min() >= 0
        assert 0.9 < fine.max() <= 1.001
        steps = [np.abs(np.diff(noise)).mean() for noise in (fine, coarse)]
        assert steps[0] > 2 * steps[1], brush.__name__
        ratio = np.abs(np.diff(fine, axis=0)).mean() / steps[0]
        assert 0.8 < ratio < 1.25, "in both directions"
        np.testing.assert_array_equal(fine, brush(rng(), (80, 120), 5))


def test_vessels_branch():
    thin, thick = (vessels(rng(), (80, 120), 6, width) for width in (2, 5))
    none = vessels(rng(), (80, 120), 0, 2)
    assert none.max() == 0 < thin.mean() < thick.mean() < 0.5
    assert thick.max() <= 1
    area = np.mean([(vessels(rng, (180, 180), 1, 3) > 0.3).sum() for rng in generators(12)])
    trunk = 14 * 180 / 45 * 3  # 14 pieces, 3 pixels wide
    assert area > 1.5 * trunk


def test_outlines_lose_their_corners_and_keep_their_scale():
    once = smooth_outline(SQUARE, rounds=1)
    assert once.shape == (8, 2)
    # A corner cut takes a triangle of legs 1/4 from a square of area 1.
    assert cv2.contourArea(once) == pytest.approx(1 - 4 / 32)
    smooth = smooth_outline(SQUARE)
    assert smooth.shape == (64, 2)
    assert np.abs(smooth).max() <= 0.5
    mask = fill(smooth + np.float32((0.3, -0.2)), (160, 200), scale=100)
    assert mask.shape == (160, 200)
    assert mask.sum() / 255 == pytest.approx(cv2.contourArea(smooth) * 100**2, rel=0.05)
    np.testing.assert_allclose(centroid(mask[..., None]), (30, -20), atol=0.6)


def test_a_disc_as_wide_as_its_rim_is_a_hemisphere():
    scale, radius = 100, 0.5
    height = relief(disc(141, radius * scale), scale, radius)
    assert height[70, 70] == pytest.approx(radius, abs=0.02)
    for distance in (0.2, 0.3, 0.4):  # Pythagoras
        expected = np.sqrt(radius**2 - distance**2)
        assert height[70, 70 + int(distance * scale)] == pytest.approx(expected, abs=0.03)
    assert height[0, 0] == 0


def test_what_faces_the_lamp_is_bright_and_what_is_wet_shines():
    height = relief(disc(141, 50), 100, 0.5)
    grey, wet = np.full((141, 141, 3), 120, np.float32), np.ones((141, 141), np.float32)
    matt = shade(grey, height, 100, (-0.4, 0, 0.9), 0, wet)
    assert matt[70, 40].mean() > 1.3 * matt[70, 100].mean(), "the lamp is on the left"
    np.testing.assert_allclose(matt[40, 70], matt[100, 70], atol=3)
    above = shade(grey, height, 100, (0, -0.4, 0.9), 0, wet)
    np.testing.assert_allclose(above, matt.transpose(1, 0, 2), atol=3)
    assert matt.max() <= 1.05 * 120 + 1
    glossy = shade(grey, height, 100, (-0.4, 0, 0.9), 1, wet)
    assert glossy.max() == 255
    spot = (glossy > matt).any(-1)
    assert 0 < spot.mean() < 0.1, "a highlight, small and where the lamp is"
    assert np.argwhere(spot)[:, 1].mean() < 70


def test_pasting_mixes_by_alpha():
    """Porter and Duff's `over`: alpha of the layer, and the rest of what was there."""
    under = np.full((40, 60, 3), (200, 100, 0), np.uint8)
    for alpha in (255, 102, 0):
        image = under.copy()
        paste(image, plain((20, 20), (0, 50, 250), alpha), pose(0, 0), 20)
        share = alpha / 255
        mixed = share * np.array((0, 50, 250)) + (1 - share) * np.array((200, 100, 0))
        np.testing.assert_allclose(image[20, 30], mixed, atol=2)
        np.testing.assert_array_equal(image[:5], under[:5])
    faded = fade(plain((20, 20), (0, 50, 250)), np.full((20, 20), 102, np.uint8))
    np.testing.assert_allclose(faded, plain((20, 20), (0, 50, 250), 102), atol=1)


def test_layers_are_stretched_then_turned_then_moved():
    image = np.zeros((100, 120, 3), np.uint8)
    white = plain((10, 10), (255, 255, 255))
    paste(image, white, pose(1, -0.5, 90, wide=3, tall=1), 20)
    np.testing.assert_allclose(centroid(image), (20, -10), atol=1.1)
    rows, columns = np.nonzero(image[..., 0] > 127)
    assert np.ptp(rows) + 1 == pytest.approx(30, abs=1)  # its width, turned upright
    assert np.ptp(columns) + 1 == pytest.approx(10, abs=1)
    np.testing.assert_allclose(pose(0, 0, 90) @ (1, 0, 1), (0, 1, 1), atol=1e-9)  # clockwise

    # What hangs over the edge is cut off there; what lies outside is not drawn.
    large = np.zeros((140, 160, 3), np.uint8)
    for x, y in ((2.9, 0.1), (-3, -2.5), (0.3, 2.4)):
        paste(image, white, pose(x, y, 30), 20)
        paste(large, white, pose(x, y, 30), 20)
    paste(large, white, pose(1, -0.5, 90, wide=3, tall=1), 20)
    np.testing.assert_array_equal(image, large[20:120, 20:140])
    before = image.copy()
    for x, y in ((9, 0), (-9, 0), (0, 9), (0, -9)):
        paste(image, white, pose(x, y), 20)
    np.testing.assert_array_equal(image, before)
