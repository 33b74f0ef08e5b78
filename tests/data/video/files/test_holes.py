"""Frames that are missing in the midst of a file: lost, or never there."""

from fractions import Fraction

import av
import numpy as np
import pytest

from data.common.errors import InputError
from data.video import seeking
from data.video.clock import read_clock
from data.video.decoding import decode, say_lost
from data.video.files.holes import LOST
from data.video.seeking import VideoReader
from tests.support.encoded_videos import encode, with_sound, without

FPS = 25


def draw(number):
    """A picture of which every frame keeps most, and changes some."""
    image = np.random.default_rng(0).integers(0, 80, (48, 64, 3), np.uint8)
    left = number * 5 % 48
    image[10:40, left : left + 16] += np.uint8(100)
    image[10 + number % 30, :] = 255 - number
    return image


def by_time(path):
    clock = read_clock(path)
    decoded = decode(clock, ((n, n) for n in range(len(clock.times))))
    return {round(clock.times[n] * FPS): image for n, image in decoded}


def check(path, whole):
    """Reads all frames of a video in order, and every third alone: {frame: image}, what is said.

    Each frame is the very one that the whole video has at that time.
    """
    clock, lost = read_clock(path), []
    frames = range(len(clock.times))
    images = dict(decode(clock, zip(frames, frames, strict=True), lost=lost))
    wanted = by_time(whole)
    for frame, image in images.items():
        np.testing.assert_array_equal(image, wanted[round(clock.times[frame] * FPS)])
    reader = VideoReader(path)
    for frame in frames[::3]:
        try:
            image = reader.read(frame, clock.times[frame] + clock.first)[..., ::-1]
            np.testing.assert_array_equal(image, images[frame])
        except InputError:
            assert frame not in images
    reader.close()
    return images, say_lost(lost)


@pytest.mark.parametrize("hole", [(1, 1.6), (1, 1.64), (0.96, 1)])
@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("op.ts", "libx264", {"bf": "0"}),
        ("op.ts", "libx264", {}),
        ("op.mkv", "libx264", {}),
        ("op.mkv", "libx264", {"bf": "0", "profile": "baseline"}),
        ("op.mp4", "libx264", {}),
        ("op.flv", "libx264", {"bf": "0"}),
        ("op.ts", "mpeg2video", {"bf": "2"}),
        ("op.mkv", "mpeg4", {}),
        ("op.mkv", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
    ],
)
def test_no_frame_is_made_of_others_than_its_own(tmp_path, name, codec, options, hole):
    """Packets of less than a second are gone, in the midst of 100 that need one another."""
    whole = encode(tmp_path / f"whole_{name}", codec, 200, draw=draw, g="100", **options)
    path = without(whole, tmp_path / name, *hole)
    images, said = check(path, whole)
    assert len(read_clock(path).times) == 200, "the missing are counted"
    assert {*range(15), *range(100, 200)} <= set(images)
    assert said.endswith("cannot be read, all else is used")


