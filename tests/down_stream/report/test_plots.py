"""Pictures are looked at: is every colour where it says what it should say?"""

import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from data.dataset.cholec80 import PHASES
from down_stream.metrics.predictions import Predictions
from down_stream.report import plots
from tests.support.places import ROOT

# Machado et al. (2009), severity 1.0: what the colour blind see, as matrices on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]]
    ),
    "deuteranopia": np.array(
        [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]
    ),
    "tritanopia": np.array(
        [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]]
    ),
}


def table(labels, predictions, video="video01", classes=PHASES):
    n = len(labels)
    return Predictions(
        video=np.full(n, video),
        second=np.arange(n),
        label=np.array(labels),
        prediction=np.array(predictions),
        probabilities=np.full((n, len(classes)), np.nan, np.float32),
        classes=classes,
    )


def where(picture, colour, tolerance=0.01):
    """Rows and columns, int [pixels] each, at which a picture [h, w, 3] has this colour."""
    return np.nonzero(np.abs(picture - to_rgb(colour)).max(axis=-1) < tolerance)


def draw(function, content, path):
    function(content, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    return imread(path)[..., :3]


def ribbons(picture):
    """The rows of a timeline's ribbons: those that have phase colours in half of their width."""
    coloured = np.zeros(picture.shape[:2], bool)
    for colour in (*plots.CLASS_COLOURS, plots.UNKNOWN_COLOUR):
        coloured[where(picture, colour)] = True
    rows = np.flatnonzero(coloured.mean(axis=1) > 0.5)
    return np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)


