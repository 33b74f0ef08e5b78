from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.frame_index import load_index
from data.frames.image_frames import ImageFrames
from data.frames.opening import open_source
from data.frames.video_frames import VideoFrames
from data.images.image_io import read_image
from data.video.clocks import read_timings
from tests.support.small_records import write_records
from tests.support.small_videos import read_number, write_video


@pytest.fixture(scope="module")
def index(small_dataset):
    return load_index(small_dataset)


@pytest.fixture
def videos(tmp_path):
    """Six videos of 50, 60, ... 100 frames, 25 a second."""
    files = {f"op{n}": write_video(tmp_path / f"op{n}.mp4", frames=50 + 10 * n) for n in range(6)}
    return VideoFrames(files, read_timings(files, 1.0, tmp_path / ".timings.npz"), 1.0)


def test_rows_are_those_of_the_index(index):
    source = ImageFrames(index)
    assert len(source) == 56
    assert source.videos == index.videos
    assert source.starts.tolist() == [0, 14, 28, 42, 56]
    assert source.video[[0, 13, 14, 55]].tolist() == [0, 0, 1, 3]
    assert source.name(15).endswith("video02_000002.png")
    np.testing.assert_array_equal(source.read(15), read_image(index.paths([15])[0]))


def test_neighbours_are_found_by_time_and_stay_in_their_video(index):
    """Seconds 3 to 9 of video02 are gone."""
    rows = np.setdiff1d(np.arange(56), 14 + np.arange(3, 10))
    source = ImageFrames(index.take(rows))
    assert [source.seconds(row) for row in (14, 16, 17)] == [0.0, 2.0, 10.0]
    assert source.neighbours(16, 1.0) == range(15, 17)
    assert source.neighbours(16, 8.0) == range(14, 18)
    assert source.neighbours(14, 1.0) == range(14, 16)
    assert source.neighbours(13, 0.5) == range(13, 14)


def test_neighbours_at_another_rate(index):
    assert ImageFrames(index, fps=4.0).neighbours(5, 0.5) == range(3, 8)


def test_a_frame_of_unknown_time_has_no_neighbours_but_itself(index):
    fps = np.array([1.0, np.nan, 1.0, 1.0])
    assert ImageFrames(index, fps).neighbours(20, 100.0) == range(20, 21)
    assert ImageFrames(index, fps).neighbours(30, 100.0) == range(28, 42)


def test_a_damaged_image_in_a_record_file_is_named(tmp_path):
    path = write_records(tmp_path / "video01.tfrecord", [1, 2])
    content = path.read_bytes()
    at = content.rindex(b"IDAT")
    path.write_bytes(content[: at - 8] + b"\0" * 16 + content[at + 8 :])
    source = open_source("records", tmp_path)
    assert source.read(0).mean() == 1
    with pytest.raises(InputError, match=r"video01\.tfrecord, record at byte \d+: a damaged PNG"):
        source.read(1)


def test_frames_of_videos_show_their_numbers(videos):
    assert np.diff(videos.starts).tolist() == [2, 3, 3, 4, 4, 4]
    numbers = [read_number(videos.read(row)) for row in range(5)]
    assert numbers == [0, 25, 0, 25, 50]
    assert videos.name(2).endswith("op1.mp4, frame 0")


def test_a_thread_keeps_few_videos_open(videos):
    order = np.random.default_rng(0).integers(0, len(videos), 60)
    for row in order.tolist():
        assert read_number(videos.read(row)) % 25 == 0
        assert len(videos._of_thread.readers) <= VideoFrames.OPEN
    assert next(reversed(videos._of_thread.readers)) == videos.video[row]


def test_videos_are_read_from_many_threads(videos):
    rows = np.random.default_rng(0).integers(0, len(videos), 200).tolist()
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda row: read_number(videos.read(row)), rows))
    assert numbers == [25 * (row - int(videos.starts[videos.video[row]])) for row in rows]
