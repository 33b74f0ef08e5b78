import itertools

import pytest

from msn.method import schedules

RATE = {"start": 1e-4, "peak": 1e-3, "final": 1e-6, "warmup_steps": 10, "total_steps": 100}


def test_learning_rate_warms_up_linearly_to_its_peak():
    rates = [schedules.learning_rate(step, **RATE) for step in range(100)]
    assert rates[9] == RATE["peak"] == max(rates)
    assert rates[4] == pytest.approx((1e-4 + 1e-3) / 2)
    assert rates[0] > RATE["start"]  # the schedule steps before the update


def test_learning_rate_does_not_reach_its_end_within_the_run():
    falling = [schedules.learning_rate(step, **RATE) for step in range(9, 125)]
    assert all(a >= b for a, b in itertools.pairwise(falling))
    assert falling[90] > 1e-4  # step 99, the last: the cosine is laid out for 125 steps
    assert schedules.learning_rate(124, **RATE) == pytest.approx(1e-6)


def test_a_run_without_warm_up():
    rate = RATE | {"warmup_steps": 0}
    assert schedules.learning_rate(0, **rate) == pytest.approx(1e-3, rel=1e-3)


def test_a_run_of_one_step_is_at_its_end():
    rate = RATE | {"warmup_steps": 0, "total_steps": 1}
    assert schedules.learning_rate(0, **rate) == RATE["final"]


@pytest.mark.parametrize("start, final", [(0.04, 0.4), (0.4, 0.04)])
def test_weight_decay_moves_one_way_between_its_ends(start, final):
    values = [
        schedules.weight_decay(s, start=start, final=final, total_steps=40) for s in range(50)
    ]
    assert values == sorted(values, reverse=final < start)
    assert values[49] == pytest.approx(final)
    assert min(start, final) <= min(values) <= max(values) <= max(start, final)


def test_momentum_stays_below_one():
    last = schedules.linear(99, start=0.996, final=1.0, total_steps=100)
    assert 0.999 < last < 1.0
    assert schedules.linear(0, start=0.996, final=1.0, total_steps=100) == 0.996
