import pytest

from down_stream.report.wording import clock


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
