"""Scenes of the miniature Cholec80: where the organs of a patient lie in every phase.

Positions are in frame heights from the centre of the canvas, x right, y down. The phases are those
of Twinanda et al., "EndoNet", IEEE TMI 2017; Calot's triangle, cleared, is the critical view of
Strasberg & Brunt, "Rationale and use of the critical view of safety", J. Am. Coll. Surg. 2010.
"""

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
            SCENES[phase][0](self.patient, self.backdrops[phase])
        canvas = self.backdrops[phase].copy()
        SCENES[phase][1](self.patient, canvas, progress, *sway)
        return canvas


def _overview(patient, canvas):
    patient.put(canvas, "wall", 0, 0)
    patient.put(canvas, "dark", -0.1, 0.05, 0, 4.4, 1.8)
    patient.put(canvas, "liver", 0.3, -0.28, 4, 0.85, 0.8)
    patient.put(canvas, "dark", 0.0, 0.15, 0, 2.2, 0.5)


def _preparation(patient, canvas, progress, dx, dy):
    patient.put(canvas, "gallbladder", 0.0 + dx, 0.1 + dy, 14, 0.85)
    if patient.fatness < 0.5:
        patient.put(canvas, "bowel", 0.5, 0.32, -8)
    wide = 1 + 0.6 * patient.fatness
    patient.put(canvas, "adhesion", 0.02 + dx / 2, 0.2 + dy / 2, 0, wide, 0.9)
    patient.put(canvas, "fat", 0, 0.46 - 0.1 * patient.fatness)


def _calot_backdrop(patient, canvas):
    patient.put(canvas, "wall", 0, 0, 12)
    patient.put(canvas, "liver", 0.55, -0.3, 14)
    patient.put(canvas, "lobe", -0.5, 0.12, -10, 1.1)
    patient.put(canvas, "dark", 0.02, 0.15, 0, 1.5)


def _calot(patient, canvas, progress, dx, dy):
    patient.put(canvas, "gallbladder", -0.1 + dx, -0.3 + dy, -6, 1.25)
    patient.put(canvas, "artery", 0.12 + dx / 2, 0.16, -24, 1, 1.0)
    patient.put(canvas, "duct", 0.0 + dx, 0.22 + dy, 2, 1, 1.0)
    patient.put(canvas, "fibrous", 0.03 + dx, 0.12 + dy, 0, 1.1, shown=1.1 - 0.8 * progress)
    patient.put(canvas, "adhesion", -0.06, 0.26, 20, 0.9, shown=1.0 - 0.75 * progress)
    patient.put(canvas, "fat", -0.1, 0.66)
    if patient.bleeds * progress > 0.3:
        patient.put(canvas, "blood", 0.1, 0.26, 0, patient.bleeds)


def _clipping_backdrop(patient, canvas):
    patient.put(canvas, "liver", 0.35, -0.1, 20, 1.2)
    patient.put(canvas, "lobe", -0.62, 0.2, -10, 1.3)
    patient.put(canvas, "dark", 0.05, 0.12, 0, 1.7)
    patient.put(canvas, "fat", -0.1, 0.78)


def _clipping(patient, canvas, progress, dx, dy):
    cut = np.clip((progress - 0.65) * 8, 0, 1)
    patient.put(canvas, "artery", 0.24, 0.08, -28, 1.5, 1.6)
    duct = (-0.05 + dx, 0.12 + dy)
    if cut == 0:
        patient.put(canvas, "duct", *duct, 0, 1.8, 1.5)
    else:
        patient.put(canvas, "duct", duct[0] - 0.1 * cut, duct[1] - 0.2, 25 * cut, 1.8, 0.6)
        patient.put(canvas, "duct", duct[0] + 0.02, duct[1] + 0.22, -6, 1.8, 0.6)
        patient.put(canvas, "blood", *duct, 40, 0.5 * patient.bleeds)
    patient.put(canvas, "gallbladder", -0.12 + dx, -0.55 + dy, -4, 1.7, 1.4)
    slots = [(0.02, 0.24), (0.02, 0.17), (-0.1 * cut, -0.12), (0.34, 0.2), (0.31, 0.14), (0.2, 0.0)]
    for index, (x, y) in enumerate(slots[: int(progress / 0.6 * 7)]):
        on_duct = index < 3
        at = (duct[0] + x, duct[1] + y) if on_duct else (x - 0.02, y)
        patient.put(canvas, "clip", *at, 5 if on_duct else -25, 1.0 if on_duct else 0.75, 0.9)


