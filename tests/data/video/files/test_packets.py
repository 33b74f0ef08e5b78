"""Files joined with `cat`: which time a frame has beside the place where the clock jumps."""

import numpy as np
import pytest

from data.video.clock import read_clock
from tests.support.encoded_videos import encode


def plain(number):
    """A picture of few bytes: a packet of a program stream has many, and one time stamp."""
    return np.full((48, 64, 3), 3 * number, np.uint8)


@pytest.mark.parametrize("codec", ["mpeg1video", "mpeg2video"])
@pytest.mark.parametrize("b_frames", [0, 1, 2])
def test_parts_with_b_frames_go_on_with_a_frame_behind_the_last_one_shown(
    tmp_path, codec, b_frames
):
    """The frame that is shown last comes before its B frames, with a guess of the next clock."""
    lengths = (26, 27, 31)
    for offset in (0, 7, 5000):
        for suffix in ("mpg", "ts"):
            parts = [
                encode(
                    tmp_path / f"{place}.{suffix}",
                    *(codec, length),
                    draw=plain,
                    begin=place * offset,
                    g="12",
                    bf=str(b_frames),
                )
                for place, length in enumerate(lengths)
            ]
            joined = tmp_path / f"joined.{suffix}"
            joined.write_bytes(b"".join(part.read_bytes() for part in parts))
            times = read_clock(joined).times
            expected = np.arange(sum(lengths)) / 25
            np.testing.assert_allclose(times, expected, atol=2e-4, err_msg=f"{suffix} {offset}")