def encode_at(path, stamps, codec="libx264", unit=Fraction(1, 1000), **options):
    """Writes pictures that are shown at `stamps`, as a recorder that leaves some out does."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options={"g": "100", **options})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = unit
        for number, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(draw(number), format="bgr24")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = round(stamp / unit), unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def skipping():
    """40 ms a frame, three times more: an encoder that did not keep up."""
    return np.cumsum([0.04 + 0.2 * (n in (30, 60, 130)) for n in range(150)])


def jittery():
    """As a phone in the dark, or a screen that seldom changes: 20 to 120 ms."""
    return np.cumsum(np.random.default_rng(0).choice([0.02, 0.04, 0.04, 0.12], 150))


@pytest.mark.parametrize("times", [skipping, jittery])
@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "3"}])
@pytest.mark.parametrize("name", ["op.mkv", "op.mp4", "op.flv", "op.ts"])
def test_frames_that_were_never_there_are_no_hole(tmp_path, name, options, times):
    path, lost = encode_at(tmp_path / name, times(), **options), []
    clock = read_clock(path)
    assert len(clock.times) == 150 and LOST not in clock.places
    assert len(list(decode(clock, ((n, n) for n in range(150)), lost=lost))) == 150
    assert not lost


@pytest.mark.parametrize("codec", ["mpeg4", "libvpx"])
def test_of_a_rate_that_varies_nothing_is_concluded(tmp_path, codec):
    clock = read_clock(encode_at(tmp_path / "op.mkv", jittery(), codec, bf="0"))
    assert len(clock.times) == 150 and LOST not in clock.places


@pytest.mark.parametrize("name", ["op.mkv", "op.ts", "op.mp4"])
def test_less_than_a_frame_a_second_is_no_row_of_holes(tmp_path, name, monkeypatch):
    path = encode_at(tmp_path / name, 3 * np.arange(30), bf="0", g="5")
    clock = read_clock(path)
    assert len(clock.times) == 30 and LOST not in clock.places
    images = dict(decode(clock, ((n, n) for n in range(30))))
    reader = VideoReader(path)
    monkeypatch.setattr(reader, "_count", lambda numbers: pytest.fail("all packets are read"))
    for frame in (7, 3, 29, 12):
        found = reader.read(frame, clock.times[frame] + clock.first)
        np.testing.assert_array_equal(found[..., ::-1], images[frame])
    reader.close()


@pytest.mark.parametrize("seconds", [1, 2, 5])
@pytest.mark.parametrize(
    ("name", "codec"),
    [("op.mkv", "libx264"), ("op.mkv", "libx265"), ("op.flv", "libx264"), ("op.mov", "mpeg4")],
)
def test_frames_in_another_order_at_a_frame_in_seconds_are_no_jump(tmp_path, name, codec, seconds):
    """As of videos that were reduced to a frame a second: B frames are seconds away."""
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = encode_at(tmp_path / name, seconds * np.arange(40), codec, bf="3", **options)
    clock = read_clock(path)
    np.testing.assert_allclose(clock.times, seconds * np.arange(40))
    assert clock.starts == (0,) and LOST not in clock.places
    clock.check_end()
    lost = []
    assert len(list(decode(clock, ((n, n) for n in range(40)), lost=lost))) == 40
    assert not lost


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        *[(f"op.{kind}", "libx264", {"bf": "3"}) for kind in ("mkv", "ts", "flv", "mp4")],
        *[(f"op.{kind}", "libx264", {"bf": "0"}) for kind in ("mkv", "ts")],
        *(("op.webm", "libvpx", {}), ("op.wmv", "wmv2", {}), ("op.mkv", "mpeg4", {})),
    ],
)
def test_a_last_picture_that_is_shown_for_long_is_no_hole(tmp_path, name, codec, options):
    """It is shown until its copy, which is the last frame, ten seconds later."""
    stamps = np.arange(100) / FPS + 10 * (np.arange(100) == 99)
    clock = read_clock(encode_at(tmp_path / name, stamps, codec, **options))
    assert len(clock.times) == 100 and LOST not in clock.places
    if len(clock.starts) == 1:  # else its clock goes on there, and that is said
        assert clock.times[-1] == pytest.approx(13.96, abs=0.01)
        assert len(clock.source_frames(1)) == 14
    lost = []
    assert len(list(decode(clock, ((n, n) for n in range(100)), lost=lost))) == 100
    assert not lost


@pytest.mark.parametrize("sound_codec", ["aac", "libmp3lame"])
@pytest.mark.parametrize(
    ("name", "codec"),
    [("op.mkv", "libx264"), ("op.flv", "flv"), ("op.flv", "libx264"), ("op.avi", "mpeg4")],
)
def test_seconds_without_frames_have_none_beside_a_sound_track(tmp_path, name, codec, sound_codec):
    if (name, sound_codec) == ("op.avi", "aac"):
        pytest.skip("FFmpeg writes no AAC into AVI")
    pictures = encode(tmp_path / f"pictures_{name}", codec, 200, draw=draw, g="25", bf="0")
    whole, path = with_sound(pictures, tmp_path / f"whole_{name}", sound_codec), tmp_path / name
    content = bytearray(whole.read_bytes())
    begin, end = int(0.4 * len(content)), int(0.7 * len(content))
    content[begin:end] = np.random.default_rng(0).bytes(end - begin)
    path.write_bytes(content)
    images, said = check(path, whole)
    assert {*range(50), *range(175, 200)} <= set(images)
    assert not set(range(90, 130)) & set(images)
    assert said.endswith("cannot be read, all else is used")


@pytest.mark.parametrize("name", ["op.mkv", "op.flv"])
def test_a_picture_that_is_shown_for_long_beside_sound_is_no_hole(tmp_path, name):
    stamps = np.arange(100) / FPS + 4 * (np.arange(100) >= 50)
    path = with_sound(encode_at(tmp_path / f"as_{name}", stamps, bf="0"), tmp_path / name)
    clock = read_clock(path)
    assert len(clock.times) == 100 and LOST not in clock.places


@pytest.mark.parametrize("name", ["op.flv", "op.mkv"])
def test_where_a_hole_begins_within_a_frame_that_frame_is_lost(tmp_path, name):
    whole = encode(tmp_path / f"whole_{name}", frames=100, draw=draw, g="25")
    content, wanted = whole.read_bytes(), by_time(whole)
    for share in np.linspace(0.4, 0.44, 12):
        path = tmp_path / name
        begin, end = int(share * len(content)), int(0.6 * len(content))
        path.write_bytes(content[:begin] + bytes(end - begin) + content[end:])
        clock = read_clock(path)
        for frame, image in decode(clock, ((n, n) for n in range(len(clock.times)))):
            np.testing.assert_array_equal(image, wanted[round(clock.times[frame] * FPS)])


def test_the_clock_of_a_rate_that_varies_is_read_once_for_all_readers(tmp_path, monkeypatch):
    path = encode_at(tmp_path / "op.mkv", jittery(), bf="0", g="50")
    clock, calls = read_clock(path), []
    monkeypatch.setattr(
        seeking, "read_clock", lambda video: calls.append(video) or read_clock(video)
    )
    for frame in (20, 70, 120, 149):
        reader = VideoReader(path)
        reader.read(frame, clock.times[frame] + clock.first)
        reader.close()
    assert calls == [path]
