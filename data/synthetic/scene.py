"""Scenes of the miniature Cholec80: where the organs of a patient lie in every phase.

Positions are in frame heights from the centre of the canvas, x right, y down. The phases are those
of Twinanda et al., "EndoNet", IEEE TMI 2017; Calot's triangle, cleared, is the critical view of
Strasberg & Brunt, "Rationale and use of the critical view of safety", J. Am. Coll. Surg. 2010.
"""

from functools import partial

import numpy as np

from data.synthetic.anatomy import Anatomy
from data.synthetic.texture import layer_size

CANVAS = (2.7, 1.6)  # (width, height) that is drawn: room for the camera to move
TROCAR = (-0.15, -0.22)


class Scenery:
    """Draws what lies before the camera, without the instruments.

    Args:
        patient: whose organs.
    """

    def __init__(self, patient: Anatomy):
        self.patient = patient
        self.backdrops = {}  # phase -> what stands still in it

    def compose(self, phase: str, progress: float, sway) -> np.ndarray:
        """Draw the scene without instruments.

        Args:
            phase: name, as in `data.dataset.cholec80.PHASES`.
            progress: 0..1, share of the phase that has passed.
            sway: (x, y) in units, what breathing and pulling move the gallbladder by.

        Returns:
            uint8 [height, width, 3], BGR, `CANVAS` units wide and high.
        """
        if phase not in self.backdrops:
            width, height = layer_size(CANVAS, self.patient.scale)
            self.backdrops[phase] = np.zeros((height, width, 3), np.uint8)
            for placed in BACKDROPS[phase]:
                self.patient.put(self.backdrops[phase], *placed)
        canvas = self.backdrops[phase].copy()
        FOREGROUNDS[phase](self.patient, partial(self.patient.put, canvas), progress, *sway)
        return canvas


# What stands still in each phase, from back to front: the arguments of `Anatomy.put`.
OVERVIEW = (
    ("wall", 0, 0),
    ("dark", -0.1, 0.05, 0, 4.4, 1.8),
    ("liver", 0.3, -0.28, 4, 0.85, 0.8),
    ("dark", 0.0, 0.15, 0, 2.2, 0.5),
)
BACKDROPS = {
    "Preparation": OVERVIEW,
    "CalotTriangleDissection": (
        ("wall", 0, 0, 12),
        ("liver", 0.55, -0.3, 14),
        ("lobe", -0.5, 0.12, -10, 1.1),
        ("dark", 0.02, 0.15, 0, 1.5),
    ),
    "ClippingCutting": (
        ("liver", 0.35, -0.1, 20, 1.2),
        ("lobe", -0.62, 0.2, -10, 1.3),
        ("dark", 0.05, 0.12, 0, 1.7),
        ("fat", -0.1, 0.78),
    ),
    "GallbladderDissection": (
        ("wall", 0, 0, -8),
        ("liver", 0.1, 0.0, -8, 1.15, 1.2),
        ("fat", 0.2, 0.86),
    ),
    "GallbladderPackaging": (
        *OVERVIEW,
        ("bed", 0.42, -0.16, -12, 0.6),
        ("char", 0.42, -0.16, -12, 0.6),
    ),
    "CleaningCoagulation": (
        ("wall", 0, 0, 12),
        ("liver", 0.05, -0.2, -2, 1.1, 1.0),
        ("dark", 0, 0.24, 0, 3, 0.5),
        ("bed", 0.0, -0.08, -12, 0.95),
        ("char", 0.0, -0.08, -12, 0.95),
        ("lobe", -0.6, 0.3, 0, 0.9),
        ("bowel", 0.55, 0.36, -6),
    ),
    "GallbladderRetraction": (
        ("wall", 0, 0, 12, -1.5),
        ("dark", 0.3, 0.3, 0, 2.5, 1.0),
        ("liver", 0.95, 0.6, -30, 0.8),
        ("fat", -0.3, 0.8, 4),
    ),
}


def _preparation(patient, put, progress, dx, dy):
    put("gallbladder", 0.0 + dx, 0.1 + dy, 14, 0.85)
    if patient.fatness < 0.5:
        put("bowel", 0.5, 0.32, -8)
    wide = 1 + 0.6 * patient.fatness
    put("adhesion", 0.02 + dx / 2, 0.2 + dy / 2, 0, wide, 0.9)
    put("fat", 0, 0.46 - 0.1 * patient.fatness)


