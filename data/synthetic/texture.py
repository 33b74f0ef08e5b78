"""Brushes of the miniature Cholec80: noise, vessels, shaded tissue, and pasting one on another.

Everything drawn is a *layer*: uint8 [height, width, 4], blue, green, red (already multiplied by
alpha) and alpha. Its origin is its centre and it has `scale` pixels per unit; a unit is the height
of a video frame. x points right, y down.
"""

import cv2
import numpy as np


def fractal(rng, shape, cell: float, octaves: int = 3) -> np.ndarray:
    """Cloudy noise, float32 [height, width] in 0..1; `cell` pixels are the size of the clouds."""
    height, width = shape
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        rows = int(height / cell * 2**octave) + 3
        columns = int(width / cell * 2**octave) + 3
        grid = rng.random((rows, columns), np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) / 2**octave
    low, high = np.percentile(total[::3, ::3], (1, 99)).astype(np.float32)
    return np.clip((total - low) / (high - low), 0, 1)


def lobules(rng, shape, cell: float) -> np.ndarray:
    """Close-packed bumps as on fat, float32 [height, width] in 0..1, about `cell` pixels wide."""
    height, width = shape
    seeds = np.full(shape, 255, np.uint8)
    count = max(2, int(height * width / cell**2))
    seeds[rng.integers(0, height, count), rng.integers(0, width, count)] = 0
    distance = cv2.distanceTransform(seeds, cv2.DIST_L2, 5) / cell
    return cv2.GaussianBlur(np.sqrt(np.clip(1 - distance**2, 0, 1)), (0, 0), cell / 14 + 0.3)


def vessels(rng, shape, count: int, width: float) -> np.ndarray:
    """Branching vessels, float32 [height, width] in 0..1; `width` pixels at the roots."""
    mask = np.zeros(shape, np.uint8)
    height, columns = shape
    size = max(shape)
    roots = rng.random((count, 3)) * (columns, height, 2 * np.pi)
    twigs = [(*root, width) for root in roots]
    while twigs:
        x, y, heading, thick = twigs.pop()
        points = [(x, y)]
        for _ in range(14):
            heading += rng.normal(0, 0.35)
            x, y = x + np.cos(heading) * size / 45, y + np.sin(heading) * size / 45
            points.append((x, y))
        # cv2 draws whole widths only: thin vessels are drawn fainter instead.
        strength = int(255 * min(1, 0.35 + 0.65 * thick / max(width, 1)))
        line = np.int32(np.array(points) * 16)
        cv2.polylines(mask, [line], False, strength, max(1, round(thick)), cv2.LINE_AA, 4)
        if thick > 0.35 * width:
            for start in rng.integers(3, len(points), 2):
                turn = rng.choice((-1, 1)) * rng.uniform(0.4, 1.0)
                twigs.append((*points[start], heading + turn, thick * 0.6))
    return cv2.GaussianBlur(mask, (0, 0), 0.6).astype(np.float32) / 255


def smooth_outline(points, rounds: int = 4) -> np.ndarray:
    """Closed polygon with its corners cut (Chaikin), float32 [n × 2^rounds, 2]."""
    points = np.asarray(points, np.float32)
    for _ in range(rounds):
        following = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], 1)
        points = points.reshape(-1, 2)
    return points


def fill(points, shape, scale: float) -> np.ndarray:
    """Polygon in units as a mask, uint8 [height, width] = `shape`, 0..255."""
    height, width = shape
    mask = np.zeros(shape, np.uint8)
    pixels = (np.asarray(points, np.float32) * scale + (width / 2, height / 2)) * 16
    cv2.fillPoly(mask, [np.int32(pixels)], 255, cv2.LINE_AA, 4)
    return mask


def whole_pixels(values) -> np.ndarray:
    """Values of any size as a picture has them, uint8: cut at 0 and 255, fractions dropped."""
    return np.clip(values, 0, 255).astype(np.uint8)


def layer_size(extent, scale: float) -> tuple[int, int]:
    """(width, height) in pixels of a layer of `extent` = (width, height) units."""
    return max(4, round(extent[0] * scale)), max(4, round(extent[1] * scale))


