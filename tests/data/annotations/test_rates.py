from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.annotation_formats.labels import Intervals, Moments
from data.annotations.rates import check_rate


def rows(fps, seconds, step=1):
    """A row for every `step` frames at a rate, of a video that lasts so long."""
    frames = np.arange(0, round(fps * seconds), step)
    return Moments(Path("a.txt"), "phase", ("A",), frames, np.zeros(len(frames), np.int16))


@pytest.mark.parametrize("seconds", [20, 300, 5400])
@pytest.mark.parametrize("fps", [1, 30, 29.97, 50, 625])
def test_another_rate_is_found_out_and_named(fps, seconds):
    """At 25 rows a second it would end at 1/25, 1.2, 2 or 25 times the length of the video."""
    used, doubt = check_rate(rows(fps, seconds), seconds, None, None)
    if fps == 625:  # no rate that anyone has: it merely goes on for longer
        assert (used, doubt) == (25, "")
    else:
        assert f"{round(fps)}" in doubt or f"{fps:.4g}" in doubt
        assert "expected --annotation_fps" in doubt


@pytest.mark.parametrize("step", [1, 25])
@pytest.mark.parametrize("seconds", [2, 8, 12, 5400])
@pytest.mark.parametrize("share", [1, 0.96, 1.04, 0.5, 1.5])
def test_early_and_late_ends_are_no_other_rate(seconds, share, step):
    labels = rows(25, seconds * share, step)
    assert check_rate(labels, seconds, None, None) == (25, "")


def test_frames_are_numbered_at_the_video_s_own_rate():
    assert check_rate(rows(30, 100), 100, None, 30.0) == (30, "")
    assert check_rate(rows(50, 100), 100, None, 25.0)[1]
    assert check_rate(rows(30, 100), 100, 30.0, 25.0) == (30, ""), "the user has said so"


def test_where_no_rate_is_likely_those_that_fit_are_named():
    ends = np.array([3000.0])
    labels = Intervals(Path("a.csv"), "phase", ("A",), ends - ends, ends, ends * 0, None, None)
    for length, named in ((60.0, "50 would"), (100.0, "29.97 or 30 would"), (7.0, "none of the")):
        used, doubt = check_rate(labels, length, None, 25.0)
        assert used == 0
        assert f"a second, {named}" in doubt
        assert "expected --annotation_fps" in doubt


def test_seconds_that_are_frames():
    ends = np.array([2500.0])
    labels = Intervals(Path("a.csv"), "phase", ("A",), ends - ends, ends, ends * 0, None, 1.0)
    assert "25 a second" in check_rate(labels, 100.0, None, 25.0)[1]
    assert check_rate(labels, 2500.0, None, 25.0) == (1, "")
    assert check_rate(replace(labels, fps=1.0), 100.0, None, None) == (1, ""), (
        "hh:mm:ss is what it is"
    )


@pytest.mark.parametrize("fps", [0.1, 0.2, 0.5, 2, 5])
def test_a_row_for_every_so_many_seconds_is_named(fps):
    """Counted as frames, they would all be labels of the video's beginning."""
    assert f"most likely it has {fps:g} a second" in check_rate(rows(fps, 600), 600, None, 25.0)[1]


def test_milliseconds_are_named_and_seconds_of_a_part_are_seconds():
    ends = np.array([10_000.0, 20_000.0])
    labels = Intervals(Path("a.csv"), "phase", ("A",), ends - 1e4, ends, ends * 0, None, 1.0)
    assert "most likely it has 1000 a second" in check_rate(labels, 20.0, None, 25.0)[1]
    assert check_rate(labels, 40_000.0, None, 25.0) == (1, "")
    assert check_rate(labels, 100_000.0, None, 25.0) == (1, "")


