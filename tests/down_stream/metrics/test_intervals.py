"""Confidence intervals draw videos, or sequences of images: for every score of every protocol."""

import dataclasses

import numpy as np
import pytest

from data.dataset.cholec80 import PHASES
from down_stream.metrics import classification, multi_label, phases, statistics
from down_stream.metrics.multi_label import MultiLabelPredictions
from down_stream.metrics.predictions import Predictions

VIDEOS, DRAWS = 6, 25


def table(classes, ordered, seed=0):
    """Videos of 20 to 70 frames, some well predicted and some badly: what is drawn counts."""
    random = np.random.default_rng(seed)
    lengths = random.integers(20, 70, VIDEOS)
    video = np.repeat(np.arange(VIDEOS), lengths)
    second = np.concatenate([np.arange(n) for n in lengths])
    label = random.integers(len(classes), size=len(video))
    if ordered:
        label = np.concatenate([np.sort(label[video == number]) for number in range(VIDEOS)])
    skill = np.linspace(0.2, 2.0, VIDEOS)[video, None]
    logits = random.normal(size=(len(video), len(classes))) + skill * np.eye(len(classes))[label]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predictions(
        video=np.array([f"video{number}" for number in video]),
        second=second,
        label=label,
        prediction=probabilities.argmax(axis=1),
        probabilities=probabilities.astype(np.float32),
        classes=classes,
    )


def tools():
    predictions = table(("a", "b", "c"), ordered=False)
    label = np.eye(3, dtype=np.int8)[predictions.label]
    columns = (predictions.video, predictions.second, label, predictions.probabilities)
    return MultiLabelPredictions(*columns, predictions.classes)


CASES = {
    "phases": (phases.evaluate, lambda: table(PHASES, ordered=True)),
    "classification": (classification.evaluate, lambda: table(("a", "b"), ordered=False)),
    "multi_label": (multi_label.evaluate, tools),
}


def drawn_again(predictions, draw):
    """The table of the videos that a draw has, each time under another name."""
    names = np.unique(predictions.video)
    rows = [np.flatnonzero(predictions.video == names[number]) for number in draw]
    video = np.repeat([f"{place:02d}" for place in range(len(draw))], [len(own) for own in rows])
    columns = [field.name for field in dataclasses.fields(predictions)]
    taken = {
        name: getattr(predictions, name)[np.concatenate(rows)]
        for name in columns
        if name not in ("video", "classes")
    }
    return dataclasses.replace(predictions, video=video, **taken)


@pytest.mark.parametrize("name", CASES)
def test_an_interval_is_that_of_the_score_over_videos_drawn_with_replacement(name):
    evaluate, predictions = CASES[name][0], CASES[name][1]()
    found = evaluate(predictions, draws=DRAWS, seed=3)
    draws = statistics.draw_videos(VIDEOS, DRAWS, 3)
    scored = [evaluate(drawn_again(predictions, draw), draws=0) for draw in draws]
    for protocol, result in found.items():
        assert result["interval"]
        for score, interval in result["interval"].items():
            values = np.array([each[protocol][score] for each in scored], float)
            expected = statistics.interval(values)
            np.testing.assert_allclose(interval, expected, rtol=1e-6, err_msg=f"{protocol} {score}")
            assert interval[0] < interval[1] or np.nanmin(values) == np.nanmax(values)
        for tool, scores in result.get("per_class", {}).items():
            for score, interval in scores["interval"].items():
                values = [each[protocol]["per_class"][tool][score] for each in scored]
                np.testing.assert_allclose(interval, np.percentile(values, (2.5, 97.5)))


@pytest.mark.parametrize("name", CASES)
def test_patients_are_drawn_with_all_of_their_videos(name):
    evaluate, predictions = CASES[name][0], CASES[name][1]()
    videos = predictions.videos
    members = [[0, 3], [1], [*range(4, VIDEOS), 2]]
    patients = {videos[place]: f"p{p}" for p, of in enumerate(members) for place in of}
    del patients[videos[1]]  # nobody knows whose it is
    found = evaluate(predictions, draws=DRAWS, seed=3, patients=patients)
    # Numbered as they come first: 0 and 3 are of the first, 1 of the second.
    draws = [
        np.concatenate([members[number] for number in drawn])
        for drawn in statistics.draw_videos(3, DRAWS, 3)
    ]
    scored = [evaluate(drawn_again(predictions, draw), draws=0) for draw in draws]
    for protocol, result in found.items():
        for score, interval in result["interval"].items():
            values = np.array([each[protocol][score] for each in scored], float)
            np.testing.assert_allclose(interval, statistics.interval(values), rtol=1e-6)
    one = evaluate(predictions, draws=DRAWS, patients=dict.fromkeys(videos, "same"))
    for result in one.values():
        assert {tuple(pair) for pair in result["interval"].values()} == {(None, None)}
    each = evaluate(predictions, draws=DRAWS, patients={v: v for v in videos})
    assert each == evaluate(predictions, draws=DRAWS)


@pytest.mark.parametrize("name", CASES)
def test_intervals_follow_the_seed_and_need_two_videos(name):
    evaluate, predictions = CASES[name][0], CASES[name][1]()
    one, same, other = (evaluate(predictions, draws=DRAWS, seed=seed) for seed in (0, 0, 1))
    assert one == same
    for protocol in one:
        assert one[protocol]["interval"] != other[protocol]["interval"], protocol
    alone = evaluate(drawn_again(predictions, [4]), draws=DRAWS)
    for protocol, result in alone.items():
        assert {tuple(pair) for pair in result["interval"].values()} == {(None, None)}, protocol
        assert result[next(iter(result["interval"]))] is not None


def test_videos_are_drawn_with_replacement_each_as_often():
    draws = statistics.draw_videos(5, 2000, 0)
    assert draws.shape == (2000, 5)
    np.testing.assert_allclose(np.bincount(draws.ravel()), 2000, rtol=0.06)
    assert any(len(set(draw)) < 5 for draw in draws.tolist())
    assert np.array_equal(draws, statistics.draw_videos(5, 2000, 0))
    assert not np.array_equal(draws, statistics.draw_videos(5, 2000, 1))
    assert statistics.draw_videos(1, 2000, 0).shape == (0, 1)


def test_the_interval_is_the_middle_of_what_is_defined():
    values = np.append(np.arange(101.0), [np.nan] * 50)
    assert statistics.interval(np.random.default_rng(0).permutation(values)) == [2.5, 97.5]
    assert np.isnan(statistics.interval(np.array([np.nan, np.nan]))).all()
