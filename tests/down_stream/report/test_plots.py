"""Pictures are looked at: is every colour where it says what it should say?"""

import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from down_stream.metrics import statistics
from down_stream.metrics.predictions import Predictions
from down_stream.report import plots, timelines
from down_stream.report.figures import CLASS_COLOURS, FAINT, UNKNOWN_COLOUR, inline_svg, save_png
from tests.support.places import ROOT
from tests.support.small_reports import ODD, Page, predictions_of, table

PALETTE = CLASS_COLOURS[:7]


def where(picture, colour, tolerance=0.01):
    """Rows and columns, int [pixels] each, at which a picture [h, w, 3] has this colour."""
    return np.nonzero(np.abs(picture - to_rgb(colour)).max(axis=-1) < tolerance)


def draw(figure, path):
    save_png(figure, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    return imread(path)[..., :3]


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


def test_confusion_matrix_is_dark_where_the_frames_are(tmp_path):
    labels = np.repeat(np.arange(7), 10)
    predictions = np.where(labels == 2, 5, labels)  # all of phase 2 is taken for phase 5
    picture = draw(plots.confusion_matrix(table(labels, predictions)), tmp_path / "c.png")
    # The strips of colour along the axes say which row and which column is whose.
    strips = [where(picture, colour) for colour in PALETTE]
    left = min(columns.min() for _, columns in strips)
    bottom = max(rows.max() for rows, _ in strips)
    row_of = [int(np.median(rows[columns < left + 5])) for rows, columns in strips]
    column_of = [columns[rows > bottom - 5] for rows, columns in strips]
    for truth, predicted in itertools.product(range(7), repeat=2):
        beside_the_text = np.percentile(column_of[predicted], 10).astype(int)
        dark = picture[row_of[truth], beside_the_text].mean() < 0.5
        assert dark == (predicted == (5 if truth == 2 else truth)), (truth, predicted)


def test_confusion_matrix_of_phases_that_are_absent(tmp_path):
    draw(plots.confusion_matrix(table([0, 0, -1], [0, 1, 2])), tmp_path / "c.png")


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


def bars(scores, path):
    """Length of each class's bar in the first panel, in pixels."""
    picture = draw(plots.class_bars(scores), path)
    rows = [where(picture, colour) for colour in PALETTE[: len(scores)]]
    return [columns.max() - columns.min() if len(columns) else 0 for _, columns in rows]


def test_bars_are_as_long_as_the_scores(tmp_path):
    scores = {"Hook": 0.8, "Clipper": 0.4, "SpecimenBag": np.nan}
    none = {name: {"F1": (value, np.nan, np.nan)} for name, value in scores.items()}
    hook, clipper, bag = bars(none, tmp_path / "b.png")
    assert clipper == pytest.approx(hook / 2, abs=3)
    assert bag == 0


def test_bars_show_their_intervals():
    scores = {"Hook": {"F1": (0.8, 0.6, 0.9)}, "Clipper": {"F1": (0.4, np.nan, np.nan)}}
    axes = plots.class_bars(scores).axes[0]
    for lines in axes.collections:
        np.testing.assert_allclose(lines.get_segments()[0], [(60, 0), (90, 0)])
    assert [text.get_text() for text in axes.texts] == ["80.0  (60 to 90)", "40.0"]


def test_roc_curve_of_the_positive_class(tmp_path):
    label = np.array([0, 0, 1, 1, -1])
    second = np.array([0.1, 0.4, 0.35, 0.8, 0.9], np.float32)
    predictions = replace(
        table(label, second > 0.5, classes=("hyperplastic", "adenomatous")),
        probabilities=np.stack([1 - second, second], axis=1),
    )
    figure = plots.roc(predictions, "adenomatous")
    curve, point = figure.axes[0].lines[1:]
    assert curve.get_label().endswith(": 0.750")  # of four pairs, one is the wrong way round
    assert (point.get_xdata()[0], point.get_ydata()[0]) == (0, 0.5)
    assert point.get_label() == "the prediction: sensitivity 50.0 %, specificity 100.0 %"
    draw(figure, tmp_path / "r.png")
    one_class = replace(predictions, label=np.zeros(5, int))
    for without in (one_class, table([0, 1], [0, 1], classes=("hyperplastic", "adenomatous"))):
        assert plots.roc(without, "adenomatous") is None
    assert plots.roc(predictions, None) is None
    other = plots.roc(predictions, "hyperplastic").axes[0]
    assert other.get_title(loc="left") == "Probability of hyperplastic"
    assert other.lines[2].get_label() == "the prediction: sensitivity 100.0 %, specificity 50.0 %"


def marked_column(best_epoch, path):
    """The column of the line that marks the epoch tested, as part of the picture's width."""
    picture = draw(plots.history({"loss": [3, 2, 1], "val_loss": [1, 2, 3]}, best_epoch), path)
    count = np.bincount(where(picture, FAINT, 0.05)[1], minlength=picture.shape[1])
    assert count.max() > picture.shape[0] / 6, "no vertical line"
    return np.flatnonzero(count > count.max() / 2).mean() / picture.shape[1]


def test_history_marks_the_epoch_that_was_tested(tmp_path):
    first, middle, last = (marked_column(epoch, tmp_path / "h.png") for epoch in range(3))
    assert first < middle < last
    assert middle - first == pytest.approx(last - middle, abs=0.03)


def test_history_has_one_panel_per_kind_of_curve(tmp_path):
    both = draw(plots.history({"loss": [1.0], "accuracy": [0.5]}), tmp_path / "h.png")
    one = draw(plots.history({"loss": [1.0], "learning_rate": [0.1]}), tmp_path / "h.png")
    assert both.shape[1] == 2 * one.shape[1]
    for empty in ({}, {"loss": []}, {"learning_rate": [0.1]}):
        assert plots.history(empty) is None


def test_neither_tensorflow_nor_pyplot_is_imported():
    code = (
        "import sys; from down_stream import compare; "
        "from down_stream.metrics import phases; from down_stream.report import plots; "
        "assert not {'tensorflow', 'keras', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# In a page.


def told(figure):
    """What a picture tells in a page, in the order in which it is drawn."""
    return Page(inline_svg(figure, "a picture", "")).texts("title")


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


def test_confusion_in_percent_of_the_true_class_and_in_frames():
    predictions = replace(
        predictions_of(("a",), 8, ("yes", "no", "never")),
        label=np.array([0, 0, 0, 0, 1, 1, -1, -1]),
        prediction=np.array([0, 0, 0, 1, 1, 1, 2, 2]),
    )
    axes = plots.confusion_matrix(predictions).axes[0]
    cells = [text.get_text().split("\n") for text in axes.texts]
    shares = ["75.0 %", "25.0 %", "0.0 %", "0.0 %", "100.0 %", "0.0 %"]
    assert cells == [*zip_lists(shares, "310020"), ["-"], ["-"], ["-"]]
    shades = axes.images[0].get_array()[:2, :, 3].ravel()
    np.testing.assert_allclose(shades, (0.75, 0.25, 0, 0, 1, 0))
    assert axes.get_title(loc="left").startswith("6 frames")


def zip_lists(*columns):
    return map(list, zip(*columns, strict=True))


def test_a_confusion_matrix_of_many_classes_tells_the_numbers_that_do_not_fit():
    names = tuple(f"class {k}" for k in range(40))
    predictions = table([0, 0, 0, 3], [0, 0, 1, 3], classes=names)
    figure = plots.confusion_matrix(predictions)
    assert not figure.axes[0].texts
    assert told(figure) == [
        "class 0, taken for class 0: 66.7 % (2)",
        "class 0, taken for class 1: 33.3 % (1)",
        "class 3, taken for class 3: 100.0 % (1)",
    ]