def test_rows_a_second_apart_say_at_which_rate_frames_are_counted():
    """A part that ends after 1/5 of the video, or 2/25, is no annotation of rare rows."""
    for share in (1 / 5, 2 / 25):
        labels = rows(25, 600 * share, step=25)
        assert check_rate(labels, 600, None, 25.0) == (25, "")
    doubt = check_rate(rows(25, 120), 600, None, 25.0)[1]
    assert doubt.endswith(
        "it has 5 a second: expected --annotation_fps, which is 25 if it does end there"
    )


def intervals(ends, fps=None, last=None):
    """Intervals that follow one another; `fps` 1 is of times with colons."""
    ends = np.array(ends, float)
    starts = np.array([0.0, *ends[:-1]])
    ends[-1] = last or ends[-1]
    values = np.zeros(len(ends), np.int16)
    return Intervals(Path("a.csv"), "phase", ("A",), starts, ends, values, fps, 1.0)


@pytest.mark.parametrize(("unit", "called"), [(60, "minutes"), (3600, "hours"), (86400, "days")])
def test_minutes_hours_and_days_for_seconds_are_named(unit, called):
    """Taken for seconds, they would all be of the beginning; a spreadsheet counts days."""
    ends = np.array([200.0, 2465.0]) / unit
    used, doubt = check_rate(intervals(ends), 2465.0, None, 25.0)
    expected = f"--annotation_fps={1 / unit:.5g}, or --annotation_fps=1 if they are seconds"
    assert f"most likely they are {called}: expected {expected}" in doubt
    used, doubt = check_rate(intervals(ends), 2465.0, float(f"{1 / unit:.5g}"), 25.0)
    assert not doubt and ends[-1] / used == pytest.approx(2465, abs=0.1)
    assert check_rate(intervals(ends), 2465.0, 1.0, 25.0) == (1, "")


@pytest.mark.parametrize("last", [None, np.inf])
def test_minutes_that_became_hours_are_named(last):
    """0:41 that a spreadsheet keeps as 0:41:00, or mm:ss as hh:mm."""
    labels = intervals([12_000, 108_000, 147_900], fps=1.0, last=last)
    doubt = check_rate(labels, 2465.0, None, 25.0)[1]
    assert "mm:ss that became hh:mm" in doubt and "--annotation_fps=60" in doubt
    assert check_rate(labels, 2465.0, 60.0, 25.0) == (60, "")
    assert check_rate(labels, 2465.0, 25.0, 25.0)[1], "that is of other files"
    assert check_rate(labels, 2465.0, 1.0, 25.0) == (1, "")
    assert check_rate(labels, 147_900.0, None, 25.0) == (1, "")
    assert check_rate(labels, 1000.0, None, 25.0) == (1, ""), "a part of a video"


def test_frames_in_a_column_of_seconds_are_named():
    labels = replace(rows(25, 40), fps=1.0)
    assert "--annotation_fps=25" in check_rate(labels, 40.0, None, 25.0)[1]
    assert check_rate(labels, 40.0, 25.0, 25.0) == (25, "")
    doubt = check_rate(labels, 40.0, None, None)[1]
    assert "--annotation_fps=24 or --annotation_fps=25" in doubt, "both would fit"
    assert check_rate(labels, 40.0, 25.0, None) == (25, "")
    assert check_rate(labels, 40.0, 25.0, 24.0) == (25, "")
    lapse = replace(rows(1, 200), fps=1.0)
    assert check_rate(lapse, 400.0, None, 0.5) == (1, ""), "the first half of a time lapse"
    assert check_rate(replace(rows(1, 40), fps=1.0), 40.0, None, 25.0) == (1, "")
    assert check_rate(replace(rows(1, 60), fps=1.0), 40.0, None, 25.0) == (1, ""), "a part"


def test_a_rounded_second_is_no_other_rate():
    assert check_rate(intervals([1.0]), 0.04, None, 25.0) == (1, "")
    assert check_rate(intervals([3.0]), 2.2, None, 25.0) == (1, "")
