"""What the miniature PolypsSet shows: a polyp on the wall of a colon, seen by a moving endoscope.

Lengths are in units of the frame's height, as in `data/synthetic/texture.py`.
"""

import cv2
import numpy as np

from data.synthetic import texture

CANVAS = 2.4  # units: side of the piece of wall that is drawn
DENSITY = 1.3  # pixels of the canvas per pixel of the frame: some reserve for zooming in
CONTRAST = 0.09  # of the surface pattern, standard deviation as a share of the colour
LEAST_SHOWN = 0.35  # share of a polyp's area below which it is not annotated


class Polyp:
    """One polyp and one pass of the endoscope over it.

    Args:
      random: every random number comes from it.
      kind: "hyperplastic" or "adenomatous".
      size: (width, height) of a frame in pixels.
      count: how many frames there will be.
    """

    def __init__(self, random, kind: str, size: tuple[int, int], count: int):
        self.random, self.size, self.count = random, size, count
        self.scale = size[1] * DENSITY
        side = round(CANVAS * self.scale)
        self.colour, self.height = draw_wall(random, side, self.scale)
        self.mask = draw_polyp(random, kind, self.colour, self.height, self.scale)
        self.wet = texture.fractal(random, (side, side), 0.05 * self.scale)
        self._draw_camera()

    def _draw_camera(self) -> None:
        random, count = self.random, self.count
        self.place = random.uniform(-0.22, 0.22, 2) + walk(random, count, 2, 0.06)
        self.turn = random.uniform(0, 360) + 8 * walk(random, count, 1, 1)[:, 0]
        self.zoom = random.uniform(0.85, 1.5) * np.exp(walk(random, count, 1, 0.06)[:, 0])
        self.lamp = (*random.uniform(-0.25, 0.25, 2), random.uniform(0.55, 0.8))
        self.gains = random.uniform(0.93, 1.07, 3)
        self.exposure = random.uniform(100, 135)  # mean of a frame, as the camera controls it
        self.blur = np.abs(random.normal(0, 0.5, count))
        self.away = random.random(count) < 0.04  # the polyp is out of sight
        self.away[0] = False
        self.corner = random.uniform(1.5, 1.9)  # where the picture's corners are cut off
        self.grain = random.uniform(1.5, 4)

    def frame(self, number: int) -> tuple[np.ndarray, tuple[int, int, int, int] | None]:
        """Frame `number` of `count`.

        Returns:
          uint8 [height, width, 3], BGR; the polyp's box in it (left, top, right, bottom in whole
          pixels), None where there is too little of it to be seen.
        """
        height = self.size[1]
        matrix = self._view(number)
        options = {"dsize": self.size, "borderMode": cv2.BORDER_REFLECT_101}
        colour = cv2.warpAffine(self.colour, matrix, **options)
        relief_now = cv2.warpAffine(self.height, matrix, **options) * float(self.zoom[number])
        wet = cv2.warpAffine(self.wet, matrix, **options)
        image = texture.shade(colour, relief_now, height, self.lamp, 0.8, wet).astype(np.float32)
        image *= self._vignette()[..., None]
        if self.blur[number] > 0.35:
            image = cv2.GaussianBlur(image, (0, 0), float(self.blur[number]))
        inside = self._inside()
        gains = self.gains * self.exposure / max(image[inside].mean(), 30)
        image = 255 * np.tanh(image * gains / 255)
        image += self.random.normal(0, self.grain, image.shape)
        image[~inside] = 0
        mask = cv2.warpAffine(self.mask, matrix, self.size)
        return texture.whole_pixels(image), self._box(mask, matrix)

    def _view(self, number: int) -> np.ndarray:
        """Affine matrix [2, 3] from canvas to frame; the polyp is at the canvas' centre."""
        width, height = self.size
        factor = float(self.zoom[number]) / DENSITY
        centre = np.array(self.mask.shape[::-1]) / 2
        matrix = cv2.getRotationMatrix2D(tuple(centre), float(self.turn[number]), factor)
        shift = self.place[number] + (1.1 if self.away[number] else 0)
        matrix[:, 2] += np.array([width, height]) / 2 - centre + shift * height
        return matrix

    def _box(self, mask, matrix):
        shown = (mask > 127) & self._inside()
        area = np.count_nonzero(self.mask > 127) * abs(np.linalg.det(matrix[:, :2]))
        if np.count_nonzero(shown) < LEAST_SHOWN * area:
            return None
        rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
        return tuple(int(v) for v in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))

    def _inside(self) -> np.ndarray:
        """bool [height, width]: the octagon that the endoscope shows."""
        width, height = self.size
        x = np.abs(np.arange(width) - width / 2) / (width / 2)
        y = np.abs(np.arange(height) - height / 2) / (height / 2)
        return (x[None] + y[:, None] < self.corner) & (x[None] < 0.97)

    def _vignette(self) -> np.ndarray:
        width, height = self.size
        x, y = (np.arange(n) / height - n / height / 2 for n in (width, height))
        radius = np.hypot(x[None] - self.lamp[0] / 2, y[:, None] - self.lamp[1] / 2)
        return (1.15 - 0.75 * np.clip(radius, 0, 1.1) ** 1.5).astype(np.float32)


def walk(random, count: int, channels: int, step: float) -> np.ndarray:
    """Smooth random motion about 0, float64 [count, channels]; `step` from one row to the next."""
    position, velocity = np.zeros((count, channels)), np.zeros(channels)
    for row in range(1, count):
        velocity = 0.6 * velocity + random.normal(0, step, channels) - 0.1 * position[row - 1]
        position[row] = position[row - 1] + velocity
    return position


