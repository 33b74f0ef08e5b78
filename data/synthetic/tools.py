"""Instruments of the miniature Cholec80, drawn once as layers (see `data/synthetic/texture.py`).

Each lies along x, its working tip at (0, 0), its shaft running off to the right, towards the port
it came through. What they look like follows the seven tools that are annotated in Cholec80
(Twinanda et al., "EndoNet", IEEE TMI 2017, figure 2).
"""

import cv2
import numpy as np

from data.synthetic import texture

EXTENT = (2.2, 0.7)  # (width, height) of an instrument's layer, in units
TIP = 0.7  # how far left of the layer's centre the tip is, in units
FAR = 1.8  # where shafts end, in units: outside the picture

STEEL = (180, 180, 176)  # BGR
BRIGHT = (228, 226, 220)
GREY = (150, 148, 145)
DARK = (62, 60, 58)
BLACK = (30, 30, 34)
BLUE = (205, 130, 70)
CERAMIC = (222, 228, 232)


class Drawing:
    """One instrument on its layer, `image`; positions and widths in units from its tip."""

    def __init__(self, scale: float):
        width, height = texture.layer_size(EXTENT, scale)
        self.image, self.scale = np.zeros((height, width, 4), np.uint8), scale
        self.origin = np.array((width / 2 - TIP * scale, height / 2))

    def _pixels(self, points) -> np.ndarray:
        """Positions for OpenCV: int32, sixteenths of a pixel."""
        return np.int32((np.asarray(points) * self.scale + self.origin) * 16)

    def _thick(self, width: float) -> int:
        return max(1, round(width * self.scale))

    def over(self, top: np.ndarray) -> None:
        """Paint a layer over what is there."""
        through = cv2.bitwise_not(cv2.extractChannel(top, 3))
        self.image[...] = cv2.add(texture.fade(self.image, through), top)

    def rod(self, start: float, end: float, radii, colour, shine: float = 1.0) -> None:
        """A round rod along x that tapers from radii[1] at its end to radii[0] at its start."""
        height, width = self.image.shape[:2]
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        x, y = (x - self.origin[0]) / self.scale, (y - self.origin[1]) / self.scale
        radius = np.interp(x, (start, end), radii)
        across = y / radius
        inside = np.minimum(radius - np.abs(y), np.minimum(x - start, end - x)) * self.scale
        # Polished and lit by the camera: bright along its middle, dark at its edges.
        bright = 0.35 + 0.45 * np.exp(-(((across + 0.2) / 0.35) ** 2)) + 0.12 * (across > 0.6)
        glare = shine * 150 * np.exp(-(((across + 0.25) / 0.14) ** 2))
        painted = texture.whole_pixels(np.float32(colour) * bright[..., None] + glare[..., None])
        self.over(texture.layer(painted, np.clip(inside + 0.5, 0, 1) * 255))

    def plate(self, points, colour) -> None:
        """A flat piece with a dark rim."""
        pixels = [self._pixels(points)]
        cv2.fillPoly(self.image, pixels, (*colour, 255), cv2.LINE_AA, 4)
        self._lines(pixels, [0.45 * c for c in colour], 1, closed=True)

    def jaws(self, points, colour) -> None:
        """A flat piece, and the same on the other side of the axis."""
        self.plate(points, colour)
        self.plate([(x, -y) for x, y in points], colour)

    def wire(self, points, colour, width: float) -> None:
        """A bent wire, darker at its edges."""
        pixels = [self._pixels(points)]
        self._lines(pixels, [0.5 * c for c in colour], self._thick(width))
        self._lines(pixels, colour, self._thick(0.55 * width))

    def _lines(self, pixels, colour, thickness: int, closed: bool = False) -> None:
        cv2.polylines(self.image, pixels, closed, (*colour, 255), thickness, cv2.LINE_AA, 4)

    def dot(self, x: float, y: float, radius: float) -> None:
        """A dark hole or screw."""
        centre = [int(value) for value in self._pixels((x, y))]
        cv2.circle(self.image, centre, self._thick(radius) * 16, (*BLACK, 255), -1, cv2.LINE_AA, 4)

    def loop(self) -> None:
        """The white ring that holds a bag open, seen at a slant."""
        turn = np.linspace(0, 2 * np.pi, 40)
        points = np.stack([-0.19 + 0.07 * np.cos(turn), 0.28 * np.sin(turn)], 1)
        self._lines([self._pixels(points)], (240, 240, 240), self._thick(0.016))

    def foil(self, rng, outline, opacity: float) -> None:
        """A piece of translucent, creased white foil."""
        shape = self.image.shape[:2]
        pixels = [self._pixels(texture.smooth_outline(outline, 2))]
        mask = np.zeros(shape, np.uint8)
        cv2.fillPoly(mask, pixels, 255, cv2.LINE_AA, 4)
        distance = np.abs(texture.fractal(rng, shape, 0.16 * self.scale, 2) - 0.5)
        crease = np.exp(-((distance / 0.05) ** 2))
        white = 175 + 60 * crease - 60 * texture.fractal(rng, shape, 0.1 * self.scale)
        alpha = mask * np.clip(opacity + 0.2 * crease, 0, 1)
        self.over(texture.layer(cv2.merge([texture.whole_pixels(white)] * 3), alpha))
        self._lines(pixels, (225, 225, 225), 1, closed=True)

    def jet(self) -> None:
        """Water that sprays from the tip."""
        spray = Drawing(self.scale)
        for spread in np.linspace(-0.16, 0.16, 7):
            spray.wire([(0, 0), (-0.12, 0.6 * spread), (-0.22, spread)], CERAMIC, 0.016)
        blurred = cv2.GaussianBlur(spray.image, (0, 0), 0.01 * self.scale)
        self.image[...] = cv2.add(self.image, cv2.convertScaleAbs(blurred, alpha=0.55))


