import pytest

from data.annotation_formats.clock_times import clock
from down_stream.report.wording import points, say_difference, unit_of


@pytest.mark.parametrize(
    "second, text",
    [
        (0, "0:00"),
        (754, "12:34"),
        (3599, "59:59"),
        (3600, "1:00:00"),
        (3725.25, "1:02:05.25"),
        (5.5, "0:05.50"),
        (59.996, "1:00"),  # not 0:60.00
        (3599.999, "1:00:00"),
    ],
)
def test_times_carry_over(second, text):
    assert clock(second) == text


def test_nothing_has_no_sign():
    assert [points(value) for value in (0.0123, -0.0123, 0.0004, -0.0004, 0.0, -0.0)] == [
        *("+1.2", "-1.2", "0.0", "0.0", "0.0", "0.0")
    ]
    assert points(-0.0004, "") == "0.0"


@pytest.mark.parametrize(
    ("difference", "interval", "text"),
    [
        (0.0123, (-0.0004, 0.02), "+1.2 [0.0, +2.0]"),
        (0.0, (-0.0, 0.0), "equal"),
        (0.0, (-0.01, 0.02), "0.0 [-1.0, +2.0]"),
        (-0.02, None, "-2.0"),
    ],
)
def test_what_is_equal_is_called_so(difference, interval, text):
    assert say_difference(difference, interval) == text


def test_frames_come_in_what_the_task_says_and_of_images_in_sequences():
    assert unit_of({"task": "polyp sizes", "unit": "sequence"}) == "sequence"
    assert unit_of({"task": "classes"}) == "sequence"  # of an earlier version
    assert unit_of({"task": "tools"}) == "video"
