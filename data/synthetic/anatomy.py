"""Anatomy of the miniature Cholec80: what one patient's organs look like.

Positions are in frame heights, x right, y down (see `data/synthetic/texture.py`).
"""

from typing import NamedTuple

import cv2
import numpy as np

from data.synthetic import texture

# BGR of the average patient; every patient's tissues deviate from it, each by itself.
TISSUE = {
    "wall": (82, 92, 150),
    "liver": (40, 42, 128),
    "gallbladder": (150, 142, 138),
    "fat": (70, 150, 205),
    "bowel": (112, 112, 195),
    "fibrous": (100, 132, 175),
    "raw": (40, 48, 128),
    "blood": (16, 12, 105),
}


class Organ(NamedTuple):
    """How an organ is drawn: its outline filled with tissue, bulging, textured.

    Attributes:
        extent: (width, height) of its layer in units.
        tissue: key in `TISSUE`.
        outline: corner points in units from its centre; the drawing rounds them.
        rim: width of the rounded rim in units.
        bumps: (size, depth) of lobules in units.
        mottle: strength of the patches in its colour, 0..1.
        veins: (number, width in units).
        ragged: how far the outline strays, in units.
        soft: width of a soft edge in units.
        gloss: how wet it is, relative to the patient's other organs.
    """

    extent: tuple
    tissue: str
    outline: tuple
    rim: float
    bumps: tuple = (1.0, 0.0)
    mottle: float = 0.15
    veins: tuple = (0, 0.0)
    ragged: float = 0.02
    soft: float = 0.004
    gloss: float = 1.0


# Size, in units, of the patches in which organs are uncovered.
REVEALED = {"adhesion": 0.14, "fibrous": 0.10, "bed": 0.08}

# fmt: off
ORGANS = {
    "wall": Organ(
        (3, 2.2), "wall", ((-3, -3), (3, -3), (3, 3), (-3, 3)),
        rim=0.1, mottle=0.35, veins=(22, 0.007), gloss=0.35,
    ),
    "liver": Organ(
        (2.7, 1.7), "liver",
        ((-1.1, 0.1), (-0.8, -0.5), (-0.2, -0.75), (0.6, -0.8), (1.2, -0.7), (1.3, 0.3),
         (0.8, 0.42), (0.3, 0.33), (-0.2, 0.4), (-0.7, 0.42)),
        rim=0.55, mottle=0.2,
    ),
    "lobe": Organ(
        (1, 0.8), "liver",
        ((-0.45, 0.1), (-0.3, -0.25), (0.1, -0.33), (0.42, -0.1), (0.4, 0.25), (-0.1, 0.33)),
        rim=0.3, mottle=0.2,
    ),
    "gallbladder": Organ(  # neck down
        (0.44, 0.9), "gallbladder",
        ((-0.1, -0.4), (0.1, -0.4), (0.19, -0.2), (0.16, 0.05), (0.07, 0.22), (0.05, 0.4),
         (-0.03, 0.41), (-0.06, 0.22), (-0.16, 0.05), (-0.19, -0.2)),
        rim=0.17, veins=(5, 0.009), ragged=0.008,
    ),
    "specimen": Organ(  # the gallbladder once it is off
        (0.4, 0.7), "gallbladder",
        ((-0.1, -0.3), (0.1, -0.3), (0.16, -0.1), (0.13, 0.17), (0, 0.27), (-0.13, 0.17)),
        rim=0.15, mottle=0.5, veins=(9, 0.012),
    ),
    "fat": Organ(
        (2.8, 1), "fat",
        ((-1.35, 0.5), (-1.3, -0.1), (-0.9, -0.22), (-0.5, -0.12), (-0.1, -0.26), (0.4, -0.14),
         (0.9, -0.24), (1.35, -0.1), (1.4, 0.5)),
        rim=0.2, bumps=(0.17, 0.06), veins=(3, 0.006), ragged=0.06,
    ),
    "adhesion": Organ(
        (0.85, 0.7), "fat",
        ((-0.36, 0.28), (-0.32, 0.0), (-0.2, -0.12), (-0.1, -0.26), (0.04, -0.12), (0.14, -0.22),
         (0.3, 0.04), (0.36, 0.28), (0, 0.3)),
        rim=0.08, bumps=(0.12, 0.05), veins=(3, 0.006), ragged=0.09,
    ),
    "bowel": Organ(
        (1.3, 0.6), "bowel",
        ((-0.5, 0.1), (-0.3, -0.15), (0.1, -0.12), (0.45, -0.2), (0.55, 0.1), (0, 0.2)),
        rim=0.2, veins=(9, 0.012),
    ),
    "fibrous": Organ(  # the tissue that fills Calot's triangle
        (0.6, 0.7), "fibrous",
        ((-0.2, -0.26), (0.22, -0.24), (0.12, 0.1), (0.03, 0.28), (-0.08, 0.2)),
        rim=0.06, bumps=(0.05, 0.014), mottle=0.5, veins=(4, 0.008), ragged=0.06, soft=0.012,
    ),
    "duct": Organ(
        (0.14, 0.44), "fibrous",
        ((-0.036, -0.2), (0.036, -0.2), (0.03, 0), (0.036, 0.2), (-0.036, 0.2), (-0.03, 0)),
        rim=0.036, veins=(2, 0.006),
    ),
    "artery": Organ(
        (0.14, 0.44), "bowel",
        ((-0.02, -0.2), (0.02, -0.2), (0.016, 0), (0.02, 0.2), (-0.02, 0.2), (-0.016, 0)),
        rim=0.02, veins=(2, 0.006),
    ),
    "bed": Organ(  # of the liver, where the gallbladder was
        (0.6, 0.8), "raw",
        ((-0.2, 0.3), (-0.24, 0), (-0.15, -0.3), (0.1, -0.34), (0.22, -0.1), (0.15, 0.28)),
        rim=0.04, bumps=(0.05, 0.012), mottle=0.6, ragged=0.05, soft=0.012,
    ),
    "pool": Organ(  # of blood and fluid; its upper edge is the level
        (2.8, 0.9), "blood",
        ((-1.5, -0.1), (-0.7, -0.16), (0, -0.14), (0.8, -0.17), (1.5, -0.1), (1.5, 0.6),
         (-1.5, 0.6)),
        rim=0.06, mottle=0.3,
    ),
}
# fmt: on


