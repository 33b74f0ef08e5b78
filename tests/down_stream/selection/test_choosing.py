import dataclasses

import numpy as np
import pytest

from data.common.errors import InputError
from down_stream.selection.choosing import (
    STRATEGIES,
    choose,
    near_neighbours,
    read_budget,
)
from tests.support.small_tables import make_candidates, make_rows


def none(candidates):
    return np.zeros(len(candidates), bool)


def kinds(candidates, choices, number=3):
    return [(int(candidates.names[c.unit][5:]) - 1) % number for c in choices]


@pytest.mark.parametrize("strategy", ["typical", "coverage"])
def test_each_kind_is_chosen_before_any_twice(strategy):
    candidates = make_candidates()
    choices = choose(candidates, none(candidates), strategy, 3, 0)
    assert sorted(kinds(candidates, choices)) == [0, 1, 2]


@pytest.mark.parametrize("strategy", ["typical", "coverage"])
def test_what_has_labels_is_covered(strategy):
    candidates = make_candidates()
    for missing in range(3):
        labelled = np.arange(12) % 3 != missing
        labelled[6:] = False
        choices = choose(candidates, labelled, strategy, 1, 0)
        assert kinds(candidates, choices) == [missing]


@pytest.mark.parametrize("strategy", ["typical", "coverage", "random", "longest"])
def test_all_can_be_chosen_once_each_and_again_the_same(strategy):
    candidates = make_candidates()
    labelled = none(candidates)
    labelled[4] = True
    first, second = (choose(candidates, labelled, strategy, 99, 7) for _ in range(2))
    assert first == second
    assert sorted(choice.unit for choice in first) == [n for n in range(12) if n != 4]


def test_draws_differ_by_seed():
    candidates = make_candidates()
    drawn = {
        tuple(c.unit for c in choose(candidates, none(candidates), "random", 4, s))
        for s in range(9)
    }
    assert len(drawn) > 6


def test_the_longest_come_first():
    rows = make_rows()
    is_kept = (rows.video != "video03") | (rows.second < 5)
    is_kept &= (rows.video == "video07") | (rows.second < 18)
    from down_stream.selection.candidates import open_candidates

    candidates = open_candidates(rows.take(is_kept), "video", (), 1.0)
    choices = choose(candidates, none(candidates), "longest", 12, 0)
    assert candidates.names[choices[0].unit] == "video07"
    assert choices[0].reason == {"frames": 20}
    assert candidates.names[choices[-1].unit] == "video03"


def with_probabilities(unsure, units=12, frames=20):
    """Certain predictions of three classes, but for the frames of some units, {unit: what}."""
    said = np.eye(3, dtype=np.float32)[np.arange(units * frames) % 3]
    of_unit = np.repeat(np.arange(units), frames)
    for unit, probabilities in unsure.items():
        said[of_unit == unit] = probabilities
    return make_candidates(classes=("a", "b", "c"), probabilities=said)


def test_the_uncertain_units_come_first_and_differ():
    most, less = [0.4, 0.35, 0.25], [0.1, 0.1, 0.8]
    candidates = with_probabilities({3: less, 7: most})  # of the first and second kind
    labelled = none(candidates)
    labelled[[0, 1, 2]] = True
    choices = choose(candidates, labelled, "uncertain", 2, 0)
    assert [choice.unit for choice in choices] == [7, 3]
    assert choices[0].reason["entropy"] > 0.9 > choices[1].reason["entropy"] > 0.5


def test_no_near_neighbours_while_there_are_others():
    candidates = make_candidates(kind="sequence", units=30, frames=3)
    points = candidates.points.copy()
    points[3:6] = points[0:3]  # the second sequence shows what the first does
    candidates = dataclasses.replace(candidates, points=points)
    assert 1 in near_neighbours(candidates.means())[0]
    for strategy in ("typical", "coverage", "random"):
        for seed in range(5):
            chosen = {c.unit for c in choose(candidates, none(candidates), strategy, 15, seed)}
            assert len(chosen) == 15
            assert not {0, 1} <= chosen
    labelled = none(candidates)
    labelled[0] = True
    chosen = [c.unit for c in choose(candidates, labelled, "random", 29, 0)]
    assert sorted(chosen) == list(range(1, 30))
    assert 1 in chosen[-5:]


def test_wrong_wishes_are_named():
    candidates = make_candidates()
    with pytest.raises(InputError, match="no probabilities"):
        choose(candidates, none(candidates), "uncertain", 2, 0)
    with pytest.raises(InputError, match=", ".join(STRATEGIES)):
        choose(candidates, none(candidates), "best", 2, 0)


@pytest.mark.parametrize(("text", "number"), [("8", 8), ("10%", 4), ("0.1%", 1), ("100%", 40)])
def test_budgets(text, number):
    assert read_budget(text, 40) == number


@pytest.mark.parametrize("text", ["0", "-3", "2.5", "many", "120%", "%", "0%"])
def test_budgets_that_are_none(text):
    with pytest.raises(InputError, match="expected a number, or a share"):
        read_budget(text, 40)