def draw_wall(random, side: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The wall of a colon: its colour, float32 [side, side, 3] BGR, and its height in units.

    Folds are arcs about the lumen, which is dark and lies beside the piece that is drawn most of.
    """
    shape = (side, side)
    pink = np.array([random.uniform(95, 130), random.uniform(115, 150), random.uniform(195, 230)])
    mottled = texture.fractal(random, shape, 0.5 * scale) + 0.4 * texture.fractal(
        random, shape, 0.05 * scale, 2
    )
    colour = pink.astype(np.float32) * (0.8 + 0.25 * mottled[..., None])
    twigs = np.zeros(shape, np.float32)
    for count, width in ((4, 0.014), (7, 0.007)):
        twigs = np.maximum(twigs, texture.vessels(random, shape, count, width * scale))
    blood = np.array([0.45, 0.4, 0.12], np.float32) * random.uniform(0.6, 1.0)
    colour *= 1 - blood * cv2.GaussianBlur(twigs, (0, 0), 0.004 * scale)[..., None]

    angle = random.uniform(0, 2 * np.pi)
    lumen = random.uniform(0.75, 1.1) * np.array([np.cos(angle), np.sin(angle)])
    x, y = np.meshgrid(*[(np.arange(side) / scale - CANVAS / 2).astype(np.float32)] * 2)
    radius = np.hypot(x - lumen[0], y - lumen[1]) + 0.16 * (
        texture.fractal(random, shape, 0.5 * scale) - 0.5
    )
    height = 0.015 * texture.fractal(random, shape, 0.15 * scale)
    fold = random.uniform(0.3, 0.45)
    for _ in range(4):
        width = random.uniform(0.05, 0.09)
        height += random.uniform(0.04, 0.07) * np.exp(-(((radius - fold) / width) ** 2))
        colour *= 1 - 0.35 * np.exp(-(((radius - fold + 1.6 * width) / width) ** 2))[..., None]
        fold += random.uniform(0.3, 0.5)
    colour *= (np.clip(radius / 0.35, 0, 1) ** 1.2)[..., None]
    return colour, height.astype(np.float32)


def draw_polyp(random, kind: str, colour, height, scale: float) -> np.ndarray:
    """Draws a polyp in the middle of a wall, in place; its mask, uint8 [side, side] 0..255."""
    is_lobed = kind == "adenomatous"
    radius, stretch = random.uniform(0.17, 0.3), random.uniform(1.0, 1.4)
    corners = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ripple = 0.12 * np.sin(random.integers(4, 7) * corners + random.uniform(0, 6)) * is_lobed
    reach = radius * (1 + ripple + random.normal(0, 0.06 if is_lobed else 0.03, 16))
    outline = np.stack([np.cos(corners) * reach * stretch, np.sin(corners) * reach / stretch], 1)
    mask = texture.fill(texture.smooth_outline(outline), height.shape, scale)
    soft = cv2.GaussianBlur(mask, (0, 0), 0.01 * scale).astype(np.float32) / 255

    pattern = grooves(random, mask.shape, scale) if is_lobed else pits(random, mask.shape, scale)
    inside = pattern[mask > 127]
    pattern = (pattern - inside.mean()) / inside.std() * soft
    tint = 1 + random.normal(0, 0.04, 3) + random.uniform(-0.06, 0.1)
    mottled = 0.92 + 0.16 * texture.fractal(random, mask.shape, 0.12 * scale)
    own = np.median(colour[mask > 127], axis=0) * tint.astype(np.float32) * mottled[..., None]
    colour += soft[..., None] * (own - colour)
    colour *= 1 + CONTRAST * np.clip(pattern, -2, 2)[..., None]
    rise = texture.relief(mask, scale, radius * (0.5 if is_lobed else 0.3))
    height += rise * (0.7 if is_lobed else 0.55) - 0.002 * pattern
    # Steep surfaces reflect less: without this, the higher polyps would be the darker ones.
    slopes = np.stack(np.gradient(height, 1 / scale))
    facing = (1 / np.sqrt(1 + (slopes**2).sum(axis=0)))[mask > 127].mean()
    colour *= 1 + soft[..., None] * (1.05 / (0.15 + 0.9 * facing) - 1)
    shadow = cv2.GaussianBlur(mask, (0, 0), 0.05 * scale).astype(np.float32) / 255
    colour *= 1 - 0.35 * (shadow * (1 - soft))[..., None]
    return mask


def pits(random, shape, scale: float) -> np.ndarray:
    """Round pits in rows that are a little disordered, float32 [height, width]: dark dots."""
    step = random.uniform(0.045, 0.065) * scale
    rows, columns = (int(n / step) + 2 for n in shape)
    y, x = np.mgrid[:rows, :columns].astype(np.float64)
    x += 0.5 * (y % 2)
    places = np.stack([x, y * 0.9], -1).reshape(-1, 2) + random.normal(0, 0.16, (rows * columns, 2))
    seeds = np.full(shape, 255, np.uint8)
    column, row = (places * step).astype(int).T
    inside = (row >= 0) & (column >= 0) & (row < shape[0]) & (column < shape[1])
    seeds[row[inside], column[inside]] = 0
    distance = cv2.distanceTransform(seeds, cv2.DIST_L2, 5) / step
    return -np.exp(-((distance / 0.3) ** 2))


def grooves(random, shape, scale: float) -> np.ndarray:
    """Long winding ridges with dark grooves between them, float32 [height, width].

    Noise of one wavelength: what is left between two Gaussian blurs.
    """
    step = random.uniform(0.05, 0.07) * scale
    noise = random.normal(0, 1, shape).astype(np.float32)
    band = cv2.GaussianBlur(noise, (0, 0), 0.2 * step) - cv2.GaussianBlur(
        noise, (0, 0), 0.32 * step
    )
    return np.tanh(1.5 * band / band.std())
