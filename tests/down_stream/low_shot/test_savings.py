"""What is said about annotation that is saved, and when nothing may be said."""

import numpy as np
import pytest

from down_stream.low_shot.savings import savings, sentences
from down_stream.low_shot.table import tabulate, text_table
from down_stream.metrics.statistics import mean_interval
from down_stream.report.plots import low_shot_curve

RISING = {4: (0.30, 0.31, 0.29), 8: (0.40, 0.41, 0.39), 16: (0.50, 0.51, 0.49)}
BETTER = {4: (0.45, 0.44, 0.46), 8: (0.60, 0.61, 0.59), 16: (0.70, 0.71, 0.69)}


def summary(ours, theirs, counted="videos"):
    rows = [
        {"encoder": encoder, "videos": number, "score": score}
        for encoder, curve in (("msn", ours), ("random", theirs))
        for number, scores in curve.items()
        for score in scores
    ]
    table = tabulate(rows)
    saved = {"msn": savings(table["msn"], table["random"])}
    facts = {
        "score": "video f1",
        "videos": 16,
        "baseline": "random",
        "counted": counted,
        "warnings": [],
        "failed": [],
    }
    return facts | {"table": table, "saved": saved}


def test_what_is_saved_is_at_a_number_that_was_measured():
    found = summary(BETTER, RISING)
    saved = found["saved"]["msn"]
    assert (saved["videos"], saved["baseline_videos"], saved["share"]) == (8, 16, 0.5)
    assert saved["difference"] == pytest.approx(0.1)
    assert sentences(found) == [
        "msn with 8 labelled videos is better than random with 16 by 10.0 points (95 % interval "
        "over the seeds 10.0 to 10.0): at least 50 % less annotation"
    ]


@pytest.mark.parametrize(
    "ours, theirs, why, words",
    [
        # 87 % less annotation was printed here: random with 4 is better than ours with 4.
        (
            {4: (0.52, 0.53), 8: (0.5, 0.53), 16: (0.55, 0.56)},
            {4: (0.54, 0.55), 8: (0.5, 0.52), 16: (0.51, 0.5)},
            "not fewer",
            "which random is with 4 as well; whether that saves annotation is not shown",
        ),
        (
            {4: (0.52, 0.53), 8: (0.4, 0.41), 16: (0.55, 0.56)},
            {4: (0.4, 0.41), 8: (0.44, 0.45), 16: (0.5, 0.5)},
            "not better with the same labels",
            "with as many or more it is not better than random with the same videos",
        ),
        (
            {4: (0.4, 0.7, 0.5), 16: (0.8, 0.8, 0.8)},
            {4: (0.2, 0.2, 0.2), 16: (0.5, 0.5, 0.5)},
            "within the interval",
            "the difference is 3.3 points (95 % interval over the seeds -34.6 to 41.3)",
        ),
        (
            {4: (0.60, 0.61, 0.59), 16: (0.8, 0.8, 0.8)},
            {4: (0.7, 0.2, 0.2), 16: (0.5, 0.5, 0.5)},
            "within the interval with the same labels",
            "beyond the interval it is not better than random with the same videos",
        ),
        ({4: (0.6,), 16: (0.8,)}, {4: (0.2,), 16: (0.5,)}, "no interval", "one seed"),
        ({4: (0.1, 0.1)}, {4: (0.2, 0.2)}, "not reached", "does not get as good as random with 4"),
        ({4: (0.1, 0.1)}, {4: (None, None)}, "undefined", "has no score"),
    ],
)
def test_no_sentence_about_less_annotation(ours, theirs, why, words):
    found = summary(ours, theirs)
    saved = found["saved"]["msn"]
    assert (saved["why"], saved["videos"], saved["share"]) == (why, None, None)
    assert words in sentences(found)[0]
    assert "less annotation" not in text_table(found)


def test_noise_is_seldom_called_less_annotation():
    """Both curves are the same flat line and noise of the seeds."""
    generator, said = np.random.default_rng(0), 0
    for _ in range(300):
        curves = [{n: generator.normal(0.5, 0.05, 3) for n in (4, 8, 16)} for _ in range(2)]
        said += summary(*curves)["saved"]["msn"]["share"] is not None
    assert said <= 6


def test_an_encoder_saves_nothing_against_itself():
    saved = summary(RISING, RISING)["saved"]["msn"]
    assert (saved["reached"], saved["why"]) == (16, "not fewer")


def test_the_interval_is_students():
    """Table of the t distribution: 4.303 of two degrees of freedom."""
    low, high = mean_interval(np.array([1.0, 2.0, 3.0]))
    assert (low, high) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)


def test_the_curve_says_what_is_counted_and_how_many_seeds():
    found = summary(BETTER, RISING, counted="sequences")
    figure = low_shot_curve(found, "3 seeds", sentences(found))
    (axes,) = figure.axes
    assert axes.get_xlabel() == "labelled training sequences"
    assert "3 seeds" in axes.get_title(loc="left")
    assert "random, 16 sequences: 50.0" in axes.get_legend_handles_labels()[1]
    assert "labelled sequences " in text_table(found)