def relief(mask: np.ndarray, scale: float, radius: float) -> np.ndarray:
    """Cushion over a mask, float32 [height, width], in units; its rim is `radius` units wide."""
    inside = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 5) / scale
    rim = 1 - np.minimum(inside / radius, 1)
    return cv2.GaussianBlur(np.sqrt(1 - rim**2) * radius, (0, 0), 0.02 * scale + 0.5)


def shade(colour, height, scale: float, light, gloss: float, wet) -> np.ndarray:
    """Light a surface with a lamp near the viewer.

    Args:
        colour: float32 [height, width, 3], BGR 0..255.
        height: float32 [height, width], relief in units.
        scale: pixels per unit.
        light: (x, y, z), where the lamp is, in units from the layer's centre, z above it.
        gloss: 0 matt .. 1 wet.
        wet: float32 [height, width] in 0..1, breaks the highlights up.

    Returns:
        uint8 [height, width, 3]: Lambert's shading and Phong's highlight.
    """
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=scale / 8)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=scale / 8)
    normal_z = 1 / np.sqrt(1 + slope_x**2 + slope_y**2)
    rows, columns = height.shape
    to_x = (light[0] - (np.arange(columns, dtype=np.float32) - columns / 2) / scale)[None, :]
    to_y = (light[1] - (np.arange(rows, dtype=np.float32) - rows / 2) / scale)[:, None]
    near = 1 / np.sqrt(to_x**2 + to_y**2 + light[2] ** 2)
    facing = (light[2] - slope_x * to_x - slope_y * to_y) * normal_z * near
    mirrored = np.clip(2 * facing * normal_z - light[2] * near, 0, 1)
    glare = np.clip((mirrored**30 * (0.25 + 1.1 * wet) - 0.6) * 4, 0, 1) * 255 * gloss
    lit = colour * (0.15 + 0.9 * np.clip(facing, 0, 1))[..., None] + glare[..., None]
    return whole_pixels(lit)


def layer(image, alpha) -> np.ndarray:
    """Join BGR uint8 [height, width, 3] and alpha uint8 [height, width] into a layer."""
    alpha = np.asarray(alpha, np.uint8)
    return np.dstack([cv2.multiply(image, cv2.merge([alpha] * 3), scale=1 / 255), alpha])


def fade(source: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """A layer made more transparent by alpha, uint8 [height, width]."""
    return cv2.multiply(source, cv2.merge([alpha] * 4), scale=1 / 255)


def pose(x, y, degrees: float = 0, wide: float = 1, tall: float = 1) -> np.ndarray:
    """Affine matrix float64 [3, 3]: stretch, then turn (clockwise on screen), then move."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cos * wide, -sin * tall, x], [sin * wide, cos * tall, y], [0, 0, 1]])


def paste(image: np.ndarray, source: np.ndarray, matrix: np.ndarray, scale: float) -> None:
    """Paste a layer on an image, in place.

    Args:
        image: uint8 [height, width, 3], origin at its centre.
        source: a layer.
        matrix: float64 [3, 3], units of the layer to units of the image.
        scale: pixels per unit of both.
    """
    rows, columns = source.shape[:2]
    height, width = image.shape[:2]
    full = matrix[:2].copy()
    full[:, 2] = matrix[:2, 2] * scale + (width / 2, height / 2)
    full[:, 2] -= full[:, :2] @ (columns / 2, rows / 2)
    corners = np.array([[0, 0, 1], [columns, 0, 1], [0, rows, 1], [columns, rows, 1]]) @ full.T
    left, top = np.clip(np.floor(corners.min(0)).astype(int), 0, (width, height))
    right, bottom = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, (width, height))
    if left >= right or top >= bottom:
        return
    full[:, 2] -= (left, top)
    warped = cv2.warpAffine(source, full, (int(right - left), int(bottom - top)))
    colour = cv2.cvtColor(warped, cv2.COLOR_BGRA2BGR)
    through = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(warped, 3)), cv2.COLOR_GRAY2BGR)
    part = image[top:bottom, left:right]
    part[...] = cv2.add(cv2.multiply(part, through, scale=1 / 255), colour)
