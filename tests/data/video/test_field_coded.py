"""H.264 whose pictures are fields, each in a packet of its own: two of them are a frame."""

import numpy as np
import pytest

from data.video.clock import read_clock
from data.video.decoding import decode, say_lost
from data.video.files.holes import LOST
from data.video.files.opening import VideoFile
from data.video.seeking import VideoReader
from tests.support.encoded_videos import without
from tests.support.field_coded import encode_fields
from tests.support.small_videos import read_number

CONTAINERS = ["op.ts", "op.mkv", "op.mp4", "op.avi"]


def draw(number):
    """What `read_number` reads in a picture of whole blocks."""
    image = np.full((96, 192, 3), 60, np.uint8)
    for bit in range(12):
        if number >> bit & 1:
            row, column = 8 + 44 * (bit // 6), 4 + 32 * (bit % 6)
            image[row : row + 36, column : column + 24] = 220
    return image


def read_all(path):
    clock, lost = read_clock(path), []
    frames = range(len(clock.times))
    return clock, dict(decode(clock, zip(frames, frames, strict=True), lost=lost)), say_lost(lost)


@pytest.mark.parametrize("fields", ["tff", "bff"])
@pytest.mark.parametrize("name", [*CONTAINERS, "op_raw.h264"])
def test_two_fields_are_a_frame(tmp_path, name, fields):
    made = encode_fields(tmp_path / ("op.ts" if "raw" in name else name), 100, draw, fields)
    path = made.with_name(name)
    clock, images, said = read_all(path)
    assert (len(clock.times), clock.rate, clock.seconds, said) == (100, 25, 4, "")
    assert {n: read_number(image) for n, image in images.items()} == {n: 2 * n for n in range(100)}
    reader = VideoReader(path)
    for number in (70, 3, 25, 99):
        image = reader.read(number, clock.first + clock.times[number])
        assert read_number(image) in (2 * number, 2 * number + 1)
    reader.close()


@pytest.mark.parametrize("name", CONTAINERS[:3])
def test_frames_behind_a_hole_are_lost_up_to_the_next_key_frame(tmp_path, name):
    path = without(encode_fields(tmp_path / f"as_{name}", 100, draw), tmp_path / name, 2.19, 2.59)
    clock, images, said = read_all(path)
    assert len(clock.times) == 100
    assert (clock.places == LOST).sum() == 100 - len(images) == 20
    assert said == "second 2 cannot be read, all else is used"
    for number, image in images.items():
        assert read_number(image) == 2 * number


def test_frames_of_damaged_packets_are_no_copies_of_the_one_before(tmp_path):
    """The transport stream's counter tells; the decoder says nothing, and hands nothing out."""
    path = encode_fields(tmp_path / "op.ts", 100, draw)
    with VideoFile(path) as file:
        places = [packet.pos for packet in file.packets()]
    content, begin = bytearray(path.read_bytes()), places[100]  # of the key frame of second 2
    content[begin : begin + 1880] = np.random.default_rng(0).bytes(1880)
    path.write_bytes(content)
    _, images, said = read_all(path)
    assert {*range(49), *range(75, 100)} <= set(images) and len(images) < 80
    for number, image in images.items():
        assert read_number(image) in (2 * number, 2 * number + 1)
    assert said == "second 2 cannot be read, all else is used"
