"""Timestamps of real videos. What is extracted by them is tested in test_extraction.py."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from data.common.errors import InputError
from data.video.clock import Clock, estimate_seconds, read_clock
from tests.support.small_videos import hide_beginning, set_timing, write_video


@pytest.mark.parametrize(("fps", "rate"), [(25, Fraction(25)), (29.97, Fraction(2997, 100))])
def test_a_constant_rate_is_found_exactly(tmp_path, fps, rate):
    clock = read_clock(write_video(tmp_path / "op.mp4", fps, 60))
    assert clock.rate == rate
    np.testing.assert_allclose(clock.times, np.arange(60) / fps, atol=1e-6)
    assert clock.promised == pytest.approx(60 / fps, abs=0.01)


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(5, 2), Fraction(30000, 1001)])
@pytest.mark.parametrize("fps", [1, 2, 0.5])
def test_hours_of_a_constant_rate_drift_by_nothing(rate, fps):
    frames = 200_001
    taken = Clock(Path("op.mp4"), np.arange(frames) / float(rate), rate, 0).source_frames(fps)
    step = rate / Fraction(fps)
    for n in (0, 1, 2, 3, len(taken) // 2, len(taken) - 1):
        assert taken[n] == (n * step + Fraction(1, 2)).__floor__(), "the nearest, halves up"
    assert taken[-1] < frames and taken.dtype == np.int64
    assert (len(taken) * step + Fraction(1, 2)).__floor__() >= frames, "none is left at the end"


@pytest.mark.parametrize("frames", [1, 2, 12, 13, 14, 26, 38])
def test_the_last_frame_taken_is_one_of_the_video(frames):
    """At 2 a second of 25, every other one falls between two frames: 12.5 is frame 13."""
    taken = Clock(Path("op.mp4"), np.arange(frames) / 25, Fraction(25), 0).source_frames(2)
    assert taken.tolist() == [n for n in (0, 13, 25, 38) if n < frames]


def test_a_rate_that_varies_is_none_and_the_nearest_frames_are_taken(tmp_path):
    video = write_video(tmp_path / "op.mp4", 25, 12)
    set_timing(video, [(8, 0.5), (4, 2.0)])  # every 0.02 s, then every 0.08 s
    clock = read_clock(video)
    assert clock.rate is None
    expected = [*(0.02 * np.arange(8)), *(0.16 + 0.08 * np.arange(4))]
    np.testing.assert_allclose(clock.times, expected, atol=1e-6)
    # 0, 0.1, 0.2, 0.3, 0.4 s: 0.2 is between 0.16 and 0.24, the later of which is taken.
    assert clock.source_frames(10).tolist() == [0, 5, 9, 10, 11]
    assert len(clock.source_frames(50)) == 21, "none after the last frame, at 0.4 s"


def test_the_last_frame_of_a_rate_that_varies_is_shown_as_long_as_most():
    times = np.array([0.0, 0.06, 0.12, 0.18, 0.975])
    assert Clock(Path("op.mp4"), times, None, 0).source_frames(1).tolist() == [0, 4], "to 1.005"
    assert Clock(Path("op.mp4"), times - 0.01 * (times > 0.9), None, 0).source_frames(1).size == 1


def test_a_jump_behind_the_last_frame_is_none():
    """As in what is left of a file without its head, most of which no packet claims."""
    places = np.arange(10)
    clock = Clock(Path("op.mp4"), places / 25, Fraction(25), 0, places, starts=(0, 12))
    assert clock.jumps() == ""


def test_hidden_frames_have_no_time(tmp_path):
    video = write_video(tmp_path / "op.mp4", 25, 80)
    hide_beginning(video, 6)
    clock = read_clock(video)
    assert (len(clock.times), clock.times[0], clock.rate) == (74, 0, 25)
    assert clock.promised == pytest.approx(74 / 25)


def test_a_file_that_was_cut_off_is_told_from_one_whose_sound_is_longer(tmp_path):
    video = write_video(tmp_path / "op.avi", 25, 200, "MJPG")
    read_clock(video).check_end()
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    cut = read_clock(video)
    assert 80 < len(cut.times) < 120
    assert estimate_seconds(video) == cut.promised == 8, "its header does not know"
    with pytest.raises(InputError, match=r"op\.avi: cut off, used .*, to second 4 of 8"):
        cut.check_end()
    Clock(video, np.arange(200) / 25, Fraction(25), promised=9.5).check_end()
    Clock(video, np.arange(200) / 25, Fraction(25), promised=0).check_end()


def write_with_sound(video, codec, sound_codec, sound_begins):
    """Four seconds of pictures at 25 a second, and fourteen of sound from a second on."""
    with av.open(str(video), "w") as container:
        pictures = container.add_stream(codec, rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream(sound_codec, rate=44100, layout="mono", bit_rate=64_000)
        for second in range(14 + sound_begins):
            for number in range(25 * second, min(100, 25 * second + 25)):
                image = np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)
                frame = av.VideoFrame.from_ndarray(image).reformat(format="yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(pictures.encode(frame))
            if second >= sound_begins:
                noise = np.random.default_rng(second).normal(0, 0.1, (1, 44100)).astype("float32")
                frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
                frame.sample_rate, frame.pts = 44100, 44100 * second
                container.mux(sound.encode(frame))
        container.mux(pictures.encode(None))
        container.mux(sound.encode(None))


@pytest.mark.parametrize(
    "name, codec, sound_codec", [("op.flv", "flv", "aac"), ("op.wmv", "wmv2", "wmav2")]
)
@pytest.mark.parametrize("sound_begins", [0, 4])
def test_sound_that_goes_on_is_no_end_cut_off(tmp_path, name, codec, sound_codec, sound_begins):
    """The headers of these files say how long the longest track is."""
    video = tmp_path / name
    write_with_sound(video, codec, sound_codec, sound_begins)
    clock = read_clock(video)
    clock.check_end()
    assert len(clock.times) == 100
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    if codec == "flv":  # a .wmv that was cut off does not know its length
        with pytest.raises(InputError, match="cut off"):
            read_clock(video).check_end()


def test_what_is_no_video_is_refused_by_name(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    write_video(tmp_path / "empty.avi", 25, 0, "MJPG")
    for name, message in (
        ("absent.mp4", "no such video"),
        ("text.mp4", "8 bytes that are not a video"),
        ("empty.avi", "holds no frames"),
    ):
        with pytest.raises(InputError, match=rf"{name}: {message}"):
            read_clock(tmp_path / name)
        assert estimate_seconds(tmp_path / name) == 0


def test_the_picture_of_a_sound_recording_is_no_video(tmp_path):
    path = tmp_path / "dictated.mp4"
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mjpeg", rate=25)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuvj420p"
        picture.disposition = Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="bgr24")
        container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
    with pytest.raises(InputError, match="holds no frames"):
        read_clock(path)
