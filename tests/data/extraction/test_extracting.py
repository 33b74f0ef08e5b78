from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from data.extraction import one_video
from data.extraction.extracting import extract_frames
from data.extraction.stillness import Stillness
from data.images import image_io
from data.video.clock import Clock
from data.video.decoding import read_frames
from data.video.parts import VideoFiles
from tests.support.encoded_videos import encode
from tests.support.small_videos import (
    draw_number,
    hide_beginning,
    read_number,
    read_numbers,
    set_timing,
    write_video,
)


def expected_sources(frame_count, source_fps, fps):
    """round(n * source_fps / fps), halves up, as long as there are frames."""
    sources, n = [], 0
    while True:
        source = (Fraction(source_fps) * n / Fraction(fps) + Fraction(1, 2)).__floor__()
        if source >= frame_count:
            return sources
        sources.append(source)
        n += 1


@pytest.mark.parametrize(
    ("source_fps", "fps"),
    [
        ("25", "1"),
        ("29.97", "1"),
        ("30", "1"),
        ("50", "1"),
        ("25", "2"),
        ("30", "4"),
        ("25", "0.5"),
    ],
)
def test_takes_the_nearest_source_frame_halves_up(tmp_path, source_fps, fps):
    video = write_video(tmp_path / "op.mp4", float(source_fps), 170)
    expected = expected_sources(170, source_fps, fps)

    assert extract_frames([video], tmp_path / "frames", fps=float(fps)) == {}
    written = read_numbers(tmp_path / "frames" / "op")
    assert written == {f"op_{n:06d}.jpg": source for n, source in enumerate(expected, 1)}

    read = [(n, read_number(image)) for n, image in read_frames(video, float(fps))]
    assert read == list(enumerate(expected))


def test_rates_above_the_source_repeat_frames(tmp_path):
    video = write_video(tmp_path / "op.mp4", 10, 5)
    read = [read_number(image) for _, image in read_frames(video, 20)]
    assert read == expected_sources(5, "10", "20") == [0, 1, 1, 2, 2, 3, 3, 4, 4]


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_other_containers(tmp_path, suffix):
    codec = "MJPG" if suffix == ".avi" else "mp4v"
    video = write_video(tmp_path / f"op{suffix}", 25, 60, codec)
    assert [read_number(image) for _, image in read_frames(video)] == [0, 25, 50]


def test_variable_rate_takes_the_nearest_timestamp(tmp_path):
    video = write_video(tmp_path / "op.mp4", 25, 150)
    set_timing(video, [(100, 0.5), (50, 2.0)])  # 50 frames a second for 2 s, then 12.5 for 4 s
    read = [(n, read_number(image)) for n, image in read_frames(video)]
    # Counting would take 0, 25, 50, ...; between 2.96 and 3.04 s the later one is taken.
    assert read == [(0, 0), (1, 50), (2, 100), (3, 113), (4, 125), (5, 138)]


def test_frames_hidden_by_an_edit_list_are_not_counted(tmp_path):
    video = write_video(tmp_path / "op.mp4", 25, 80)
    hide_beginning(video, 6)
    assert extract_frames([video], tmp_path / "frames") == {}  # 74 frames: none is missed
    assert list(read_numbers(tmp_path / "frames" / "op").values()) == [6, 31, 56]


def test_read_frames_gives_rgb(tmp_path):
    path = tmp_path / "red.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    writer.write(np.full((48, 64, 3), (0, 0, 200), np.uint8))
    writer.release()
    ((n, image),) = read_frames(path)
    assert (n, image.shape, image.dtype) == (0, (48, 64, 3), np.uint8)
    assert np.abs(image.mean(axis=(0, 1)) - (200, 0, 0)).max() < 5


def test_complete_videos_are_not_opened_again(tmp_path, monkeypatch):
    video = write_video(tmp_path / "op.mp4")
    extract_frames([video], tmp_path / "frames")
    monkeypatch.setattr(VideoFiles, "open", lambda *_: pytest.fail("opened again"))
    assert extract_frames([video], tmp_path / "frames") == {}


def test_only_missing_frames_are_written_and_none_is_overwritten(tmp_path):
    video, folder = write_video(tmp_path / "op.mp4"), tmp_path / "frames" / "op"
    folder.mkdir(parents=True)
    (folder / "op_000002.png").write_text("from elsewhere")
    extract_frames([video], tmp_path / "frames")
    names = sorted(file.name for file in folder.iterdir())
    assert names == ["op_000001.jpg", "op_000002.png", "op_000003.jpg", "op_000004.jpg"]
    assert (folder / "op_000002.png").read_text() == "from elsewhere"

    (folder / "op_000003.jpg").unlink()
    (folder / "op_000001.jpg").write_text("kept")
    extract_frames([video], tmp_path / "frames")
    assert (folder / "op_000001.jpg").read_text() == "kept"
    assert read_number(cv2.imread(str(folder / "op_000003.jpg"))) == 50


def test_goes_on_after_an_interruption(tmp_path, monkeypatch):
    videos = [write_video(tmp_path / f"op{k}.mp4", frames=200) for k in range(3)]
    write, written = image_io.write_frame, []

    def fail_later(path, *rest):
        if len(written) >= 10:
            raise OSError(28, "no space left on device")
        write(path, *rest)
        written.append(path)

    monkeypatch.setattr(one_video, "write_frame", fail_later)
    with pytest.raises(OSError, match="no space left"):
        extract_frames(videos, tmp_path / "frames", workers=1)
    before = {path: path.stat().st_mtime_ns for path in written}
    monkeypatch.setattr(one_video, "write_frame", write)
    assert extract_frames(videos, tmp_path / "frames") == {}
    assert {path: path.stat().st_mtime_ns for path in written} == before
    for video in videos:
        shown = read_numbers(tmp_path / "frames" / video.stem)
        assert list(shown.values()) == list(range(0, 200, 25))


