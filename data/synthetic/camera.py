"""Camera of the miniature Cholec80: from a scene to the frames that an endoscope shows.

Motion, instruments, smoke, defocus, light, vignette, colours and noise of one operation. The scene
is drawn for every `STEP`th frame and blended in between: it changes slowly, and drawing it is slow.
"""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from data.dataset.cholec80 import SOURCE_FPS, TOOLS
from data.synthetic.anatomy import Anatomy
from data.synthetic.scene import TROCAR, Scenery
from data.synthetic.texture import fractal, pose, whole_pixels
from data.synthetic.tools import draw_tool, draw_tools

STEP = 5  # frames between two drawn scenes
DENSITY = 1.15  # pixels of the canvas per pixel of the frame: some reserve for zooming in

# Ports are where a right-handed team puts them, in units from the image's centre.
PORTS = {"work": (1.5, 0.1), "hold": (-1.5, 0.35), "assist": (1.1, -1.1), "bag": (1.2, 0.9)}
# Whose tip covers whose: the last is drawn on top.
STACK = ("SpecimenBag", "Grasper", "Bipolar", "Irrigator", "Scissors", "Clipper", "Hook")


class Shot(NamedTuple):
    """How a phase is filmed: zoom, and where the hands' tips are, in units.

    The working hand, the surgeon's other one and the one with the bag move from a first place to a
    second, (x, y, x, y), in the course of the phase; the assistant's stays.
    """

    zoom: float
    work: tuple
    hold: tuple
    assist: tuple
    bag: tuple = ()


# fmt: off
SHOTS = {
    "Preparation": Shot(
        0.95, (0.02, 0.12, 0.1, 0.2), (-0.12, 0.1, -0.1, 0.0), (0.06, -0.12)),
    "CalotTriangleDissection": Shot(
        1.2, (0.06, 0.1, 0.1, 0.22), (-0.14, -0.02, -0.16, -0.06), (0.0, -0.4)),
    "ClippingCutting": Shot(
        1.25, (0.04, 0.3, 0.1, 0.12), (-0.24, -0.16, -0.26, -0.2), (0.1, -0.4)),
    "GallbladderDissection": Shot(
        1.1, (0.1, 0.28, 0.1, -0.12), (-0.24, -0.3, -0.22, -0.6), (0.2, -0.4)),
    "GallbladderPackaging": Shot(
        1.0, (0.2, 0.14, 0.15, 0.16), (-0.34, -0.1, 0.02, 0.04), (0.3, -0.3),
        (0.12, 0.12, 0.06, 0.16)),
    "CleaningCoagulation": Shot(
        1.0, (0.02, 0.02, 0.1, 0.26), (-0.3, -0.06, -0.25, 0.0), (0.15, -0.3)),
    "GallbladderRetraction": Shot(
        1.0, (0.3, 0.3, 0.2, 0.1), (0.3, 0.25, 0.1, 0.1), (0.3, 0.1),
        (0.2, 0.2, -0.02, -0.08)),
}
# fmt: on


def wander(rng, count: int, seconds: float, size: float) -> np.ndarray:
    """Smooth random motion, float32 [count] frames: a new direction every so many seconds."""
    knots = rng.normal(0, size, (max(4, int(count / (seconds * SOURCE_FPS)) + 3), 1))
    return cv2.resize(np.float32(knots), (1, count), interpolation=cv2.INTER_CUBIC)[:, 0]


