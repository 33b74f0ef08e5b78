"""Files that end before they say."""

import numpy as np
import pytest

from data.common.errors import InputError
from data.video.clock import estimate_seconds, read_clock
from tests.support.encoded_videos import encode, with_sound
from tests.support.small_videos import draw_number


def noisy(number):
    noise = np.random.default_rng(number).integers(0, 40, (48, 96, 3), np.uint8)
    return draw_number(number) // 5 * 4 + noise


@pytest.mark.parametrize("has_sound", [False, True])
@pytest.mark.parametrize("filling", ["noise", "nothing"])
def test_a_matroska_file_whose_tail_is_noise_is_used_as_far_as_it_goes(
    tmp_path, has_sound, filling
):
    path = encode(tmp_path / "pictures.mkv", frames=250, draw=noisy, g="25")
    if has_sound:
        path = with_sound(path, tmp_path / "op.mkv")
    read_clock(path).check_end()
    content = bytearray(path.read_bytes())
    begin = int(0.6 * len(content))
    noise = np.random.default_rng(0).bytes(len(content) - begin)
    content[begin:] = noise if filling == "noise" else bytes(len(noise))
    path.write_bytes(content)
    clock = read_clock(path)
    assert 100 < len(clock.times) < 200
    with pytest.raises(InputError, match=r"cut off, used as far as it goes, to second [4-7] of 10"):
        clock.check_end()


def test_a_matroska_file_whose_pictures_end_before_its_sound_is_whole(tmp_path):
    path = encode(tmp_path / "pictures.mkv", frames=100, draw=noisy, g="25")
    clock = read_clock(with_sound(path, tmp_path / "op.mkv", seconds=20))
    assert len(clock.times) == 100
    clock.check_end()


@pytest.mark.parametrize("has_sound", [False, True])
def test_a_wmv_file_that_is_cut_off_is_used_as_far_as_it_goes(tmp_path, has_sound):
    path = encode(tmp_path / "pictures.wmv", frames=250, draw=noisy, codec="wmv2", g="25")
    if has_sound:
        path = with_sound(path, tmp_path / "op.wmv")
    assert estimate_seconds(path) == pytest.approx(10, abs=0.2)
    read_clock(path).check_end()
    content = path.read_bytes()
    path.write_bytes(content[: int(0.6 * len(content))])
    with pytest.raises(InputError, match=r"cut off, used as far as it goes, to second [4-7] of 10"):
        read_clock(path).check_end()
    path.write_bytes(content + bytes(len(content) // 10))  # longer than it says: all is there
    read_clock(path).check_end()
