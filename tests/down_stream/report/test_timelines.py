"""Timelines are looked at: is every class drawn at its time?"""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from down_stream.metrics import statistics
from down_stream.metrics.predictions import Predictions
from down_stream.report import timelines
from down_stream.report.figures import CLASS_COLOURS, UNKNOWN_COLOUR, inline_svg
from tests.support.drawn import draw, told, where
from tests.support.small_reports import ODD, Page, predictions_of, table

PALETTE = CLASS_COLOURS[:7]


def ribbons(picture):
    """The rows of a timeline's ribbons: those that have class colours in half of their width."""
    coloured = np.zeros(picture.shape[:2], bool)
    for colour in (*PALETTE, UNKNOWN_COLOUR):
        coloured[where(picture, colour)] = True
    rows = np.flatnonzero(coloured.mean(axis=1) > 0.5)
    return np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)


def test_timeline_shows_each_phase_at_its_time(tmp_path):
    truth = np.repeat(np.arange(7), 60)
    prediction = np.repeat([0, 1, 2, 3, 5, 4, -1], 60)
    prediction[-60:] = 2
    picture = draw(timelines.timeline({"": table(truth, prediction)}), tmp_path / "t.png")
    upper, lower = ribbons(picture)
    for rows, phases in ((upper, truth), (lower, prediction)):
        ribbon = picture[rows[len(rows) // 2]]
        coloured = np.flatnonzero(
            np.any([np.abs(ribbon - to_rgb(c)).max(-1) < 0.01 for c in PALETTE], axis=0)
        )
        inside = ribbon[coloured[0] : coloured[-1] + 1]
        for second in range(30, 420, 60):
            pixel = inside[round((second + 0.5) / 420 * len(inside))]
            expected = to_rgb(PALETTE[phases[second]])
            np.testing.assert_allclose(pixel, expected, atol=0.01, err_msg=f"second {second}")


def test_timeline_shows_unknown_phases_grey_and_missing_frames_blank(tmp_path):
    predictions = table([0] * 100 + [-1] * 100 + [1] * 100, [0] * 200 + [1] * 100)
    predictions.second[200:] += 100
    picture = draw(timelines.timeline({"": predictions}), tmp_path / "t.png")
    upper, lower = ribbons(picture)
    row = picture[upper[len(upper) // 2]]
    ends = {
        colour: (np.nonzero(np.abs(row - to_rgb(colour)).max(-1) < 0.01)[0][[0, -1]])
        for colour in (PALETTE[0], UNKNOWN_COLOUR, PALETTE[1])
    }
    (first, last), (grey, grey_end), (after, end) = ends.values()
    width = (last - first + 1, grey_end - grey + 1, after - grey_end - 1, end - after + 1)
    np.testing.assert_allclose(width, np.mean(width), atol=2)
    np.testing.assert_array_equal(row[grey_end + 3 : after - 3], 1)
    assert not np.isin(lower, upper).any()


def test_timeline_of_sparse_frames_has_no_stripes(tmp_path):
    predictions = table([0] * 50 + [1] * 50, [0] * 50 + [1] * 50)
    predictions.second[:] *= 5
    picture = draw(timelines.timeline({"": predictions}), tmp_path / "t.png")
    row = picture[ribbons(picture)[0][3]]
    columns = np.flatnonzero(np.abs(row - to_rgb(PALETTE[0])).max(-1) < 0.01)
    np.testing.assert_array_equal(np.diff(columns), 1)


def test_timeline_grows_with_the_number_of_videos(tmp_path):
    one = table([0, 1, 2] * 20, [0, 1, 1] * 20)
    many = Predictions(
        np.repeat([f"video{i:02d}" for i in range(12)], 60),
        *(np.tile(getattr(one, c), 12) for c in ("second", "label", "prediction")),
        np.tile(one.probabilities, (12, 1)),
    )
    assert len(ribbons(draw(timelines.timeline({"": many}), tmp_path / "many.png"))) == 2 * 12
    assert len(ribbons(draw(timelines.timeline({"": one}), tmp_path / "one.png"))) == 2


def test_a_video_without_labels_is_drawn_without_scores(tmp_path):
    with np.errstate(invalid="raise"):  # no share of nothing
        figure = timelines.timeline({"": table([-1] * 60, [0] * 60)})
    picture = draw(figure, tmp_path / "t.png")
    (prediction,) = ribbons(picture)
    assert len(where(picture[prediction], PALETTE[0])[0])
    texts = Page(inline_svg(figure, "a picture", "")).texts("text")
    assert not {"truth", "accuracy", "Unknown", "-"} & {word for t in texts for word in t.split()}


def test_the_time_axis_has_few_round_times():
    for seconds, times in (
        (8, ["0:00", "0:01", "0:02"]),
        (93, ["0:00", "0:20", "0:40", "1:00", "1:20"]),
        (2400, ["0:00", "5:00", "10:00"]),
        (5 * 3600, ["0:00", "1:00:00", "2:00:00"]),
    ):
        figure = timelines.timeline({"": table([0] * seconds, [0] * seconds)})
        texts = Page(inline_svg(figure, "a picture", "")).texts("text")
        shown = [text for text in texts if ":" in text and " " not in text]
        assert shown[: len(times)] == times
        assert len(shown) <= 10


def test_timeline_stacks_the_probabilities_below(tmp_path):
    shares = np.array([0.25, 0, 0.5, 0, 0, 0.25, 0])
    predictions = table([1] * 100, [2] * 100)
    predictions = replace(predictions, probabilities=np.tile(shares, (100, 1)).astype(np.float32))
    picture = draw(timelines.timeline({"": predictions}), tmp_path / "t.png")
    truth, _, stacked = ribbons(picture)
    column = picture[stacked, where(picture[truth], PALETTE[1])[1].mean().astype(int)]
    found = [len(where(column, PALETTE[k])[0]) / len(stacked) for k in (5, 2, 0)]
    np.testing.assert_allclose(found, [0.25, 0.5, 0.25], atol=0.06)
    rows = [where(column, PALETTE[k])[0].mean() for k in (5, 2, 0)]
    assert rows == sorted(rows), "the first phase is at the bottom"


def painted(figure, strip, colour):
    """bool [columns], where a strip of a timeline has the colour of a class."""
    colours = figure.axes[0].images[strip].get_array()[0]
    return np.abs(colours[:, :3] - to_rgb(PALETTE[colour])).max(axis=-1) < 0.01


def test_ribbons_say_which_phase_is_when():
    predictions = Predictions(
        video=np.full(90, ODD),
        second=np.r_[0:50, 60:100],
        label=np.r_[[0] * 50, [-1] * 10, [3] * 30],
        prediction=np.r_[[0] * 49, [6], [3] * 40],
        probabilities=np.full((90, 7), np.nan, np.float32),
    )
    figure = timelines.timeline({"one": predictions})
    assert told(figure) == [
        "Preparation, 0:00 to 0:50",
        "Unknown, 1:00 to 1:10",
        "Gallbladder dissection, 1:10 to 1:40",
        "Preparation, 0:00 to 0:49",
        "Gallbladder retraction, 0:49 to 0:50",
        "Gallbladder dissection, 1:00 to 1:40",
    ]
    texts = Page(inline_svg(figure, "a picture", "")).texts("text")
    assert ODD in texts
    assert "Unknown" in texts
    counts = statistics.confusion(predictions.label, predictions.prediction, 7)
    assert f"{100 * statistics.accuracy(counts):.1f}" in texts


def test_the_models_of_a_page_stand_below_each_other():
    tables = {"probe": predictions_of(), "tecno": predictions_of(seed=1)}
    tables["tecno"] = replace(tables["tecno"], prediction=np.full(200, 4))
    figure = timelines.timeline(tables)
    assert len(figure.axes[0].images) == 2 * (1 + 2 + 2)
    assert painted(figure, 3, 4).all()
    tops = [image.get_extent()[3] for image in figure.axes[0].images]
    assert tops == sorted(tops)
    assert Page(inline_svg(figure, "a picture", "")).texts("text").count("tecno") == 2


def test_long_videos_and_flicker_stay_small():
    seconds, number = 2400, 4
    random = np.random.default_rng(0)
    for classes in (7, 40):
        flicker = random.integers(0, classes, seconds * number)
        predictions = Predictions(
            np.repeat([f"video{k}" for k in range(number)], seconds),
            np.tile(np.arange(seconds), number),
            np.sort(flicker),
            flicker,
            random.dirichlet(np.ones(classes), seconds * number).astype(np.float32),
            tuple(map(str, range(classes))),
        )
        svg = inline_svg(timelines.timeline({"one": predictions}), "a picture", "")
        assert len(svg) / number < 3_000_000 / 32


def test_flicker_in_a_long_video_favours_no_phase():
    flicker = np.random.default_rng(0).integers(0, 2, 3600) * 5
    predictions = replace(predictions_of(("a",), 3600), label=flicker, prediction=flicker)
    figure = timelines.timeline({"one": predictions})
    assert (painted(figure, 0, 0) | painted(figure, 0, 5)).sum() == 1200
    assert painted(figure, 0, 0).sum() == pytest.approx(600, abs=60)


def test_long_videos_are_drawn_in_steps_and_keep_their_times():
    label = np.repeat([0, 1], 1800)
    predictions = replace(predictions_of(("a",), 3600), label=label)
    assert told(timelines.timeline({"one": predictions}))[:2] == [
        "Preparation, 0:00 to 30:00",
        "Calot triangle dissection, 30:00 to 1:00:00",
    ]


def test_sparse_frames_stand_for_the_time_to_the_next():
    predictions = predictions_of(("a",), 20)
    predictions.second[:] *= 5
    predictions = replace(predictions, label=np.repeat([0, 1], 10))
    figure = timelines.timeline({"one": predictions})
    np.testing.assert_array_equal(painted(figure, 0, 0), np.arange(100) < 50)
    np.testing.assert_array_equal(painted(figure, 0, 1), np.arange(100) >= 50)
