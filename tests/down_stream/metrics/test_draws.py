"""Differences of two models on the same test videos."""

import dataclasses
import tracemalloc

import numpy as np
import pytest

from data.common.errors import InputError
from down_stream.metrics import classification, multi_label, phases
from down_stream.metrics.draws import DRAWS, paired_difference, scorer
from down_stream.metrics.multi_label import MultiLabelPredictions
from down_stream.metrics.predictions import Predictions
from down_stream.metrics.statistics import draw_videos, interval

CLASSES = ("a", "b", "c")


def predictions(skill, seed, videos=8, frames=40, difficulty=1.0):
    """Videos differ much in how difficult they are; `skill` helps a little in all."""
    random = np.random.default_rng(seed)
    label = random.integers(3, size=videos * frames)
    hard = np.repeat(np.linspace(0, difficulty, videos), frames)
    is_right = np.random.default_rng(99).uniform(size=len(label)) < skill + 0.5 * (1 - hard)
    prediction = np.where(is_right, label, (label + 1) % 3)
    return Predictions(
        video=np.repeat([f"video{i}" for i in range(videos)], frames),
        second=np.tile(np.arange(frames), videos),
        label=label,
        prediction=prediction,
        probabilities=np.eye(3, dtype=np.float32)[prediction],
        classes=CLASSES,
    )


def labels(seed, videos=5, frames=20):
    random = np.random.default_rng(seed)
    return MultiLabelPredictions(
        video=np.repeat([f"video{i}" for i in range(videos)], frames),
        second=np.tile(np.arange(frames, dtype=float), videos),
        label=(np.random.default_rng(0).uniform(size=(videos * frames, 2)) < 0.4).astype(np.int8),
        probabilities=random.uniform(size=(videos * frames, 2)).astype(np.float32),
        classes=("Grasper", "Hook"),
    )


@pytest.mark.parametrize(
    "protocol, evaluate, table, score",
    [
        ("video", phases.evaluate, predictions(0.4, 0), "f1"),
        ("frame", classification.evaluate, predictions(0.4, 0), "f1"),
        ("frame", classification.evaluate, predictions(0.4, 0), "accuracy"),
        ("tool", multi_label.evaluate, labels(1), "average_precision"),
    ],
)
def test_the_draws_are_those_of_the_results(protocol, evaluate, table, score):
    """The interval of one model is that of results.json, to the last digit."""
    found = evaluate(table)[protocol]
    drawn = draw_videos(len(table.videos), DRAWS[protocol], 0)
    assert interval(scorer(protocol, table)(drawn)[score]) == pytest.approx(
        found["interval"][score]
    )


def test_many_single_images_of_many_classes_fit_into_memory():
    """Two thousand sequences of one image, 23 classes, a thousand draws: 9 GB if side by side."""
    random = np.random.default_rng(0)
    label = random.integers(23, size=2000)
    table = Predictions(
        video=np.array([f"s{n:04d}" for n in range(2000)]),
        second=np.zeros(2000, np.int64),
        label=label,
        prediction=np.where(random.uniform(size=2000) < 0.5, label, 0),
        probabilities=np.full((2000, 23), 1 / 23, np.float32),
        classes=tuple(map(str, range(23))),
    )
    tracemalloc.start()
    scores = scorer("frame", table)(draw_videos(2000, 1000, 0))
    assert tracemalloc.get_traced_memory()[1] < 200e6
    tracemalloc.stop()
    assert len(scores["f1"]) == 1000


def test_a_difference_is_narrower_than_the_scores_are():
    """3 points more in each video, which differ by 50 points among themselves."""
    better, worse = predictions(0.43, 1), predictions(0.40, 1)
    difference, (low, high) = paired_difference("video", "accuracy", better, worse)
    own = phases.evaluate(worse)["video"]["interval"]["accuracy"]
    assert low > 0 and low <= difference <= high
    assert high - low < 0.2 * (own[1] - own[0])
    assert paired_difference("video", "accuracy", worse, better)[0] == pytest.approx(-difference)


def test_a_model_does_not_differ_from_itself():
    table = labels(1)
    assert paired_difference("tool", "average_precision", table, table) == (0, [0, 0])


def test_frames_that_one_could_not_read_or_that_have_no_label_do_not_matter():
    table = predictions(0.4, 0)
    rows = np.arange(3, len(table.video))
    columns = {
        field.name: getattr(table, field.name)
        for field in dataclasses.fields(table)
        if field.name != "classes"
    }
    fewer = Predictions(**{name: value[rows] for name, value in columns.items()}, classes=CLASSES)
    assert np.isfinite(paired_difference("frame", "f1", table, fewer)[0])
    unknown = dataclasses.replace(table, label=np.where(np.arange(320) < 3, -1, table.label))
    assert paired_difference("frame", "f1", unknown, fewer) == (0, [0, 0])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"video": np.repeat([f"video{i}" for i in range(1, 9)], 40)}, "test videos are not the"),
        ({"classes": ("a", "b", "d")}, "classes are not the same"),
        ({"label": np.zeros(320, int)}, "labels of the test frames"),
    ],
)
def test_other_videos_or_labels_have_no_difference(changes, message):
    table = predictions(0.4, 0)
    with pytest.raises(InputError, match=message):
        paired_difference("video", "f1", table, dataclasses.replace(table, **changes))


def test_a_table_of_several_labels_comes_back(tmp_path):
    table = labels(2)
    multi_label.write_predictions(tmp_path / "predictions.csv", table)
    again = multi_label.read_predictions(tmp_path / "predictions.csv")
    for field in dataclasses.fields(table):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(table, field.name))
    (tmp_path / "other.csv").write_text("video,second,label,prediction\n")
    for name in ("other.csv", "missing.csv"):
        with pytest.raises(InputError, match="of several labels"):
            multi_label.read_predictions(tmp_path / name)