def _dissection_backdrop(patient, canvas):
    patient.put(canvas, "wall", 0, 0, -8)
    patient.put(canvas, "liver", 0.1, 0.0, -8, 1.15, 1.2)
    patient.put(canvas, "fat", 0.2, 0.86)


def _dissection(patient, canvas, progress, dx, dy):
    lift = 0.42 * progress
    patient.put(canvas, "bed", 0.02, 0.1, 0, 1.25, shown=0.25 + 0.75 * progress)
    patient.put(canvas, "char", 0.02, 0.1, 0, 1.25, shown=0.1 + 0.8 * progress)
    patient.put(canvas, "fibrous", 0.0 + dx / 2, 0.2 - lift, 0, 1.15, 0.5)
    if patient.bleeds > 0.5:
        patient.put(canvas, "blood", 0.1, 0.3, 0, 0.7 * progress)
    # The neck is pulled up and over: the organ lies upside down above its bed.
    patient.put(canvas, "gallbladder", -0.12 + dx, -0.1 - lift + dy, 150 + 20 * progress, 1.2, 1.1)
    patient.put(canvas, "clip", -0.26 + dx, -0.48 - lift + dy, 60, 0.8)


def _empty_bed(patient, canvas, x, y, size):
    patient.put(canvas, "bed", x, y, -12, size)
    patient.put(canvas, "char", x, y, -12, size)


def _packaging_backdrop(patient, canvas):
    _overview(patient, canvas)
    _empty_bed(patient, canvas, 0.42, -0.16, 0.6)
    if patient.fatness < 0.5:
        patient.put(canvas, "bowel", 0.5, 0.32, -8)
    patient.put(canvas, "fat", 0, 0.6)


def _packaging(patient, canvas, progress, dx, dy):
    into = np.clip((progress - 0.2) * 1.8, 0, 1)
    patient.put(
        canvas, "specimen", -0.34 + 0.42 * into + dx, 0.02 + 0.1 * into + dy, 60 - 40 * into, 0.8
    )


def _cleaning_backdrop(patient, canvas):
    patient.put(canvas, "wall", 0, 0, 12)
    patient.put(canvas, "liver", 0.05, -0.2, -2, 1.1, 1.0)
    patient.put(canvas, "dark", 0, 0.24, 0, 3, 0.5)
    _empty_bed(patient, canvas, 0.0, -0.08, 0.95)
    patient.put(canvas, "lobe", -0.6, 0.3, 0, 0.9)
    patient.put(canvas, "bowel", 0.55, 0.36, -6)


def _cleaning(patient, canvas, progress, dx, dy):
    patient.put(
        canvas, "blood", -0.02, 0.2, 0, 0.5 + 0.4 * patient.bleeds, 1.1 * (1 - 0.6 * progress)
    )
    patient.put(canvas, "pool", dx, 0.34 + 0.22 * progress + dy / 2)
    patient.put(canvas, "fat", 0, 0.9)


def _retraction_backdrop(patient, canvas):
    patient.put(canvas, "wall", 0, 0, 12, -1.5)
    patient.put(canvas, "dark", 0.3, 0.3, 0, 2.5, 1.0)
    patient.put(canvas, "liver", 0.95, 0.6, -30, 0.8)
    patient.put(canvas, "fat", -0.3, 0.8, 4)


def _retraction(patient, canvas, progress, dx, dy):
    if patient.bleeds > 0.4:
        patient.put(canvas, "blood", TROCAR[0], TROCAR[1] + 0.2, 0, 0.3, 0.4 + 0.5 * progress)
    patient.put(canvas, "trocar", TROCAR[0] + dx, TROCAR[1] + dy, 0, 1.0, 0.8)


SCENES = {  # phase -> (what stands still, what changes)
    "Preparation": (_overview, _preparation),
    "CalotTriangleDissection": (_calot_backdrop, _calot),
    "ClippingCutting": (_clipping_backdrop, _clipping),
    "GallbladderDissection": (_dissection_backdrop, _dissection),
    "GallbladderPackaging": (_packaging_backdrop, _packaging),
    "CleaningCoagulation": (_cleaning_backdrop, _cleaning),
    "GallbladderRetraction": (_retraction_backdrop, _retraction),
}