def _calot(patient, put, progress, dx, dy):
    put("gallbladder", -0.1 + dx, -0.3 + dy, -6, 1.25)
    put("artery", 0.12 + dx / 2, 0.16, -24, 1, 1.0)
    put("duct", 0.0 + dx, 0.22 + dy, 2, 1, 1.0)
    put("fibrous", 0.03 + dx, 0.12 + dy, 0, 1.1, shown=1.1 - 0.8 * progress)
    put("adhesion", -0.06, 0.26, 20, 0.9, shown=1.0 - 0.75 * progress)
    put("fat", -0.1, 0.66)
    if patient.bleeds * progress > 0.3:
        put("blood", 0.1, 0.26, 0, patient.bleeds)


def _clipping(patient, put, progress, dx, dy):
    cut = np.clip((progress - 0.65) * 8, 0, 1)
    put("artery", 0.24, 0.08, -28, 1.5, 1.6)
    duct = (-0.05 + dx, 0.12 + dy)
    if cut == 0:
        put("duct", *duct, 0, 1.8, 1.5)
    else:
        put("duct", duct[0] - 0.1 * cut, duct[1] - 0.2, 25 * cut, 1.8, 0.6)
        put("duct", duct[0] + 0.02, duct[1] + 0.22, -6, 1.8, 0.6)
        put("blood", *duct, 40, 0.5 * patient.bleeds)
    put("gallbladder", -0.12 + dx, -0.55 + dy, -4, 1.7, 1.4)
    slots = [(0.02, 0.24), (0.02, 0.17), (-0.1 * cut, -0.12), (0.34, 0.2), (0.31, 0.14), (0.2, 0.0)]
    for index, (x, y) in enumerate(slots[: int(progress / 0.6 * 7)]):
        on_duct = index < 3
        at = (duct[0] + x, duct[1] + y) if on_duct else (x - 0.02, y)
        put("clip", *at, 5 if on_duct else -25, 1.0 if on_duct else 0.75, 0.9)


def _dissection(patient, put, progress, dx, dy):
    lift = 0.42 * progress
    put("bed", 0.02, 0.1, 0, 1.25, shown=0.25 + 0.75 * progress)
    put("char", 0.02, 0.1, 0, 1.25, shown=0.1 + 0.8 * progress)
    put("fibrous", 0.0 + dx / 2, 0.2 - lift, 0, 1.15, 0.5)
    if patient.bleeds > 0.5:
        put("blood", 0.1, 0.3, 0, 0.7 * progress)
    # The neck is pulled up and over: the organ lies upside down above its bed.
    put("gallbladder", -0.12 + dx, -0.1 - lift + dy, 150 + 20 * progress, 1.2, 1.1)
    put("clip", -0.26 + dx, -0.48 - lift + dy, 60, 0.8)


def _packaging(patient, put, progress, dx, dy):
    if patient.fatness < 0.5:
        put("bowel", 0.5, 0.32, -8)
    put("fat", 0, 0.6)
    into = np.clip((progress - 0.2) * 1.8, 0, 1)
    put("specimen", -0.34 + 0.42 * into + dx, 0.02 + 0.1 * into + dy, 60 - 40 * into, 0.8)


def _cleaning(patient, put, progress, dx, dy):
    put("blood", -0.02, 0.2, 0, 0.5 + 0.4 * patient.bleeds, 1.1 * (1 - 0.6 * progress))
    put("pool", dx, 0.34 + 0.22 * progress + dy / 2)
    put("fat", 0, 0.9)


def _retraction(patient, put, progress, dx, dy):
    if patient.bleeds > 0.4:
        put("blood", TROCAR[0], TROCAR[1] + 0.2, 0, 0.3, 0.4 + 0.5 * progress)
    put("trocar", TROCAR[0] + dx, TROCAR[1] + dy, 0, 1.0, 0.8)


# What changes: functions of the patient, `Anatomy.put` on the canvas, progress and sway.
FOREGROUNDS = {
    "Preparation": _preparation,
    "CalotTriangleDissection": _calot,
    "ClippingCutting": _clipping,
    "GallbladderDissection": _dissection,
    "GallbladderPackaging": _packaging,
    "CleaningCoagulation": _cleaning,
    "GallbladderRetraction": _retraction,
}
