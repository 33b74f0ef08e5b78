"""Which label a time has: the nearest source frame's, halves up; of intervals, what holds it."""

from pathlib import Path

import numpy as np
import pytest

from data.annotation_formats.labels import Intervals, Moments, track_intervals
from data.dataset.audit import Audit


def moments(values, frames=None, group="phase"):
    values = np.asarray(values)
    frames = np.arange(len(values)) if frames is None else np.asarray(frames)
    names = tuple(map(str, range(int(values.max()) + 1)))
    return Moments(Path("file"), group, names, frames.astype(np.int64), values)


@pytest.mark.parametrize(
    ("fps", "rows"),
    [
        # Frames n of a data set at `fps`, and the rows that they have of annotations at 25.
        (1.0, [0, 25, 50, 75]),
        (2.0, [0, 13, 25, 38, 50, 63]),  # 12.5 is 13, 37.5 is 38, 62.5 is 63: up, not to even
        (5.0, [0, 5, 10, 15]),
        (10.0, [0, 3, 5, 8, 10, 13]),
        (3.0, [0, 8, 17, 25]),
        (25.0, [0, 1, 2, 3]),
        (30.0, [0, 1, 2, 3, 3, 4, 5]),
    ],
)
def test_a_frame_has_the_nearest_row(fps, rows):
    labels = moments(np.arange(100, dtype=np.int16))
    assert labels.at(np.arange(len(rows)) / fps, 25.0).tolist() == rows


def test_every_whole_row_is_found_whatever_its_time_is_in_binary():
    labels = moments(np.arange(2000, dtype=np.int16))
    for fps in (25.0, 30.0, 30000 / 1001, 24.0):
        np.testing.assert_array_equal(labels.at(np.arange(2000) / fps, fps), np.arange(2000))


def test_where_there_is_no_row_there_is_no_label():
    labels = moments(np.array([0, 1, 2], np.int16), frames=[10, 11, 13])
    times = np.array([9, 10, 11, 12, 13, 14]) / 25
    assert labels.at(times, 25.0).tolist() == [-1, 0, 1, -1, 2, -1]
    assert (labels.end, labels.rows) == (14, 3)
    tools = moments(np.array([[1, 0], [0, 1]], np.int8), frames=[0, 25], group="tools")
    assert tools.at(np.array([0, 0.5, 1]), 25.0).tolist() == [[1, 0], [-1, -1], [0, 1]]
    assert tools.end == 50


def intervals(group="phase", fps=1.0):
    starts, ends = np.array([0.0, 29, 100]), np.array([29.0, 75, np.inf])
    return Intervals(
        Path("file"), group, ("a", "b"), starts, ends, np.array([0, 1, 0], np.int16), fps
    )


def test_an_interval_begins_with_its_start_and_ends_before_its_end():
    """1.16 s at 25 a second is frame 29, though the product of the floats is less."""
    times = np.array([0, 1.12, 1.16, 2.96, 3, 3.96, 4, 1e6])
    assert 1.16 * 25 < 29
    assert intervals().at(times, 25.0).tolist() == [0, 0, 1, 1, -1, -1, 0, 0]
    both = intervals("tools").at(times, 25.0)
    assert both[:, 0].tolist() == [1, 1, 0, 0, 0, 0, 1, 1]
    assert both[:, 1].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert intervals().at(np.array([-1.0]), 25.0).tolist() == [-1]
    assert (intervals().end, intervals().rows) == (100, 3)


def test_a_track_becomes_intervals_in_order_of_time():
    """Rows of one time stay as they come; what ends where it starts is said."""
    audit = Audit()
    rows = [(4, 6, "c"), (0, 2, "b"), (0, 2, "a"), (3, 3, "d"), (6, 7, "?"), (8, 9, " a ")]
    labels = track_intervals(Path("file"), "tools", rows, audit, fps=25.0, likely_fps=None)
    assert (labels.file, labels.group, labels.names) == (Path("file"), "tools", ("b", "a", "c"))
    assert (labels.fps, labels.likely_fps, labels.lines) == (25.0, None, (1, 1, 1))
    assert labels.starts.tolist() == [0, 0, 4, 8]
    assert labels.ends.tolist() == [2, 2, 6, 9]
    assert labels.values.tolist() == [0, 1, 2, 1]
    kinds = labels.starts.dtype, labels.ends.dtype, labels.values.dtype
    assert kinds == (np.float64, np.float64, np.int16)
    assert audit.problems == ["file: tools: 'd' from 3 to 3; expected an end after the start"]
    assert len(audit.remarks) == 1
    assert track_intervals(Path("file"), "tools", rows[3:5], Audit()) is None
