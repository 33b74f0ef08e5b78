from itertools import pairwise

import numpy as np
import pytest

from data.synthetic.anatomy import ORGANS, TISSUE, Anatomy
from data.synthetic.texture import layer_size

SCALE = 40


@pytest.fixture(scope="module")
def patients():
    return [Anatomy(np.random.default_rng(seed), SCALE) for seed in range(3)]


def draw(patient, name, x=0.0, y=0.0, **how):
    """The organ alone: float [160, 200], how much of it is at every pixel, 0..1."""
    black, white = np.zeros((160, 200, 3), np.uint8), np.full((160, 200, 3), 255, np.uint8)
    for canvas in (black, white):
        patient.put(canvas, name, x, y, **how)
    return 1 - (white[..., 0].astype(float) - black[..., 0]) / 255


def centroid(cover):
    """(x, y) of what is covered, in units from the centre."""
    y, x = np.mgrid[:160, :200] + 0.5
    return np.array([(x * cover).sum(), (y * cover).sum()]) / cover.sum() / SCALE - (2.5, 2)


def test_organs_are_layers_of_their_extent_opaque_inside(patients):
    for name, organ in ORGANS.items():
        drawn = patients[0].layers[name]
        assert drawn.shape == (*layer_size(organ.extent, SCALE)[::-1], 4)
        colour, alpha = drawn[..., :3].astype(int), drawn[..., 3].astype(int)
        assert (colour <= alpha[..., None] + 1).all(), "colours are multiplied by alpha"
        assert alpha.max() == 255
        inside = alpha > 250
        assert drawn[inside][:, :3].std() > 2, "textured"
        if name in ("lobe", "gallbladder", "specimen", "bowel", "fibrous", "bed"):  # seen whole
            edges = (alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1])
            assert np.mean([edge.mean() for edge in edges]) < 15, "not cut off by its layer"


def test_a_patient_depends_on_the_generator_and_differs_from_others(patients):
    again = Anatomy(np.random.default_rng(0), SCALE)
    for name, drawn in patients[0].layers.items():
        np.testing.assert_array_equal(drawn, again.layers[name])
    for name in ORGANS:
        assert (patients[0].layers[name] != patients[1].layers[name]).any()
    assert patients[0].place("liver", 0, 0) != patients[1].place("liver", 0, 0)
    for tissue, bgr in TISSUE.items():
        colours = np.array([patient.colour[tissue] for patient in patients])
        assert len(np.unique(colours, axis=0)) == 3
        # Paler or darker, but tissue: the order of blue, green and red stays where it is clear.
        for i, j in ((0, 2), (1, 2), (0, 1)):
            if bgr[j] > 1.5 * bgr[i]:
                assert (colours[:, j] > colours[:, i]).all(), tissue


def test_organs_lie_where_this_patient_has_them(patients):
    for patient in patients:
        *_, growth = patient.shift["clip"]
        clip = draw(patient, "clip", 0.6, -0.3)
        np.testing.assert_allclose(centroid(clip), patient.place("clip", 0.6, -0.3), atol=0.02)
        wide, height = layer_size((0.12, 0.05), SCALE)
        assert clip.sum() == pytest.approx(wide * height * (1 + growth) ** 2, rel=0.15)
        # Stretched in both ways unless told otherwise.
        large = draw(patient, "trocar", wide=2.0).sum() / draw(patient, "trocar").sum()
        long = draw(patient, "trocar", wide=2.0, tall=1.0).sum() / draw(patient, "trocar").sum()
        assert large == pytest.approx(4, rel=0.05)
        assert long == pytest.approx(2, rel=0.05)
        # Turned clockwise, the gallbladder lies, its neck to the left.
        turned = draw(patient, "gallbladder", degrees=90 - patient.shift["gallbladder"][2])
        assert np.ptp(np.nonzero(turned > 0.5)[1]) > 1.4 * np.ptp(np.nonzero(turned > 0.5)[0])
        assert centroid(turned)[0] > patient.place("gallbladder", 0, 0)[0] + 0.05


@pytest.mark.parametrize("name", ["adhesion", "fibrous", "bed", "char"])
def test_what_is_uncovered_appears_bit_by_bit(patients, name):
    for patient in patients:
        covers = [draw(patient, name, shown=share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
        areas = [cover.sum() for cover in covers]
        whole = draw(patient, name).sum()
        assert areas[0] < 0.1 * whole
        assert areas[-1] > 0.9 * whole
        assert 0.1 * whole < areas[2] < 0.95 * whole
        for less, more in pairwise(covers):
            assert (more >= less - 0.02).all(), "what is there stays"
            assert more.sum() > less.sum()


def test_the_bed_is_bared_from_its_lower_end_and_charred_where_it_lies(patients):
    """The gallbladder is taken off from its neck, which is below, to the liver's edge."""
    for patient in patients:
        heights = [centroid(draw(patient, "bed", shown=share))[1] for share in (0.3, 0.6, 1.0)]
        assert heights[0] > heights[1] > heights[2]
        bed, char = draw(patient, "bed"), draw(patient, "char")
        assert 0 < char.sum() < bed.sum()
        assert (char <= bed + 0.02).all()