class Anatomy:
    """One patient: a layer for every organ, drawn once.

    Args:
        rng: numpy Generator; all that tells this patient from others comes from it.
        scale: pixels per unit.
    """

    def __init__(self, rng, scale: float):
        self.rng, self.scale = rng, scale
        self.light = (rng.uniform(-0.3, 0.3), rng.uniform(-0.4, 0.1), 0.9)
        self.gloss = rng.uniform(0.35, 1.0)
        self.colour = {name: self._patient_colour(bgr) for name, bgr in TISSUE.items()}
        self.fatness = rng.uniform(0, 1)
        self.bleeds = rng.uniform(0.1, 1)
        self.layers = {}
        self.shift = {}  # name -> (x, y, degrees, growth): how it differs from the textbook
        for name, organ in ORGANS.items():
            self._add(name, self._draw(organ))
        self._draw_char()
        self._draw_blots()
        self._draw_hardware()
        # What is uncovered or grows: the order in which its pixels appear, 0..1.
        self.reveal = {name: self._clouds(name, size) for name, size in REVEALED.items()}
        bed = self.reveal["bed"]
        fall = np.linspace(0.75, 0, len(bed), dtype=np.float32)  # its upper end comes last
        self.reveal["bed"] = self.reveal["char"] = 0.25 * bed + fall[:, None]

    def _patient_colour(self, bgr) -> np.ndarray:
        hsv = cv2.cvtColor(np.uint8([[bgr]]), cv2.COLOR_BGR2HSV)[0, 0].astype(float)
        hsv[0] = (hsv[0] + self.rng.uniform(-7, 7)) % 180
        hsv[1:] = np.clip(hsv[1:] * np.exp(self.rng.normal(0, (0.18, 0.2))), 0, 255)
        return cv2.cvtColor(np.uint8([[hsv]]), cv2.COLOR_HSV2BGR)[0, 0].astype(np.float32)

    def _clouds(self, name: str, size: float) -> np.ndarray:
        return texture.fractal(self.rng, self.layers[name].shape[:2], size * self.scale, 4)

    def _add(self, name: str, drawn: np.ndarray) -> None:
        self.layers[name] = drawn
        self.shift[name] = self.rng.normal(0, (0.045, 0.035, 8, 0.09))

    # --- drawing ----------------------------------------------------------------------------------

    def _draw(self, organ: Organ) -> np.ndarray:
        """Draw an organ of soft tissue as a layer."""
        rng, scale = self.rng, self.scale
        width, height = texture.layer_size(organ.extent, scale)
        shape = (height, width)
        patches = texture.fractal(rng, shape, 0.12 * scale)
        drops = texture.fractal(rng, shape, 0.07 * scale, 2)
        fine = texture.fractal(rng, shape, 0.03 * scale, 2)

        corners = np.array(organ.outline) + rng.normal(
            0, 0.02 * min(organ.extent), (len(organ.outline), 2)
        )
        mask = texture.fill(texture.smooth_outline(corners), shape, scale)
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        x += 2 * organ.ragged * scale * (patches - 0.5)
        y += 2 * organ.ragged * scale * (drops - 0.5)
        mask = cv2.remap(mask, x, y, cv2.INTER_LINEAR)

        size, depth = organ.bumps
        surface = texture.relief(mask, scale, organ.rim) + 0.004 * fine + 0.03 * organ.rim * patches
        if depth:
            surface += depth * texture.lobules(rng, shape, size * scale)
            surface += 0.4 * depth * texture.lobules(rng, shape, 0.5 * size * scale)
        spots = 1 + organ.mottle * (patches + 0.6 * fine - 0.8)
        colour = self.colour[organ.tissue] * spots[..., None]
        count, wide = organ.veins
        if count:
            count = rng.integers(count // 2, 3 * count // 2 + 1)
            veined = texture.vessels(rng, shape, count, wide * scale)[..., None]
            colour += 0.65 * veined * (1.1 * self.colour["blood"] - colour)
        lit = texture.shade(colour, surface, scale, self.light, self.gloss * organ.gloss, drops)
        return texture.layer(lit, cv2.GaussianBlur(mask, (0, 0), organ.soft * scale))

    def _draw_char(self):
        """Black crusts on the liver bed, thickest along its rim; they lie where the bed lies."""
        inside = self.layers["bed"][..., 3]
        rim = 1 - cv2.GaussianBlur(inside, (0, 0), 0.05 * self.scale) / 255
        crusts = np.clip((self._clouds("bed", 0.05) + 0.9 * rim - 0.7) * 4, 0, 1)
        self._add_plain("char", (18, 24, 34), crusts * inside * 0.9)
        self.shift["char"] = self.shift["bed"]

    def _draw_blots(self):
        """Spilt blood, and the darkness of a gap."""
        radius, _ = self._polar()
        blot = texture.fractal(self.rng, radius.shape, 0.12 * self.scale, 4)
        spilt = np.clip((1.15 * blot - 0.9 * radius) * 9, 0, 1)
        self._add_plain("blood", self.colour["blood"], spilt * 225)
        self._add_plain("dark", (8, 6, 14), np.clip(1.2 - 1.2 * radius, 0, 1) * 235)

    def _add_plain(self, name: str, colour, alpha: np.ndarray) -> None:
        self._add(name, texture.layer(np.full((*alpha.shape, 3), colour, np.uint8), alpha))

    def _draw_hardware(self):
        """A titanium clip, and a trocar seen from within."""
        width, height = texture.layer_size((0.12, 0.05), self.scale)
        rows = np.clip(235 - 190 * np.abs(np.linspace(-1, 1, height) + 0.25), 40, 255)
        clip = np.broadcast_to(np.uint8(rows)[:, None, None], (height, width, 3))
        self._add("clip", texture.layer(np.ascontiguousarray(clip), np.full(clip.shape[:2], 255)))

        (radius, angle), bore = self._polar(), 0.62
        hole = np.clip((bore - radius) * 30 + 0.5, 0, 1)
        ring = np.clip((1 - radius) * 30, 0, 1) - hole
        glints = np.cos(3 * angle + 1) * np.sin((radius - bore) / (1 - bore) * np.pi)
        image = (ring * (140 + 100 * glints))[..., None] + hole[..., None] * (12, 10, 16)
        alpha = np.clip(ring + hole, 0, 1) * 255
        self._add("trocar", texture.layer(texture.whole_pixels(image), alpha))

    def _polar(self) -> tuple[np.ndarray, np.ndarray]:
        """Distance from the centre and angle, float64 [height, width], of a layer half a unit wide.

        The distance is 1 at the middle of each side.
        """
        width, height = texture.layer_size((0.5, 0.5), self.scale)
        x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
        return np.hypot(x, y), np.arctan2(y, x)

    # --- placing ----------------------------------------------------------------------------------

    def put(self, canvas, name, x, y, degrees=0.0, wide=1.0, tall=None, shown=None) -> None:
        """Paste an organ on a canvas, in place, where this patient has it.

        Args:
            canvas: uint8 [height, width, 3].
            name: key in `layers`.
            x: where the textbook has it, in units from the centre of the canvas.
            y: as x.
            degrees: how far it is turned clockwise.
            wide: stretch along its x.
            tall: stretch along its y; None for that of x.
            shown: share, 0..1, of it that appears in the order of `reveal`; None for all of it.
        """
        source = self.layers[name]
        if shown is not None:
            appeared = np.clip((1.1 * shown - self.reveal[name]) * 7, 0, 1)
            source = texture.fade(source, np.uint8(255 * appeared))
        *_, turn, growth = self.shift[name]
        wide, tall = wide * (1 + growth), (tall or wide) * (1 + growth)
        matrix = texture.pose(*self.place(name, x, y), degrees + turn, wide, tall)
        texture.paste(canvas, source, matrix, self.scale)

    def place(self, name: str, x: float, y: float) -> tuple[float, float]:
        """Where this patient has an organ that the textbook has at (x, y), in units."""
        return x + self.shift[name][0], y + self.shift[name][1]
