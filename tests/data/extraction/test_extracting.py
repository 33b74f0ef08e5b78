import os
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.extraction_log import changed_names, other_files, read_log, write_log
from data.extraction import extracting, one_video
from data.extraction.extracting import extract_frames
from data.extraction.stillness import Stillness
from data.images import image_io
from data.video.clock import Clock
from data.video.decoding import read_frames
from data.video.names import KnownNames, content_digest, name_videos, sources_of
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


def test_a_video_that_has_changed_is_extracted_again(tmp_path):
    def extracted(folder):
        videos, frames = {"op": VideoFiles((folder / "op.mp4",))}, tmp_path / "frames"
        done = read_log(frames)["videos"]
        changed = changed_names(other_files(videos, done), frames, done)
        problems = extract_frames(videos, tmp_path / "frames", format="png")
        return changed, problems, list(read_numbers(tmp_path / "frames" / "op").values())

    write_video(tmp_path / "in" / "op.mp4", frames=80)
    assert extracted(tmp_path / "in") == ([], {}, [0, 25, 50, 75])
    assert extracted(tmp_path / "in") == ([], {}, [0, 25, 50, 75])
    write_video(tmp_path / "in" / "op.mp4", frames=60, first=100)
    assert extracted(tmp_path / "in") == (["op"], {}, [100, 125, 150])
    write_video(tmp_path / "other" / "op.mp4", frames=30)
    changed, problems, numbers = extracted(tmp_path / "other")
    assert (changed, numbers) == ([], [100, 125, 150])
    assert "another video has this name" in problems["op"]


def test_a_file_with_the_size_and_time_of_the_one_before_is_noticed(tmp_path):
    """`cp -p` and `rsync --times` leave such files; rights and links change no content."""
    video, frames = write_video(tmp_path / "op.mp4", frames=60), tmp_path / "frames"
    assert extract_frames([video], frames) == {}
    first = next((frames / "op").iterdir())
    made = first.stat().st_mtime_ns

    def extracted(problems=0):
        assert len(extract_frames([video], frames)) == problems
        return first.stat().st_mtime_ns

    log = read_log(frames)
    del log["videos"]["op"]["changed"]  # as earlier versions left it
    write_log(frames, log)
    assert extracted() == made
    video.chmod(0o600)
    assert extracted() == made
    noted = read_log(frames)["videos"]["op"]["changed"]
    assert noted == [video.stat().st_ctime]

    whole, time = video.read_bytes(), video.stat().st_mtime_ns
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    for content, problems in ((damaged, 1), (whole, 0)):
        video.write_bytes(content)
        os.utime(video, ns=(time, time))
        again = extracted(problems)
        assert again > made
        made = again


