"""The numbers of frames in real H.264 streams."""

import av
import numpy as np
import pytest

from data.video.files.frame_numbers import FrameNumbers
from data.video.files.opening import VideoFile
from tests.support.encoded_videos import encode, moving_square
from tests.support.field_coded import encode_fields

SETTINGS = (
    {"profile": "baseline"},
    {"bf": "0"},
    {"bf": "3"},
    {"x264-params": "cqm=jvt:ref=8:b-pyramid=normal:bframes=5"},
)


@pytest.mark.parametrize("name", ["op.ts", "op.mkv"])
@pytest.mark.parametrize("fields", ["", "tff"])
@pytest.mark.parametrize("options", SETTINGS)
def test_packets_follow_one_another_until_one_is_gone(tmp_path, name, fields, options):
    if fields and "profile" in options:
        pytest.skip("the baseline profile has no fields")
    path = encode(
        tmp_path / name,
        frames=60,
        draw=moving_square,
        fields=fields,
        g="250",
        sc_threshold="0",
        **options,
    )
    with VideoFile(path) as file:
        extradata = bytes(file.stream.codec_context.extradata or b"")
        packets = [bytes(packet) for packet in file.packets()]
    numbers = FrameNumbers(extradata)
    assert all(numbers.follows(packet) for packet in packets)
    assert numbers.period >= 16
    for gone in (8, 9, 10, 11):
        numbers = FrameNumbers(extradata)
        left = packets[:gone] + packets[gone + 3 :]
        broken = [n for n, packet in enumerate(left) if not numbers.follows(packet)]
        assert broken in ([gone], []) and (broken or options.get("bf") == "3")


@pytest.mark.parametrize("extradata", [b"\1", b"\1\x42\0", b"", bytes(9), b"\0\0\1\0\0\1"])
def test_what_is_damaged_says_nothing(extradata):
    numbers = FrameNumbers(extradata)
    for packet in (b"", b"\0\0\1\0\0\1", b"\0\0\1\0\0\1\x41", b"\0\0\1\x67\0\0\1\x65"):
        assert numbers.follows(packet)
        assert not numbers.completes(packet)
    assert numbers.period == 0 and not numbers.may_have_fields


def test_a_packet_of_both_fields_is_no_second_one(tmp_path):
    """As some recorders write them; and frames may stand among fields."""
    encode_fields(tmp_path / "op.ts", 20, lambda n: np.full((32, 32, 3), 9 * (n % 20), np.uint8))
    with av.open(str(tmp_path / "op_raw.h264")) as source:
        fields = [bytes(packet) for packet in source.demux(video=0) if packet.size]
        extradata = bytes(source.streams.video[0].codec_context.extradata or b"")
    numbers = FrameNumbers(extradata)
    assert numbers.may_have_fields
    assert [numbers.completes(field) for field in fields] == [False, True] * 20
    both = [first + second for first, second in zip(fields[::2], fields[1::2], strict=True)]
    numbers = FrameNumbers(extradata)
    assert not any(numbers.completes(packet) for packet in both)
    numbers = FrameNumbers(extradata)
    lone = [both[0], *fields[2:4], both[2], fields[6], fields[8], fields[9]]
    assert [numbers.completes(p) for p in lone] == [
        *(False, False, True, False, False, False, True)
    ]


def test_what_is_no_h264_follows():
    numbers = FrameNumbers(b"")
    assert numbers.follows(b"") and numbers.follows(bytes(100)) and numbers.follows(b"\0\0\1\x67")
    assert numbers.period == 0
