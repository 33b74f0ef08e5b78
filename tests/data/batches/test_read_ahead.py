import os
import threading
import time

import numpy as np
import pytest

from data.batches.read_ahead import InputFrame, Unreadable, read_ahead
from data.common.errors import InputError
from data.frames.frames import Frames
from data.images.image_io import frame_to_input


class Noise(Frames):
    """Frames of noise; every seventh is unreadable; some pieces take longer than others."""

    def __init__(self, length, fail_at=None):
        super().__init__(["op"], np.zeros(length))
        self.fail_at, self.read_rows, self.threads = fail_at, 0, set()

    def paths(self, rows):
        return [f"frame {row}" for row in rows]

    def seconds(self, rows):
        return np.arange(len(self), dtype=float)[rows]

    def read(self, row):
        return picture(row)

    def read_in_order(self, rows):
        self.threads.add(threading.get_ident())
        time.sleep(0.002 * (rows.start // 8 % 3))
        for row in rows:
            if row == self.fail_at:
                raise RuntimeError("a mistake in the program")
            self.read_rows += 1
            yield InputError(f"frame {row}: bad") if row % 7 == 3 else picture(row)


def picture(row):
    return np.random.default_rng(row).integers(0, 255, (6, 9 + row % 3, 3), np.uint8)


@pytest.mark.parametrize("start", [0, 13])
def test_all_frames_in_order_as_an_encoder_takes_them(start):
    frames = Noise(100)
    items = list(read_ahead(frames, 4, ahead=32, start=start))
    assert [item.row for item in items] == list(range(start, 100))
    for item in items:
        if item.row % 7 == 3:
            assert item == Unreadable(item.row, f"frame {item.row}: bad")
        else:
            assert isinstance(item, InputFrame)
            np.testing.assert_array_equal(item.image, frame_to_input(picture(item.row), 4))
            assert item.aspect == (9 + item.row % 3) / 6


def test_no_more_is_read_ahead_than_was_asked_for():
    frames = Noise(1000)
    items = read_ahead(frames, 4, ahead=32)
    next(items)
    time.sleep(0.2)
    assert 24 <= frames.read_rows <= max(32, 8 * os.cpu_count()) + 8
    items.close()
    before = frames.read_rows
    time.sleep(0.1)
    assert frames.read_rows == before


def test_a_mistake_in_a_thread_is_raised():
    with pytest.raises(RuntimeError, match="a mistake"):
        list(read_ahead(Noise(100, fail_at=50), 4, ahead=32))


class Long(Noise):
    """One piece, as of a video, that takes a second or more."""

    def read_in_order(self, rows):
        for row in rows:
            time.sleep(0.001)
            self.read_rows += 1
            yield picture(row)

    def pieces(self, start=0, stop=None):
        yield range(start, len(self))


def test_a_long_piece_is_given_up():
    frames = Long(1000)
    items = read_ahead(frames, 4, ahead=32)
    assert next(items).row == 0
    items.close()
    assert frames.read_rows < 500
