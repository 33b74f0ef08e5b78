import numpy as np
import pytest

from data.dataset.cholec80 import TOOLS
from data.synthetic.tools import EXTENT, STEEL, TIP, Drawing, draw_tool, draw_tools

SCALE = 60
INSTRUMENTS = [name for name in TOOLS if name != "SpecimenBag"]


@pytest.fixture(scope="module")
def tools():
    return draw_tools(np.random.default_rng(0), SCALE)


def columns(layer, left, right):
    """Alpha between two positions in units from the tip."""
    origin = (EXTENT[0] / 2 - TIP) * SCALE
    return layer[:, round(origin + left * SCALE) : round(origin + right * SCALE), 3]


def test_every_annotated_tool_has_its_tip_at_the_origin_and_its_shaft_to_the_right(tools):
    assert set(tools) == {*TOOLS, "ClosedBag"}
    for name, layer in tools.items():
        assert layer.shape == (round(EXTENT[1] * SCALE), round(EXTENT[0] * SCALE), 4)
        assert (layer[..., :3] <= layer[..., 3:].astype(int) + 1).all(), "multiplied by alpha"
        assert columns(layer, -0.05, 0.1).max() > 100, name
        assert columns(layer, 0.1, 1.75).max(axis=0).min() > 100, "a shaft that nothing breaks"
        top, bottom = columns(layer, 0.7, 1.75)[[0, -1]]
        assert max(top.max(), bottom.max()) == 0, "and that fits on its layer"
        if name in INSTRUMENTS:  # the irrigator sprays
            assert (columns(layer, -0.2, -0.06).max() > 0) == (name == "Irrigator"), name


def test_tools_are_told_apart_by_their_ends(tools):
    ends = {name: layer[:, : round(0.8 * SCALE)].astype(float) for name, layer in tools.items()}
    for name in ends:
        for other in ends:
            if name < other:
                painted = np.maximum(ends[name], ends[other])[..., 3] > 0
                differ = np.abs(ends[name] - ends[other]).max(-1)[painted] > 40
                assert differ.mean() > 0.25, (name, other)


@pytest.mark.parametrize("name", ["Grasper", "Bipolar", "Scissors", "Clipper"])
def test_what_grips_or_cuts_has_two_jaws(tools, name):
    end = columns(tools[name], -0.05, 0.2).astype(int)[1:]  # the axis is on the middle row
    painted = np.maximum(end, end[::-1]) > 127
    assert np.abs(end - end[::-1])[painted].mean() < 40, "one mirrors the other"
    assert painted.any()


def test_only_the_foil_of_the_bags_is_random_and_lets_light_through(tools):
    other = draw_tools(np.random.default_rng(1), SCALE)
    same = {name for name in tools if np.array_equal(tools[name], other[name])}
    assert same == set(INSTRUMENTS)
    foil = columns(tools["SpecimenBag"], -0.1, 0.1)
    middle = foil[len(foil) // 2 - 4 : len(foil) // 2 + 4]
    assert 90 < middle.mean() < 200
    assert columns(tools["Grasper"], 0.5, 1.5)[len(foil) // 2].min() == 255, "steel does not"


def test_rods_taper_and_shine_along_their_middle():
    tool = Drawing(100)
    tool.rod(0, 1, (0.05, 0.1), STEEL)
    alpha = tool.image[..., 3] / 255
    widths = alpha.sum(0)
    start = (EXTENT[0] / 2 - TIP) * 100
    for at in (0.2, 0.5, 0.8):
        assert widths[int(start + 100 * at)] == pytest.approx(10 + 10 * at, abs=1)
    assert widths[: int(start) - 1].max() == widths[int(start) + 102 :].max() == 0
    across = tool.image[:, int(start) + 50, :3].mean(1)[alpha[:, int(start) + 50] == 1]
    assert across[len(across) // 4 : len(across) // 2].max() > 2 * max(across[0], across[-1])


@pytest.mark.parametrize("port", [(1.5, 0.1), (-1.5, 0.35), (0.2, -1.4)])
@pytest.mark.parametrize("size", [0.5, 0.8])
def test_instruments_are_pasted_with_their_tip_in_place_and_their_shaft_to_the_port(
    tools, port, size
):
    """The layer has other pixels a unit than the frame: both are reckoned with."""
    height, tip = 100, np.array((-0.1, 0.15))
    frame = np.zeros((height, 160, 3), np.uint8)
    draw_tool(frame, tools["Clipper"], tip, port, height, size)
    painted = frame.max(-1) > 30
    y, x = (np.mgrid[:height, :160] + 0.5) - np.array((50, 80)).reshape(2, 1, 1)
    along = np.subtract(port, tip) / np.hypot(*np.subtract(port, tip))
    towards = (x / height - tip[0]) * along[0] + (y / height - tip[1]) * along[1]
    aside = (y / height - tip[1]) * along[0] - (x / height - tip[0]) * along[1]
    pixel = size * SCALE / height  # units of the frame per unit of the layer
    assert towards[painted].min() == pytest.approx(-0.02 * pixel, abs=0.02)
    shaft = painted & (towards > 0.3 * pixel)
    assert np.abs(aside[shaft]).max() < 0.15 * pixel + 0.01  # one of the frame's
    assert abs(aside[shaft].mean()) < 0.03
    in_line = (np.abs(aside) < 0.02) & (towards > 0.3 * pixel) & (towards < 1.7 * pixel)
    assert painted[in_line].all(), "as far as the layer goes, or the frame"
