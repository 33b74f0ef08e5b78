"""Frames whose time stamps are damaged, by a byte or two."""

import av
import numpy as np
import pytest

from data.common.errors import InputError
from data.video.clock import read_clock
from data.video.decoding import decode, say_lost
from data.video.seeking import VideoReader
from tests.data.video.files.test_holes import by_time, draw
from tests.support.encoded_videos import encode

FPS, FRAMES = 25, 250


def damaged(tmp_path, name, bf, changes, packet=60):
    """(a video, the same with bytes of a packet changed); `changes`: {place behind it: bytes}."""
    whole = encode(tmp_path / f"whole_{name}", frames=FRAMES, draw=draw, g="25", bf=bf)
    with av.open(str(whole)) as opened:
        places = [each.pos for each in opened.demux(video=0) if each.size]
    content = bytearray(whole.read_bytes())
    for place, found in changes.items():
        begin = places[packet] + place
        content[begin : begin + len(found)] = found
    (tmp_path / name).write_bytes(content)
    return whole, tmp_path / name


@pytest.mark.parametrize("bf", ["0", "3"])
@pytest.mark.parametrize(
    ("name", "place", "found", "packet"),
    [
        ("op.flv", 4, b"\xff\xff\xff", 60),  # when it is decoded
        ("op.flv", 6, b"\x17", 60),  # a little
        ("op.flv", 13, b"\xff", 60),  # when it is shown: 49 days later
        ("op.flv", 13, b"\xff", FRAMES - 1),
        ("op.flv", 13, b"\0\0\0", 61),
        ("op.mkv", 1, b"\x17", 60),
        ("op.mkv", 1, b"\0\0", 60),
    ],
)
def test_one_damaged_time_stamp_moves_no_other_frame(tmp_path, bf, name, place, found, packet):
    whole, path = damaged(tmp_path, name, bf, {place: found}, packet)
    clock, wanted, lost = read_clock(path), by_time(whole), []
    assert FRAMES - 1 <= len(clock.times) <= FRAMES and clock.times[-1] < FRAMES / FPS
    assert len(clock.source_frames(FPS)) <= FRAMES
    numbers = range(len(clock.times))
    images = dict(decode(clock, zip(numbers, numbers, strict=True), lost=lost))
    assert len(images) >= FRAMES - 4, say_lost(lost)
    reader = VideoReader(path)
    for frame, image in images.items():
        np.testing.assert_array_equal(image, wanted[round(clock.times[frame] * FPS)])
    for frame in (30, 59, 62, 200):
        try:
            image = reader.read(frame, clock.times[frame] + clock.first)[..., ::-1]
            np.testing.assert_array_equal(image, images[frame])
        except InputError:
            assert frame not in images
    reader.close()


def test_what_is_missing_is_named(tmp_path):
    _, path = damaged(tmp_path, "op.flv", "0", {13: b"\xff"})
    clock, lost = read_clock(path), []
    assert len(list(decode(clock, ((n, n) for n in range(FRAMES)), lost=lost))) == FRAMES - 1
    assert "second 2 cannot be read" in say_lost(lost)


def test_a_hole_that_begins_in_a_time_stamp(tmp_path):
    """The packet says then that it is shown when another is."""
    whole = encode(tmp_path / "whole.flv", frames=100, draw=draw, g="25", bf="3", crf="28")
    content, wanted = whole.read_bytes(), by_time(whole)
    with av.open(str(whole)) as opened:
        places = [packet.pos for packet in opened.demux(video=0) if packet.size]
    for begin in places[30:50]:
        begin += 13  # behind type, size, when it is decoded, codec
        path = tmp_path / "op.flv"
        end = int(0.7 * len(content))
        path.write_bytes(content[:begin] + bytes(end - begin) + content[end:])
        clock = read_clock(path)
        for frame, image in decode(clock, ((n, n) for n in range(len(clock.times)))):
            np.testing.assert_array_equal(image, wanted[round(clock.times[frame] * FPS)])