def test_timeline_shows_each_phase_at_its_time(tmp_path):
    truth = np.repeat(np.arange(7), 60)
    prediction = np.repeat([0, 1, 2, 3, 5, 4, -1], 60)
    prediction[-60:] = 2
    picture = draw(plots.phase_timeline, table(truth, prediction), tmp_path / "t.png")
    upper, lower = ribbons(picture)
    for rows, phases in ((upper, truth), (lower, prediction)):
        ribbon = picture[rows[len(rows) // 2]]
        coloured = np.flatnonzero(
            np.any([np.abs(ribbon - to_rgb(c)).max(-1) < 0.01 for c in plots.CLASS_COLOURS], axis=0)
        )
        inside = ribbon[coloured[0] : coloured[-1] + 1]
        for second in range(30, 420, 60):
            pixel = inside[round((second + 0.5) / 420 * len(inside))]
            expected = to_rgb(plots.CLASS_COLOURS[phases[second]])
            np.testing.assert_allclose(pixel, expected, atol=0.01, err_msg=f"second {second}")


def test_timeline_shows_unknown_phases_grey_and_missing_frames_blank(tmp_path):
    predictions = table([0] * 100 + [-1] * 100 + [1] * 100, [0] * 200 + [1] * 100)
    predictions.second[200:] += 100
    picture = draw(plots.phase_timeline, predictions, tmp_path / "t.png")
    upper, lower = ribbons(picture)
    row = picture[upper[len(upper) // 2]]
    ends = {
        colour: (np.nonzero(np.abs(row - to_rgb(colour)).max(-1) < 0.01)[0][[0, -1]])
        for colour in (plots.CLASS_COLOURS[0], plots.UNKNOWN_COLOUR, plots.CLASS_COLOURS[1])
    }
    (first, last), (grey, grey_end), (after, end) = ends.values()
    width = (last - first + 1, grey_end - grey + 1, after - grey_end - 1, end - after + 1)
    np.testing.assert_allclose(width, np.mean(width), atol=2)
    np.testing.assert_array_equal(row[grey_end + 3 : after - 3], 1)
    assert not np.isin(lower, upper).any()


def test_timeline_of_sparse_frames_has_no_stripes(tmp_path):
    predictions = table([0] * 50 + [1] * 50, [0] * 50 + [1] * 50)
    predictions.second[:] *= 5
    picture = draw(plots.phase_timeline, predictions, tmp_path / "t.png")
    row = picture[ribbons(picture)[0][3]]
    columns = np.flatnonzero(np.abs(row - to_rgb(plots.CLASS_COLOURS[0])).max(-1) < 0.01)
    np.testing.assert_array_equal(np.diff(columns), 1)


def test_timeline_grows_with_the_number_of_videos(tmp_path):
    one = table([0, 1, 2] * 20, [0, 1, 1] * 20)
    many = Predictions(
        np.repeat([f"video{i:02d}" for i in range(12)], 60),
        *(np.tile(getattr(one, c), 12) for c in ("second", "label", "prediction")),
        np.tile(one.probabilities, (12, 1)),
    )
    assert len(ribbons(draw(plots.phase_timeline, many, tmp_path / "many.png"))) == 2 * 12
    assert len(ribbons(draw(plots.phase_timeline, one, tmp_path / "one.png"))) == 2


def test_a_video_without_labels_is_drawn_without_scores(tmp_path):
    with np.errstate(invalid="raise"):  # no share of nothing
        picture = draw(plots.phase_timeline, table([-1] * 60, [0] * 60), tmp_path / "t.png")
    grey, prediction = ribbons(picture)
    assert len(where(picture[grey], plots.UNKNOWN_COLOUR)[0])
    assert len(where(picture[prediction], plots.CLASS_COLOURS[0])[0])


def test_confusion_matrix_is_dark_where_the_frames_are(tmp_path):
    labels = np.repeat(np.arange(7), 10)
    predictions = np.where(labels == 2, 5, labels)  # all of phase 2 is taken for phase 5
    picture = draw(plots.confusion_matrix, table(labels, predictions), tmp_path / "c.png")
    # The strips of colour along the axes say which row and which column is whose.
    strips = [where(picture, colour) for colour in plots.CLASS_COLOURS]
    left = min(columns.min() for _, columns in strips)
    bottom = max(rows.max() for rows, _ in strips)
    row_of = [int(np.median(rows[columns < left + 5])) for rows, columns in strips]
    column_of = [columns[rows > bottom - 5] for rows, columns in strips]
    for truth, predicted in itertools.product(range(7), repeat=2):
        beside_the_text = np.percentile(column_of[predicted], 10).astype(int)
        dark = picture[row_of[truth], beside_the_text].mean() < 0.5
        assert dark == (predicted == (5 if truth == 2 else truth)), (truth, predicted)


def test_confusion_matrix_of_phases_that_are_absent(tmp_path):
    draw(plots.confusion_matrix, table([0, 0, -1], [0, 1, 2]), tmp_path / "c.png")


def test_timeline_stacks_the_probabilities_below(tmp_path):
    shares = np.array([0.25, 0, 0.5, 0, 0, 0.25, 0])
    predictions = table([1] * 100, [2] * 100)
    predictions = replace(predictions, probabilities=np.tile(shares, (100, 1)).astype(np.float32))
    picture = draw(plots.phase_timeline, predictions, tmp_path / "t.png")
    truth, _, stacked = ribbons(picture)
    column = picture[stacked, where(picture[truth], plots.CLASS_COLOURS[1])[1].mean().astype(int)]
    found = [len(where(column, plots.CLASS_COLOURS[k])[0]) / len(stacked) for k in (5, 2, 0)]
    np.testing.assert_allclose(found, [0.25, 0.5, 0.25], atol=0.06)
    rows = [where(column, plots.CLASS_COLOURS[k])[0].mean() for k in (5, 2, 0)]
    assert rows == sorted(rows), "the first phase is at the bottom"


def bars(scores, path):
    """Length of each class's bar in the first panel, in pixels."""
    picture = draw(plots.class_bars, scores, path)
    rows = [where(picture, colour) for colour in plots.CLASS_COLOURS[: len(scores)]]
    return [columns.max() - columns.min() if len(columns) else 0 for _, columns in rows], picture


def test_bars_are_as_long_as_the_scores(tmp_path):
    scores = {"Hook": 0.8, "Clipper": 0.4, "SpecimenBag": np.nan}
    none = {name: {"F1": (value, np.nan, np.nan)} for name, value in scores.items()}
    (hook, clipper, bag), plain = bars(none, tmp_path / "b.png")
    assert clipper == pytest.approx(hook / 2, abs=3)
    assert bag == 0
    _, picture = bars({**none, "Hook": {"F1": (0.8, 0.6, 0.9)}}, tmp_path / "i.png")
    changed = np.nonzero(np.abs(picture - plain).max(axis=-1) > 0.5)[1]
    assert np.ptp(changed) == pytest.approx(hook * 0.3 / 0.8, abs=8)


def test_roc_curve_of_the_second_class(tmp_path):
    label = np.array([0, 0, 1, 1, -1])
    second = np.array([0.1, 0.4, 0.35, 0.8, 0.9], np.float32)
    predictions = replace(
        table(label, second > 0.5, classes=("hyperplastic", "adenomatous")),
        probabilities=np.stack([1 - second, second], axis=1),
    )
    *_, area, point = plots.roc(predictions)
    assert area == 0.75  # of four pairs, one is the wrong way round
    assert point == (0, 0.5)
    draw(plots.roc_picture, predictions, tmp_path / "r.png")
    one_class = replace(predictions, label=np.zeros(5, int))
    for without in (one_class, table([0, 1], [0, 1], classes=("a", "b")), table([0, 1], [0, 1])):
        assert plots.roc(without) is None
    with pytest.raises(ValueError, match="two classes"):
        plots.roc_picture(one_class, tmp_path / "r.png")


def marked_column(best_epoch, path):
    """The column of the line that marks the epoch tested, as part of the picture's width."""
    plots.history({"loss": [3, 2, 1], "val_loss": [1, 2, 3]}, path, best_epoch)
    picture = imread(path)[..., :3]
    count = np.bincount(where(picture, plots._FAINT, 0.05)[1], minlength=picture.shape[1])
    assert count.max() > picture.shape[0] / 6, "no vertical line"
    return np.flatnonzero(count > count.max() / 2).mean() / picture.shape[1]


def test_history_marks_the_epoch_that_was_tested(tmp_path):
    first, middle, last = (marked_column(epoch, tmp_path / "h.png") for epoch in range(3))
    assert first < middle < last
    assert middle - first == pytest.approx(last - middle, abs=0.03)


def test_history_has_one_panel_per_kind_of_curve(tmp_path):
    both = draw(plots.history, {"loss": [1.0], "accuracy": [0.5]}, tmp_path / "h.png")
    one = draw(plots.history, {"loss": [1.0], "learning_rate": [0.1]}, tmp_path / "h.png")
    assert both.shape[1] == 2 * one.shape[1]
    for empty in ({}, {"loss": []}, {"learning_rate": [0.1]}):
        with pytest.raises(ValueError, match="no curve"):
            plots.history(empty, tmp_path / "h.png")


def lab(colour, vision):
    """CIELAB coordinates of a colour as it is seen by this kind of vision."""
    srgb = np.array(to_rgb(colour))
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ np.clip(vision @ linear, 0, 1) / to_xyz.sum(axis=1)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
def test_colours_of_phases_can_be_told_apart(vision):
    assert len(plots.CLASS_COLOURS) == len(PHASES)
    seen = [lab(colour, VISION[vision]) for colour in plots.CLASS_COLOURS]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 25


def test_neither_tensorflow_nor_pyplot_is_imported():
    code = (
        "import sys; from down_stream import compare; "
        "from down_stream.metrics import phases; from down_stream.report import plots; "
        "assert not {'tensorflow', 'keras', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("video", ["op$^$", "$1 and $2", "_op"])
def test_any_name_of_a_video_is_drawn(tmp_path, video):
    plots.phase_timeline(table([0, 1], [0, 1], video=video), tmp_path / "timeline.png")
    assert imread(tmp_path / "timeline.png").size
