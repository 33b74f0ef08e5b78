"""The frames of which a model was most wrong: which ones, and how they are shown."""

import re
from dataclasses import replace

import numpy as np

from data.annotation_formats.clock_times import clock
from down_stream.metrics import multi_label
from down_stream.report.figures import CLASS_COLOURS, colour_of
from down_stream.report.frames import most_wrong
from tests.support.small_reports import Page, frame, predictions_of


def test_most_wrong_frames_are_spread():
    """The worst nine are neighbours in one video: one of them is shown, then the next worst."""
    n = 300
    predictions = predictions_of(("a", "b", "c"), n // 3, ("yes", "no"))
    label, sure = np.zeros(n, int), np.full(n, 0.9, np.float32)
    label[250:] = 1  # right
    sure[31:40], sure[115], sure[230] = np.linspace(0.98, 0.99, 9), 0.97, 0.6
    predictions = replace(
        predictions,
        label=label,
        prediction=np.ones(n, int),
        probabilities=np.stack([1 - sure, sure], axis=1),
    )
    rows = []
    page = Page(most_wrong(predictions, rows.append, clock, 6).html)
    assert rows[:2] == [39, 115]
    assert sorted(predictions.video[rows].tolist()) == ["a", "a", "b", "b", "c", "c"]
    for name in "abc":
        seconds = sorted(predictions.second[[r for r in rows if predictions.video[r] == name]])
        assert np.diff(seconds).min() >= 10
    assert page.texts("strong")[:2] == ["a, 0:39", "b, 0:15"]
    assert "no, 99\N{NO-BREAK SPACE}%" in page.texts("dd")


def test_most_wrong_labels_are_the_absent_that_are_sure_and_the_present_that_are_not():
    predictions = multi_label.MultiLabelPredictions(
        video=np.array(["a"] * 4),
        second=np.arange(4) * 20,
        label=np.array([[1, 0], [1, 0], [0, 1], [-1, -1]]),
        probabilities=np.array([[0.9, 0.8], [0.3, 0.1], [0.2, 0.02], [1, 1]], np.float32),
        classes=("Hook", "Clipper"),
    )
    rows = []
    page = Page(most_wrong(predictions, rows.append, clock).html)
    assert rows == [2, 0, 1]
    assert page.texts("dd")[1::3] == ["present", "absent", "present"]
    percent = [re.search(r"\d+", text)[0] for text in page.texts("dd")[2::3]]
    assert percent == ["2", "80", "30"]


def test_nothing_is_shown_where_nothing_is_wrong_or_known():
    predictions = predictions_of(("a",))
    right = replace(predictions, prediction=predictions.label)
    silent = replace(predictions, probabilities=np.full((100, 7), np.nan, np.float32))
    for one in (right, silent):
        assert most_wrong(one, frame, clock) is None


def test_colours_are_those_of_the_pictures():
    page = Page(most_wrong(predictions_of(), frame, clock).html)
    swatches = {a["style"] for a in page.attributes("span") if a.get("class") == "swatch"}
    assert swatches <= {f"background:{colour}" for colour in CLASS_COLOURS}
    assert f"background:{colour_of(2)}" in swatches