def test_what_workers_got_is_not_that_of_a_file_which_was_replaced_since(tmp_path):
    """`Spread` keeps results of a run that was killed, by their keys."""
    video, keys = write_video(tmp_path / "op.mp4", frames=30), []
    time = video.stat().st_mtime_ns

    def spread(stage, calls, by):
        keys.append(by["op"])
        yield "op", InputError("killed")

    for _ in range(2):
        extract_frames([video], tmp_path / "frames", spread=spread)
        content = bytearray(video.read_bytes())
        content[len(content) // 2] ^= 1
        video.write_bytes(content)
        os.utime(video, ns=(time, time))
    assert keys[0] != keys[1]


@pytest.mark.parametrize("first", [0, 1])  # the plain path, and that of earlier logs
def test_a_place_is_the_same_however_it_is_written(tmp_path, first):
    write_video(tmp_path / "in" / "op.mp4", frames=30)
    paths = [tmp_path / "in" / "op.mp4", tmp_path / "in" / ".." / "in" / "op.mp4"]
    frames = tmp_path / "frames"
    assert extract_frames([paths[first]], frames) == {}
    log = read_log(frames)
    log["videos"]["op"]["source"] = sources_of(paths[first])[first]
    write_log(frames, log)
    write_video(paths[0], frames=60)
    assert extract_frames([paths[1]], frames) == {}
    assert len(read_numbers(frames / "op")) == 3
    write_video(paths[0], frames=130)
    assert extract_frames([paths[0]], frames) == {}
    assert len(read_numbers(frames / "op")) == 6


def test_frames_stay_until_the_changed_file_is_known_to_be_a_video(tmp_path, monkeypatch):
    def extracted():
        problems = extract_frames(videos, tmp_path / "frames", format="png")
        return problems, list(read_numbers(tmp_path / "frames" / "op").values())

    file = write_video(tmp_path / "op.mp4", frames=60)
    videos = {"op": VideoFiles((file,))}
    assert extracted() == ({}, [0, 25, 50])
    file.write_bytes(b"no video")
    for _ in range(2):
        problems, numbers = extracted()
        assert numbers == [0, 25, 50]
        assert problems["op"].endswith("; the frames of the file before it stay")
    write_video(file, frames=30, first=100)
    with monkeypatch.context() as patch:
        patch.setattr(extracting, "remove_folder", lambda folder: None)  # root may remove all
        problems, numbers = extracted()
    assert numbers == [0, 25, 50]
    assert "frames/op: cannot be removed" in problems["op"]
    assert extracted() == ({}, [100, 125])


@pytest.mark.parametrize("number", [3, 2])  # of frames that are there: all, or some
def test_frames_that_were_not_extracted_here_are_never_removed(tmp_path, number):
    file, frames = write_video(tmp_path / "op.mp4", frames=60), tmp_path / "frames"
    (frames / "op").mkdir(parents=True)
    for n in range(1, number + 1):
        cv2.imwrite(str(frames / "op" / f"op_{n:06d}.png"), draw_number(7))
    assert extract_frames([file], frames, format="png") == {}
    before = read_numbers(frames / "op")
    write_video(file, frames=130)
    reasons = extract_frames([file], frames, format="png")
    assert "op: its file has changed, and its frames, which were not extracted" in reasons["op"]
    assert read_numbers(frames / "op") == before
    (frames / "op").rename(tmp_path / "removed")
    assert extract_frames([file], frames, format="png") == {}
    assert len(read_numbers(frames / "op")) == 6


def test_names_come_from_folders_where_stems_are_not_enough(tmp_path):
    files = [tmp_path / "x.mp4", tmp_path / "case 1" / "left.avi", tmp_path / "case 2" / "left.avi"]
    files += [tmp_path / side / "case 3" / "right.avi" for side in "ab"]
    files += [tmp_path / "case 3" / "y.avi"]
    names = ["x", "case 1_left", "case 2_left", "a_case 3_right", "b_case 3_right", "y"]
    for folder in (tmp_path, tmp_path.parent):
        remarks = []
        assert list(name_videos(folder, files, remarks)) == names
        assert len(remarks) == 4
        assert remarks[0] == f"{files[1]}: named case 1_left, as other videos are called left"
    assert list(name_videos(files[5].parent, files[5:], [])) == ["y"]


def test_a_name_that_is_known_stays_and_nobody_else_gets_it(tmp_path):
    files = [write_video(tmp_path / name / "left.mp4", frames=5) for name in ("a", "b")]
    known = KnownNames({sources_of(files[1])[0]: "left"}, {}, frozenset({"left", "gone"}))
    assert name_videos(tmp_path, files, [], known) == {"left": files[1], "a_left": files[0]}
    (tmp_path / "c").mkdir()
    new = write_video(tmp_path / "c" / "gone.mp4", frames=5)
    assert name_videos(tmp_path, [new], [], known) == {"c_gone": new}
    size, content = new.stat().st_size, content_digest(new)
    for name in ("gone", "c_gone"):  # of a moved file; as earlier versions named it
        for noted in (content, None):
            moved = KnownNames({}, {(name, size): noted}, frozenset({name}))
            assert name_videos(tmp_path, [new], [], moved) == {name: new}
    other = KnownNames({}, {("gone", size): "another"}, frozenset({"gone"}))
    assert name_videos(tmp_path, [new], [], other) == {"c_gone": new}


def test_names_that_would_be_one_are_kept_apart_and_said(tmp_path):
    names = ("a/b.mp4", "b.mp4", "a_b.mp4", "a_b.mkv", "a_b_mkv.avi", "op.avi", "op.mkv")
    remarks = []
    files = [tmp_path / name for name in names]
    assert list(name_videos(tmp_path, files, remarks)) == [
        *("a_b", f"{tmp_path.name}_b", "a_b_mp4", "a_b_2", "a_b_mkv", "op", "op_mkv")
    ]
    assert len(remarks) == 5
    assert remarks[4] == f"{files[6]}: named op_mkv, as op is {files[5]}"


def test_a_file_is_said_to_have_one_name(tmp_path):
    """Of two of one stem in a folder, where a third is called so elsewhere."""
    files = [tmp_path / name for name in ("a/op.avi", "a/op.mp4", "b/op.mp4")]
    remarks = []
    found = name_videos(tmp_path, files, remarks)
    assert list(found) == ["a_op", "a_op_mp4", "b_op"]
    said = dict(line.split(": named ") for line in remarks)
    assert len(said) == len(remarks) == 3
    for name, file in found.items():
        assert said[str(file)].startswith(f"{name}, as ")


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
