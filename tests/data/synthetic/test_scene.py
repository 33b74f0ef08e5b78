from collections import Counter

import numpy as np
import pytest

from data.dataset.cholec80 import PHASES
from data.synthetic.anatomy import Anatomy
from data.synthetic.scene import CANVAS, FOREGROUNDS, Scenery

SCALE = 40


@pytest.fixture(scope="module")
def scenery():
    return Scenery(Anatomy(np.random.default_rng(3), SCALE))


@pytest.fixture
def lying(scenery, monkeypatch):
    """A function: what lies in a scene that is drawn, [(organ, x, y)]."""
    seen = []
    put = Anatomy.put

    def recorded(self, canvas, name, x, y, *args, **kwargs):
        seen.append((name, x, y))
        put(self, canvas, name, x, y, *args, **kwargs)

    monkeypatch.setattr(Anatomy, "put", recorded)

    def organs(phase, progress, sway=(0, 0)):
        seen.clear()
        Scenery(scenery.patient).compose(phase, progress, sway)
        return list(seen)

    return organs


def test_the_anatomy_tells_the_phases(lying):
    def organs(phase, progress):
        """Name -> how often it lies there."""
        return Counter(name for name, _, _ in lying(phase, progress))

    telling = {"gallbladder", "specimen", "adhesion", "duct", "clip", "bed", "pool", "trocar"}
    expected = {
        "Preparation": {"gallbladder", "adhesion"},
        "CalotTriangleDissection": {"gallbladder", "adhesion", "duct"},
        "ClippingCutting": {"gallbladder", "duct", "clip"},
        "GallbladderDissection": {"gallbladder", "clip", "bed"},
        "GallbladderPackaging": {"specimen", "bed"},
        "CleaningCoagulation": {"bed", "pool"},
        "GallbladderRetraction": {"trocar"},
    }
    assert set(FOREGROUNDS) == set(PHASES)
    assert {phase: telling & set(organs(phase, 0.5)) for phase in PHASES} == expected
    clips = [organs("ClippingCutting", progress)["clip"] for progress in np.linspace(0, 1, 8)]
    assert clips[0] == 0
    assert clips[-1] == 6
    assert clips == sorted(clips)
    assert organs("ClippingCutting", 0.5)["duct"] == 1
    assert organs("ClippingCutting", 0.9)["duct"] == 2, "cut through"


def test_what_is_worked_on_moves_with_the_progress(lying):
    def course(phase, organ):
        """(x, y) of an organ at the beginning, in the middle, and at the end of a phase."""
        found = [[at for n, *at in lying(phase, p) if n == organ][-1] for p in (0, 0.5, 1)]
        return np.transpose(found)

    _, heights = course("GallbladderDissection", "gallbladder")
    assert (np.diff(heights) < 0).all(), "it is lifted off its bed"
    specimen, _ = course("GallbladderPackaging", "specimen")
    assert (np.diff(specimen) > 0).all(), "it goes into the bag, on the right"
    _, level = course("CleaningCoagulation", "pool")
    assert (np.diff(level) > 0).all(), "the fluid is sucked off"


@pytest.mark.parametrize("phase", PHASES)
def test_scenes_are_drawn_anew_on_a_backdrop_that_stays_clean(scenery, phase):
    first = scenery.compose(phase, 0.1, (0, 0))
    assert first.shape == (CANVAS[1] * SCALE, CANVAS[0] * SCALE, 3)
    assert first.dtype == np.uint8
    assert first.std() > 10
    late = scenery.compose(phase, 0.9, (0.03, -0.02))
    assert (late != first).any()
    np.testing.assert_array_equal(scenery.compose(phase, 0.1, (0, 0)), first)
    np.testing.assert_array_equal(Scenery(scenery.patient).compose(phase, 0.9, (0.03, -0.02)), late)


def test_pulling_moves_the_gallbladder_and_not_the_liver(lying):
    for phase in PHASES:
        still, pulled = lying(phase, 0.4), lying(phase, 0.4, sway=(0.05, -0.03))
        moved = {a[0]: np.subtract(b[1:], a[1:]) for a, b in zip(still, pulled, strict=True)}
        for organ in {"gallbladder", "specimen"} & moved.keys():
            np.testing.assert_allclose(moved[organ], (0.05, -0.03), err_msg=phase)
        for organ in {"liver", "wall", "lobe", "fat", "bed", "char"} & moved.keys():
            assert not moved[organ].any(), (phase, organ)
        assert any(way.any() for way in moved.values()), f"something breathes in {phase}"
