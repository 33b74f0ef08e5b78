import numpy as np
import pytest

from data.dataset.cholec80 import PHASES, SOURCE_FPS, TOOLS
from data.synthetic.camera import SHOTS, STACK, STEP, Endoscope, wander
from data.synthetic.cholec80 import Timeline

SIZE = (96, 64)
SECONDS = 2  # of every phase


def operation(seed=0, tools=()):
    """An endoscope that films every phase, with some tools in view all the time."""
    timeline = Timeline(
        tuple(np.repeat(PHASES, SECONDS).tolist()),
        np.tile([np.uint8(tool in tools) for tool in TOOLS], (SECONDS * len(PHASES), 1)),
    )
    return Endoscope(np.random.default_rng(seed), SIZE, timeline)


def every_second(endoscope):
    """Frames at 1 fps, int32 [seconds, height, width, 3]."""
    return np.int32([endoscope.frame(index) for index in range(0, endoscope.count, SOURCE_FPS)])


def test_a_frame_depends_on_the_generator_and_its_number_alone():
    one, two = operation(), operation()
    assert one.count == SOURCE_FPS * SECONDS * len(PHASES)
    numbers = (33, 7, one.count - 1, 0, 34)  # between two scenes, on one, the last and the first
    forwards = {n: one.frame(n) for n in sorted(numbers)}
    for number in numbers:
        frame = two.frame(number)
        assert (frame.shape, frame.dtype) == ((64, 96, 3), np.uint8)
        assert frame.std() > 10
        np.testing.assert_array_equal(frame, forwards[number])
    assert np.abs(np.int32(operation(seed=1).frame(0)) - forwards[0]).mean() > 10


def test_scenes_blend_into_one_another(monkeypatch):
    endoscope = operation()
    monkeypatch.setattr(endoscope, "_develop", lambda scene, index: np.float32(scene))
    # The last scene of one phase and the first of the next: they differ most.
    change = SOURCE_FPS * SECONDS * PHASES.index("ClippingCutting")
    first, between, second = (endoscope.frame(change + i) for i in (-STEP, 2 - STEP, 0))
    assert np.abs(first - second).max() > 50
    assert np.abs(between - (first + (second - first) * 2 / STEP)).max() < 1


def test_instruments_are_drawn_when_and_only_when_annotated():
    """In every phase, each tool changes the picture of the seconds that have it, and no other."""
    endoscope = operation()
    tools = endoscope.timeline.tools
    without = every_second(endoscope)
    for place, name in enumerate(TOOLS):
        tools[:] = 0
        tools[::SECONDS, place] = 1  # the first second of every phase
        changed = np.abs(every_second(endoscope) - without).max((1, 2, 3)) > 25
        np.testing.assert_array_equal(changed, tools[:, place] == 1, err_msg=name)
        # Nor is another drawn in its stead: were it of glass, nothing would be seen.
        drawn = endoscope.tools
        its_own = [name, "ClosedBag"] if name == "SpecimenBag" else [name]
        endoscope.tools = {**drawn, **{own: np.zeros_like(drawn[own]) for own in its_own}}
        np.testing.assert_array_equal(every_second(endoscope), without, err_msg=name)
        endoscope.tools = drawn
    assert set(SHOTS) == set(PHASES)
    assert sorted(STACK) == sorted(TOOLS)


def test_the_camera_moves_smoothly():
    paths = np.array([wander(np.random.default_rng(seed), 1000, 2, 0.1) for seed in range(8)])
    assert paths.shape == (8, 1000)
    assert paths.std() == pytest.approx(0.1, rel=0.3)
    slow = np.array([wander(np.random.default_rng(seed), 1000, 8, 0.1) for seed in range(8)])
    steps = [np.abs(np.diff(path, axis=1)) for path in (paths, slow)]
    assert steps[0].max() < 0.03, "a frame's step is a small part of the way"
    assert steps[0].mean() > 2 * steps[1].mean(), "slower where new directions are rarer"
    endoscope = operation()
    frames = np.int32([endoscope.frame(n) for n in (10, 11, 10 + SOURCE_FPS)])
    assert np.abs(frames[1] - frames[0]).mean() < np.abs(frames[2] - frames[0]).mean()


def test_coagulation_makes_smoke_that_veils_and_thins():
    tools = np.zeros((40, len(TOOLS)), np.uint8)
    tools[5:20, TOOLS.index("Hook")] = 1
    timeline = Timeline(("GallbladderDissection",) * 40, tools)
    endoscope = Endoscope(np.random.default_rng(1), SIZE, timeline)
    smoke = endoscope.smoke.reshape(40, SOURCE_FPS).mean(1)
    assert smoke[5:21].max() > 3 * smoke[:5].max()
    assert (np.diff(smoke[20:]) <= 0).all()
    assert smoke[-1] < 0.1 * smoke[5:21].max()
    assert operation(tools=["Grasper"]).smoke.max() < 0.06, "cold steel makes none"

    thickest = int(endoscope.smoke.argmax())
    veiled = endoscope.frame(thickest)
    endoscope.smoke[:] = 0
    clear = endoscope.frame(thickest)
    middle = np.s_[16:48, 32:64]
    assert veiled[middle].mean() > clear[middle].mean() + 5, "paler"
    assert veiled[middle].std((0, 1)).mean() < clear[middle].std((0, 1)).mean(), "and flatter"


def test_light_falls_off_and_the_sensor_adds_grain():
    circles = 0
    for seed in range(6):
        endoscope = operation(seed)
        grey = np.full((72, 110, 3), 90, np.uint8)
        first, second = (np.int32(endoscope._develop(grey, n)) for n in (0, 1))
        middle, corners = first[24:40, 40:56], first[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert middle.mean() > 30
        assert middle.mean() > 1.2 * corners.mean()
        circles += corners.mean() < 10
        assert 0.5 < (middle - second[24:40, 40:56]).std() < 12, "another grain in every frame"
    assert circles >= 3, "most endoscopes show the edge of their circle"
