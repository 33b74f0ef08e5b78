"""Pictures are looked at: is every colour where it says what it should say?"""

import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from down_stream.report import plots
from down_stream.report.figures import CLASS_COLOURS, FAINT
from tests.support.drawn import draw, told, where
from tests.support.places import ROOT
from tests.support.small_reports import predictions_of, table

PALETTE = CLASS_COLOURS[:7]


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