def test_frames_of_one_video_can_be_written_at_the_same_time(tmp_path):
    paths = [tmp_path / f"op_{n:06d}.jpg" for n in range(400)]

    def write(n):
        image_io.write_frame(paths[n], draw_number(n), {"size": None, "quality": 95})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(len(paths))))
    assert read_numbers(tmp_path) == {path.name: n for n, path in enumerate(paths)}


def test_broken_videos_are_reported_and_the_rest_goes_on(tmp_path):
    good = write_video(tmp_path / "good.mp4")
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    cut = write_video(tmp_path / "cut.avi", 25, 250, "MJPG")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    lost = write_video(tmp_path / "lost.mp4")
    lost.write_bytes(lost.read_bytes()[:-100])
    missing = tmp_path / "missing.mp4"

    reasons = extract_frames([good, text, empty, cut, lost, missing], tmp_path / "frames")

    assert list(reasons) == ["cut", "empty", "lost", "missing", "text"]
    assert all(str(tmp_path / name) in reason for name, reason in reasons.items())
    assert "of 10" in reasons["cut"]
    assert len(list((tmp_path / "frames" / "good").iterdir())) == 4
    shown = list(read_numbers(tmp_path / "frames" / "cut").values())
    assert shown == list(range(0, 250, 25))[: len(shown)]
    assert 3 <= len(shown) <= 6  # the readable half is kept
    assert not (tmp_path / "frames" / "text").exists()


def test_read_frames_refuses_what_is_no_video(tmp_path):
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(InputError, match=r"text\.mp4"):
        next(read_frames(tmp_path / "text.mp4"))


def test_formats_quality_and_size(tmp_path):
    video = write_video(tmp_path / "op.mp4", frames=25)

    def extract(folder, **settings):
        extract_frames([video], tmp_path / folder, **settings)
        (file,) = (tmp_path / folder / "op").iterdir()
        return file, cv2.imread(str(file)).shape

    fine, shape = extract("fine")
    coarse, _ = extract("coarse", quality=20)
    png, _ = extract("png", format="png")
    _, small_shape = extract("small", size=24)
    _, kept_shape = extract("kept", size=480)
    assert shape == kept_shape == (48, 96, 3)
    assert small_shape == (24, 48, 3)
    assert coarse.stat().st_size < fine.stat().st_size
    assert png.read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize(
    "settings",
    [
        {"fps": 0},
        {"fps": float("nan")},
        {"format": "gif"},
        {"quality": 0},
        {"quality": 101},
        {"size": 0},
        {"workers": 0},
    ],
)
def test_wrong_settings_are_refused(tmp_path, settings):
    ((name, _),) = settings.items()
    with pytest.raises(InputError, match=f"^{name}="):
        extract_frames([write_video(tmp_path / "op.mp4")], tmp_path / "frames", **settings)
    assert not (tmp_path / "frames").exists()


def test_one_folder_has_one_rate(tmp_path):
    video = write_video(tmp_path / "op.mp4")
    extract_frames([video], tmp_path / "frames")
    with pytest.raises(InputError, match=r"fps=2.*fps=1"):
        extract_frames([video], tmp_path / "frames", fps=2)


def test_frames_of_unknown_rate_are_not_mixed_with_another(tmp_path):
    (tmp_path / "frames" / "op").mkdir(parents=True)
    (tmp_path / "frames" / "op" / "op_000001.jpg").touch()
    with pytest.raises(InputError, match="fps=2"):
        extract_frames([write_video(tmp_path / "op.mp4")], tmp_path / "frames", fps=2)


def test_two_videos_with_one_name_are_refused(tmp_path):
    videos = [write_video(tmp_path / folder / "op.mp4") for folder in ("a", "b")]
    with pytest.raises(InputError, match="rename"):
        extract_frames(videos, tmp_path / "frames")
    assert extract_frames(videos[:1], tmp_path / "frames") == {}
    other = write_video(tmp_path / "c" / "op.mp4", frames=60)
    assert "rename" in extract_frames([other], tmp_path / "frames")["op"]


def test_pictures_that_stand_still_are_said(tmp_path):
    """A black screen in a recording is none of them: its frames take few bytes."""

    def noisy(number):
        return np.random.default_rng(number).integers(0, 255, (48, 96, 3), np.uint8)

    encode(tmp_path / "still.mp4", frames=100, draw=lambda n: draw_number(5))
    encode(tmp_path / "pause.mp4", frames=100, draw=lambda n: noisy(0 if 30 < n < 70 else n))
    encode(tmp_path / "moves.mp4", frames=100)
    videos = sorted(tmp_path.glob("*.mp4"))
    reasons = extract_frames(videos, tmp_path / "frames", fps=5, format="png")
    assert list(reasons) == ["still"]
    assert "its 20 frames are all the same picture" in reasons["still"]


def test_a_decoder_that_hands_out_one_picture_is_noticed():
    clock = Clock(Path("op.mp4"), np.arange(100) / 5, Fraction(5), 20, sizes=np.full(100, 900))
    still = Stillness(clock)
    for number in range(100):
        still.see(number, draw_number(number if number < 60 else 60))
    assert "seconds 12 to 20 are the same picture" in still.fault()