def _grasper(tool: Drawing):
    tool.rod(0.24, FAR, (0.045, 0.085), GREY, 0.6)
    jaw = [(0.26, 0), (0.25, 0.04), (0.12, 0.075), (0, 0.05), (-0.02, 0.02), (0.1, 0.03)]
    tool.jaws(jaw, STEEL)
    tool.jaws([(0.2, 0.035), (0.1, 0.055), (0.05, 0.045), (0.13, 0.038)], BLACK)


def _bipolar(tool: Drawing):
    tool.rod(0.34, FAR, (0.06, 0.1), STEEL)
    prong = [(0.36, 0.03), (0.26, 0.10), (0.14, 0.11), (0.04, 0.05), (-0.02, 0.03)]
    for points in (prong, [(x, -y) for x, y in prong]):
        tool.wire(points, BLUE, 0.045)
        tool.wire(points[3:], STEEL, 0.03)


def _hook(tool: Drawing):
    tool.rod(0.24, FAR, (0.06, 0.1), DARK, 0.4)
    tool.rod(0.12, 0.25, (0.028, 0.05), CERAMIC, 0.3)
    tool.wire([(0.13, 0), (0.0, 0), (-0.01, 0.02), (-0.01, 0.085)], STEEL, 0.026)


def _scissors(tool: Drawing):
    tool.rod(0.22, FAR, (0.05, 0.09), DARK, 0.5)
    blade = [(0.25, -0.035), (0.12, 0.055), (-0.03, 0.1), (0.06, 0.03), (0.2, -0.045)]
    tool.jaws(blade, BRIGHT)
    tool.dot(0.2, 0, 0.016)


def _clipper(tool: Drawing):
    tool.rod(0.26, FAR, (0.085, 0.14), STEEL)
    tool.plate([(0.3, -0.085), (0.2, -0.075), (0.2, 0.075), (0.3, 0.085)], GREY)
    tool.jaws([(0.22, 0.07), (0.02, 0.075), (-0.02, 0.05), (0, 0.035), (0.2, 0.025)], BRIGHT)


def _irrigator(tool: Drawing):
    tool.rod(0, FAR, (0.055, 0.095), STEEL, 0.9)
    for x in (0.06, 0.12, 0.18):
        tool.dot(x, 0.008, 0.014)
    tool.jet()


PAINTERS = {
    "Grasper": _grasper,
    "Bipolar": _bipolar,
    "Hook": _hook,
    "Scissors": _scissors,
    "Clipper": _clipper,
    "Irrigator": _irrigator,
}


def draw_tools(rng, scale: float) -> dict[str, np.ndarray]:
    """Draw every instrument of one operation.

    Args:
        rng: numpy Generator; the creases of the bag come from it.
        scale: pixels per unit.

    Returns:
        Name, as in `data.dataset.cholec80.TOOLS`, -> layer `EXTENT` wide and high; besides
        "ClosedBag".
    """
    tools = {name: Drawing(scale) for name in (*PAINTERS, "SpecimenBag", "ClosedBag")}
    for name, painter in PAINTERS.items():
        painter(tools[name])

    bag = [(-0.2, -0.28), (-0.02, -0.3), (0.2, -0.2), (0.36, 0.02), (0.2, 0.2), (-0.02, 0.3)]
    tools["SpecimenBag"].rod(0.3, FAR, (0.05, 0.08), CERAMIC, 0.2)
    tools["SpecimenBag"].foil(rng, [*bag, (-0.2, 0.28), (-0.14, 0)], 0.5)
    tools["SpecimenBag"].loop()
    # Full and tied up; its thread is to the right.
    bag = [(-0.2, -0.05), (-0.1, -0.15), (0.05, -0.2), (0.2, -0.12), (0.3, 0.04), (0.16, 0.16)]
    tools["ClosedBag"].wire([(0.3, 0), (0.6, 0.04), (0.9, -0.02), (FAR, 0)], CERAMIC, 0.02)
    tail = [(-0.05, 0.18), (-0.2, 0.05), (-0.32, 0.05), (-0.32, -0.05)]
    tools["ClosedBag"].foil(rng, bag + tail, 0.75)
    return {name: drawing.image for name, drawing in tools.items()}


def draw_tool(image, source, tip, port, scale: float, size: float) -> None:
    """Paste an instrument on a frame, in place.

    Args:
        image: uint8 [height, width, 3].
        source: one of `draw_tools`.
        tip: (x, y), where its tip is, in units from the image's centre.
        port: (x, y), the point its shaft comes from.
        scale: pixels of the image per unit.
        size: enlargement of the instrument's pixels.
    """
    degrees = np.degrees(np.arctan2(port[1] - tip[1], port[0] - tip[0]))
    # `paste` reckons in pixels of the image: so is the tip's distance from the layer's centre.
    centre = source.shape[1] / EXTENT[0] * TIP / scale
    texture.paste(
        image, source, texture.pose(*tip, degrees, size, size) @ texture.pose(centre, 0), scale
    )
