"""Random reads against decoding from the beginning, pixel for pixel."""

import contextlib
import shutil

import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from data.video.clock import read_clock
from data.video.clocks import read_timings
from data.video.decoding import read_frames
from data.video.seeking import VideoReader
from tests.support.encoded_videos import encode
from tests.support.places import ROOT
from tests.support.small_videos import hide_beginning, read_number, set_timing, write_video

# 300 frames of `draw_number` at 25 fps, written by ffmpeg, since OpenCV has no H.264 encoder:
# -c:v libx264 -g 250 -keyint_min 250 -sc_threshold 0 -bf 3 -b_strategy 0 -preset veryslow -crf 26
H264 = ROOT / "tests" / "golden" / "h264_long_gop.mp4"


def make(kind, folder):
    if kind == "h264":
        return H264
    if kind in ("mpeg-4", "varying rate", "hidden beginning"):
        path = write_video(folder / "video.mp4", frames=100)
    elif kind == "mpeg-2 with B-frames":
        path = write_video(folder / "video.mpg", frames=100, codec="mpg2")
    else:
        path = write_video(folder / "video.avi", frames=100, codec="XVID")
    if kind == "varying rate":
        set_timing(path, [(50, 0.5), (50, 1.5)])
    if kind == "hidden beginning":
        hide_beginning(path, 5)
    return path


def decode_all(path):
    """All frames as OpenCV has them."""
    capture, images = cv2.VideoCapture(str(path)), []
    while capture.grab():
        images.append(cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB))
    return images


def timing(path):
    """The frames' time stamps."""
    clock = read_clock(path)
    return clock.first + clock.times


KINDS = ("h264", "mpeg-4", "mpeg-2 with B-frames", "xvid in avi", "varying rate")


@pytest.mark.parametrize("kind", [*KINDS, "hidden beginning"])
def test_every_frame_is_the_one_that_decoding_in_order_yields(kind, tmp_path):
    path = make(kind, tmp_path)
    images, times = decode_all(path), timing(path)
    assert len(images) == len(times)
    reader = VideoReader(path)
    order = np.random.default_rng(0).permutation(len(images))[:120].tolist()
    for number in (*order, len(images) - 1, 0, 1):
        np.testing.assert_array_equal(reader.read(number, times[number]), images[number])


@pytest.mark.parametrize("kind", [*KINDS, "hidden beginning"])
def test_reading_on_from_anywhere(kind, tmp_path):
    path = make(kind, tmp_path)
    images, times = decode_all(path), timing(path)
    for start, step in ((0, 7), (41, 10), (90, 1)):
        numbers = list(range(start, len(images), step))
        found = list(VideoReader(path).read_on(numbers, times[numbers].tolist()))
        np.testing.assert_array_equal(found, [images[number] for number in numbers])


def test_reading_on_past_the_end(tmp_path):
    reader = VideoReader(write_video(tmp_path / "video.mp4", frames=30))
    *found, none = reader.read_on([28, 29, 30], [1.12, 1.16, 1.2])
    assert [read_number(image) for image in found] == [28, 29]
    assert "no frame can be read after 30" in str(none)


def test_the_h264_file_is_a_hard_one():
    """Frames of one group refer to later ones, and reading them costs a seek over many."""
    capture, kinds = cv2.VideoCapture(str(H264)), ""
    while capture.grab():
        kinds += chr(int(capture.get(cv2.CAP_PROP_FRAME_TYPE)))
    assert kinds.index("I", 1) == 250
    assert kinds.count("B") > 150


def test_a_seek_alone_would_be_wrong(tmp_path):
    """What the reader is for: with a varying rate, OpenCV's seek yields other frames."""
    path = make("varying rate", tmp_path)
    capture, wrong = cv2.VideoCapture(str(path)), 0
    for number in range(50, 60):
        capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        found, image = capture.read()
        wrong += not found or read_number(image) != number
    assert wrong


def test_frames_are_counted_where_times_do_not_tell(tmp_path):
    """A time that no frame has, as from time stamps that are useless."""
    path = write_video(tmp_path / "video.mp4", frames=30)
    assert read_number(VideoReader(path).read(17, 17.013)) == 17


def test_a_frame_that_is_not_there(tmp_path):
    path = write_video(tmp_path / "video.mp4", frames=30)
    with pytest.raises(InputError, match=r"video\.mp4: no frame can be read after 30"):
        VideoReader(path).read(30, 30 / 25)


@pytest.mark.parametrize("fps", [1.0, 2.0])
def test_timings_are_those_of_extraction(tmp_path, fps):
    path = make("varying rate", tmp_path)
    ((numbers, seconds, first),) = read_timings(
        {"op": path}, fps, tmp_path / ".timings.npz"
    ).values()
    reader = VideoReader(path)
    extracted = [image for _, image in read_frames(path, fps)]
    assert len(numbers) == len(extracted) == 4 * fps
    for number, second, image in zip(numbers, seconds, extracted, strict=True):
        np.testing.assert_array_equal(reader.read(int(number), first + second), image)


def test_what_is_no_video_is_named_and_left_out(tmp_path, caplog):
    good = write_video(tmp_path / "good.mp4", frames=60)
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    videos = {"bad": tmp_path / "bad.mp4", "good": good}
    timings = read_timings(videos, 1.0, tmp_path / ".timings.npz")
    assert "not used" in caplog.text
    assert "bad.mp4" in caplog.text
    assert {name: n.tolist() for name, (n, *_) in timings.items()} == {"good": [0, 25, 50]}


def test_a_video_that_is_cut_off_is_used_as_far_as_it_goes(tmp_path, caplog):
    whole = write_video(tmp_path / "whole.avi", frames=300, codec="XVID")
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    ((numbers, *_),) = read_timings({"cut": cut}, 1.0, tmp_path / ".timings.npz").values()
    assert 2 < len(numbers) < 10
    assert "used as far as it goes" in caplog.text


def test_timings_are_kept_until_a_video_changes(tmp_path):
    path = write_video(tmp_path / "video.mp4", frames=60)
    cache = tmp_path / ".timings.npz"
    first = read_timings({"op": path}, 1.0, cache)
    state = cache.stat().st_mtime_ns
    again = read_timings({"op": path}, 1.0, cache)
    assert cache.stat().st_mtime_ns == state
    for kept, read in zip(again["op"], first["op"], strict=True):
        np.testing.assert_array_equal(kept, read)
    shutil.copy(write_video(tmp_path / "longer.mp4", frames=90), path)
    assert len(read_timings({"op": path}, 1.0, cache)["op"][0]) == 4


def test_an_avi_file_without_its_index_is_read_from_a_key_frame(tmp_path):
    """FFmpeg takes many of its packets for key frames."""
    path = encode(tmp_path / "op.avi", "msmpeg4", 100, g="100", sc_threshold="1000000000")
    path.write_bytes(path.read_bytes()[: int(0.9 * path.stat().st_size)])
    wanted = [image for _, image in read_frames_of(path)]
    assert len(wanted) > 80
    reader = VideoReader(path)
    for number in (30, 70, 50, 20):
        np.testing.assert_array_equal(reader.read(number, number / 25), wanted[number])
    reader.close()


def read_frames_of(path):
    """All frames that can be read, the last one may be cut off."""
    with contextlib.suppress(InputError):
        yield from read_frames(path, 25)
