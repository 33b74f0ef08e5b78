"""Files in which more follows behind the last frame that FFmpeg finds."""

import av
import pytest

from data.common.errors import InputError
from data.video.clock import read_clock
from data.video.decoding import read_frames
from tests.support.encoded_videos import encode, with_sound
from tests.support.small_videos import read_number

FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}


def remuxed(path, target, **options):
    """Copies a video into a container with options of its own."""
    with av.open(str(path)) as source, av.open(str(target), "w", options=options) as opened:
        streams = {s.index: opened.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                opened.mux(packet)
    return target


@pytest.mark.parametrize(
    ("name", "codec"),
    [("op.mp4", "libx264"), ("op.mov", "mjpeg"), ("op.flv", "flv"), ("op.wmv", "wmv2")],
)
def test_a_second_video_that_is_not_read_is_said(tmp_path, name, codec):
    path = encode(tmp_path / name, codec, 50, bf="0")
    content = path.read_bytes()
    read_clock(path).check_end()
    path.write_bytes(content + content)
    with pytest.raises(InputError, match="used as far as it goes, to second 2: another video"):
        read_clock(path).check_end()


@pytest.mark.parametrize("name", ["op.mkv", "op.ts", "op.avi", "op.mpg"])
def test_a_second_video_that_is_read_is_no_fault(tmp_path, name):
    path = encode(tmp_path / name, "mpeg2video" if name == "op.mpg" else "libx264", 50)
    path.write_bytes(path.read_bytes() * 2)
    clock = read_clock(path)
    assert (len(clock.times), clock.rate, clock.seconds) == (100, 25, 4)
    assert [read_number(image) for _, image in read_frames(path)] == [0, 25, 0, 25]


def test_fragments_behind_a_damaged_place_are_said(tmp_path):
    whole = encode(tmp_path / "whole.mp4", g="25", sc_threshold="0")
    path = remuxed(whole, tmp_path / "op.mp4", **FRAGMENTED)
    clock, content = read_clock(path), path.read_bytes()
    assert len(clock.times) == 100
    clock.check_end()
    begin = content.index(b"moof", content.index(b"moof", content.index(b"moof") + 1) + 1)
    path.write_bytes(content[: begin - 4] + bytes(100) + content[begin + 96 :])
    clock = read_clock(path)
    assert len(clock.times) == 50
    with pytest.raises(InputError, match="used as far as it goes, to second 2: damaged there"):
        clock.check_end()


@pytest.mark.parametrize("movflags", ["faststart", *FRAGMENTED.values()])
def test_sound_behind_the_last_frame_is_nothing_to_say(tmp_path, movflags):
    path = with_sound(encode(tmp_path / "pictures.mp4"), tmp_path / "whole.mp4", seconds=10)
    clock = read_clock(remuxed(path, tmp_path / "op.mp4", movflags=movflags))
    assert not clock.behind
    clock.check_end()
