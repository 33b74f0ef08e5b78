import tracemalloc

import numpy as np
import pytest

from down_stream.selection import coverage
from down_stream.selection.candidates import Candidates
from down_stream.selection.typicality import by_typicality, typicality
from down_stream.selection.uncertainty import described, entropy
from tests.support.small_tables import make_candidates


def test_the_most_typical_point_is_in_the_middle_of_the_largest_cluster():
    line = np.array([[-2.0], [-0.5], [0.0], [0.4], [2.1], [50.0], [50.5]])
    of = np.array([0, 0, 0, 0, 0, 1, 1])
    values = typicality(line, of)
    assert np.argmax(values[:5]) == 2
    assert values[5] == pytest.approx(2)
    none, every = np.zeros(7, bool), np.ones(7, bool)
    (first, why), (second, _) = by_typicality(line, none, every, 2, 0)
    assert (first, why["of_cluster"]) == (2, 5)
    assert second in (5, 6)
    not_the_middle = np.arange(7) != 2
    assert by_typicality(line, none, not_the_middle, 2, 0)[0][0] in (1, 3)


def test_entropy_is_that_of_one_label_or_of_several():
    single = np.array([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]])
    np.testing.assert_allclose(entropy(single), [0, 1], atol=1e-4)
    several = np.array([[0.5, 0.5, 0.5], [1, 1, 0]])
    np.testing.assert_allclose(entropy(several), [1, 0], atol=1e-4)
    np.testing.assert_array_equal(entropy(np.ones((2, 1))), [0, 0])  # of one class


def test_uncertain_frames_weigh_more_in_what_a_class_looks_like():
    said = np.tile(np.array([0.99, 0.01], np.float32), (40, 1))
    said[0] = 0.55, 0.45
    said[1] = 0.01, 0.99
    candidates = make_candidates(units=2, classes=("a", "b"), probabilities=said)
    points, uncertain = described(candidates)
    assert points.shape == (2, 2 * 6)
    first = candidates.points[0] / np.linalg.norm(candidates.points[0])
    mean = candidates.points[[0, *range(2, 20)]].mean(axis=0)
    assert first @ points[0, :6] > first @ mean
    np.testing.assert_allclose(points[0, 6:], candidates.points[1], rtol=1e-4)
    assert not points[1, 6:].any()  # its frames are all said to be of the first class
    assert uncertain[0] > uncertain[1]


def make_intervals(units):
    """Two frames each, in clusters of which some are larger."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(40, 8))
    points = centres[random.geometric(0.1, 2 * units) % 40] + random.normal(0, 0.3, (2 * units, 8))
    points = (points / np.linalg.norm(points, axis=1)[:, None]).astype(np.float32)
    names, place = tuple(map(str, range(units))), np.arange(units, dtype=float)
    unit = np.repeat(np.arange(units), 2)
    return Candidates("interval", None, points, unit, names, place, place + 1, (), 1.0)


def test_each_choice_covers_most_of_what_is_left():
    candidates = make_intervals(60)
    labelled, allowed = np.zeros(60, bool), np.ones(60, bool)
    labelled[:4], allowed[:8] = True, False
    chosen = coverage.by_coverage(candidates, labelled, allowed, 52)
    radius, points = chosen[0][1]["radius"], candidates.points
    near = np.linalg.norm(points[:, None] - points[None], axis=2) <= radius
    reach = near.reshape(60, 2, 120).any(axis=1)
    covered = reach[labelled].any(axis=0)
    left = allowed.copy()
    for best, why in chosen:
        gains = (reach & ~covered).sum(axis=1) / 120
        assert gains[best] == pytest.approx(gains[left].max())
        assert why["new"] == pytest.approx(gains[best])
        covered |= reach[best]
        assert why["covered"] == pytest.approx(covered.mean())
        left[best] = False
    np.testing.assert_array_equal(covered, reach[labelled | allowed].any(axis=0))
    assert not left.any()
    assert sum(why["new"] == 0 for _, why in chosen) > 3  # all is covered before all are chosen


def test_tens_of_thousands_of_intervals_need_little_memory(monkeypatch):
    monkeypatch.setattr(coverage, "FRAMES", 1000)
    candidates, every = make_intervals(20_000), np.ones(20_000, bool)
    tracemalloc.start()
    try:
        chosen = coverage.by_coverage(candidates, ~every, every, 10)
        (_, peak) = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len({unit for unit, _ in chosen}) == 10
    assert peak < 4 * 20_000 * 1000  # bytes; which unit reaches what is one each