class Endoscope:
    """One operation's camera; `count` frames, 25 a second.

    Args:
        rng: numpy Generator; the camera, the light and its motion come from it.
        size: (width, height) of a frame in pixels.
        timeline: what happens when (see `data.synthetic.cholec80.Timeline`).
    """

    def __init__(self, rng, size, timeline):
        self.rng, self.size, self.timeline = rng, size, timeline
        self.height = size[1]
        self.scale = DENSITY * size[1]
        self.patient = Anatomy(rng, self.scale)
        self.scenery = Scenery(self.patient)
        self.tools = draw_tools(rng, self.scale)
        self.count = SOURCE_FPS * len(timeline.phases)
        # A frame lies between two scenes.
        self._scene = lru_cache(maxsize=2)(self._draw_scene)
        self._move()
        self._illuminate()

    def _move(self):
        """Paths of the camera, the hands and the haze, one value a frame."""
        rng, count = self.rng, self.count
        restless = rng.uniform(0.5, 1.5)
        self.x, self.y = (wander(rng, count, 4, 0.12 * restless) for _ in range(2))
        self.x += wander(rng, count, 0.5, 0.006 * restless)
        self.y += wander(rng, count, 0.5, 0.006 * restless)
        self.roll = rng.normal(0, 16) + wander(rng, count, 6, 9 * restless)
        self.zoom = rng.uniform(0.85, 1.2) * np.exp(wander(rng, count, 5, 0.17 * restless))
        self.sway = np.stack([wander(rng, count, 1.5, 0.012), wander(rng, count, 1.5, 0.008)], 1)
        self.hands = {name: wander(rng, 2 * count, 0.7, 0.035).reshape(2, -1).T for name in TOOLS}
        self.exposure = np.exp(rng.normal(0, 0.15) + wander(rng, count, 5, 0.2))
        self.blur = np.clip(wander(rng, count, 2, 0.008) - 0.006, 0, 0.02) * self.height
        self.ports = {hand: np.add(at, rng.normal(0, 0.22, 2)) for hand, at in PORTS.items()}
        self.assisted = {phase: rng.random() < 0.4 for phase in SHOTS}

    def _illuminate(self):
        """Vignette and fall-off of the light, colours, noise and smoke of this camera."""
        rng, (width, height) = self.rng, self.size
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        x, y = (x - width / 2) / height, (y - height / 2) / height
        # Some endoscopes show the whole circle, others are zoomed in until it is gone.
        radius = rng.uniform(0.5, 0.66) if rng.random() < 0.75 else 1.2
        edge = rng.uniform(0.008, 0.03)
        distance = np.hypot(x - rng.normal(0, 0.03), y - rng.normal(0, 0.02))
        inside = np.clip((radius - distance) / edge, 0, 1)
        hot = np.hypot(x - rng.normal(0, 0.12), y - rng.normal(0, 0.1))
        light = 1.15 / (1 + (hot / rng.uniform(0.45, 0.9)) ** 2) + 0.1
        self.light = cv2.merge([whole_pixels(inside * light * 220)] * 3)

        warmth, tint = rng.uniform((-0.18, -0.06), (0.18, 0.06))
        gains = np.exp((-warmth, tint, warmth))
        gamma = rng.uniform(0.7, 1.0)
        ramp = np.linspace(0, 1, 256)[:, None] ** gamma
        contrast = rng.uniform(0.9, 1.15)
        ramp = np.clip((ramp - 0.35) * contrast + 0.35, 0, 1) * gains
        table = 255 * np.where(ramp < 0.7, ramp, 0.7 + 0.3 * np.tanh((ramp - 0.7) / 0.4))
        table[0] = 0
        self.table = whole_pixels(table)[:, None]

        grain = rng.normal(0, rng.uniform(1, 4), (height + 64, width + 64, 3))
        self.grain = whole_pixels(grain + 128)
        self.grain_at = rng.integers(0, 64, (self.count, 2))
        self.haze = np.uint8(255 * fractal(rng, (2 * height, 2 * width), 0.4 * height))
        self.haze_at = np.stack([wander(rng, self.count, 4, 0.25) for _ in range(2)], 1)
        self.smoke = self._smoke(rng.uniform(0.1, 0.8))

    def _smoke(self, strength: float) -> np.ndarray:
        """Density of smoke per frame in 0..1: coagulation makes it in bursts, suction thins it."""
        heat = self.timeline.tools[:, [TOOLS.index("Hook"), TOOLS.index("Bipolar")]].max(1)
        firing = np.repeat(heat, SOURCE_FPS) * (wander(self.rng, self.count, 1, 1) > 0.2)
        density = np.empty(self.count)
        level = 0.05 * self.rng.random()
        for frame in range(self.count):
            level += 0.03 * firing[frame] * strength - 0.012 * level
            density[frame] = level
        return np.minimum(density, 0.7 * strength)

    # --- frames -----------------------------------------------------------------------------------

    def frame(self, index: int) -> np.ndarray:
        """Frame number `index`, 0 to count - 1: uint8 [height, width, 3], BGR."""
        first, share = index - index % STEP, index % STEP / STEP
        scene = self._scene(first)
        if share:
            following = self._scene(min(first + STEP, self.count - 1))
            scene = cv2.addWeighted(scene, 1 - share, following, share, 0)
        return self._develop(scene, index)

    def _draw_scene(self, frame: int) -> np.ndarray:
        second = frame // SOURCE_FPS
        progress = self.timeline.progress(frame / SOURCE_FPS)
        return self.scenery.compose(self.timeline.phases[second], progress, self.sway[frame])

    def _develop(self, scene: np.ndarray, frame: int) -> np.ndarray:
        """What the camera sees of a scene, and what its sensor makes of it."""
        phase = self.timeline.phases[frame // SOURCE_FPS]
        progress = self.timeline.progress(frame / SOURCE_FPS)
        zoom = self.zoom[frame] * SHOTS[phase].zoom
        if phase == "GallbladderRetraction":
            zoom *= 1.1 - 0.3 * progress  # the camera withdraws with the bag
        view = pose(0, 0, self.roll[frame], zoom, zoom) @ pose(-self.x[frame], -self.y[frame])

        matrix = view[:2].copy()
        matrix[:, :2] /= DENSITY
        matrix[:, 2] = view[:2, 2] * self.height + np.array(self.size) / 2
        matrix[:, 2] -= matrix[:, :2] @ (np.array(scene.shape[1::-1]) / 2)
        image = cv2.warpAffine(scene, matrix, self.size, borderMode=cv2.BORDER_REFLECT_101)

        self._instruments(image, frame, phase, progress, view, zoom)
        if self.smoke[frame] > 0.02:
            image = self._veil(image, frame)
        if self.blur[frame] > 0.4:
            image = cv2.GaussianBlur(image, (0, 0), float(self.blur[frame]))
        image = cv2.multiply(image, self.light, scale=float(self.exposure[frame]) / 170)
        image = cv2.LUT(image, self.table)
        top, left = self.grain_at[frame]
        grain = self.grain[top : top + self.size[1], left : left + self.size[0]]
        return cv2.addWeighted(image, 1, grain, 1, -128)

    def _instruments(self, image, frame, phase, progress, view, zoom) -> None:
        """Draw the instruments that are in view; each slides in and out along its shaft."""
        shown = dict(zip(TOOLS, self.timeline.shown(frame / SOURCE_FPS), strict=True))
        size = 0.7 * zoom / DENSITY

        for name in STACK:
            if shown[name] == 0:
                continue
            hands = {"SpecimenBag": ["bag"], "Grasper": ["hold", "assist"]}.get(name, ["work"])
            for hand in hands:
                if hand == "assist" and not self.assisted[phase]:
                    continue
                places = getattr(SHOTS[phase], hand) or SHOTS[phase].work
                start, end = places[:2], places[-2:]
                target = np.add(start, progress * np.subtract(end, start)) + self.hands[name][frame]
                goal, port = (view @ (*target, 1))[:2], self.ports[hand]
                tip, drawn = port + (goal - port) * shown[name], name
                if hand == "bag" and phase == "GallbladderRetraction":
                    # It is closed, and its thread leads into the trocar.
                    trocar = (view @ (*self.patient.place("trocar", *TROCAR), 1))[:2]
                    drawn, port = "ClosedBag", tip + trocar - goal
                draw_tool(image, self.tools[drawn], tip, port, self.height, size)

    def _veil(self, image: np.ndarray, frame: int) -> np.ndarray:
        """The image through smoke that drifts."""
        width, height = self.size
        density = float(self.smoke[frame])
        shift = np.clip(self.haze_at[frame] + 0.5, 0, 1) * (height, width)
        top, left = shift.astype(int)
        haze = self.haze[top : top + height, left : left + width]
        clear = cv2.addWeighted(haze, -0.6 * density, haze, 0, 255 * (1 - 0.25 * density))
        clear = cv2.cvtColor(clear, cv2.COLOR_GRAY2BGR)
        smoke = cv2.convertScaleAbs(cv2.bitwise_not(clear), alpha=0.75)
        return cv2.add(cv2.multiply(image, clear, scale=1 / 255), smoke)
