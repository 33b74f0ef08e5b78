"""What is written as a time is read as that time."""

import numpy as np
import pytest

from data.annotation_formats.clock_times import clock, parse_times


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0:00:00.000"), (59.9996, "0:01:00.000"), (754.04, "0:12:34.040")],
)
def test_a_full_time_has_hours_and_decimals(seconds, text):
    assert clock(seconds, 3, is_full=True) == text


def test_times_are_read_as_they_were_written():
    seconds = [0.0, 0.04, 59.96, 60.0, 3599.999, 3600.0, 36000.52]
    full = [clock(second, 3, is_full=True) for second in seconds]
    assert parse_times(full, decimal_comma=False)[1]
    np.testing.assert_allclose(parse_times(full, decimal_comma=False)[0], seconds, atol=1e-9)
    short = [clock(round(second, 2)) for second in seconds]
    np.testing.assert_allclose(parse_times(short, decimal_comma=False)[0], seconds, atol=0.01)
