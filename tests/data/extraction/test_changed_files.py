"""Videos whose files have changed since they were extracted."""

import os

import cv2
import pytest

from data.common.errors import InputError
from data.dataset.extraction_log import changed_names, other_files, read_log, write_log
from data.extraction import extracting
from data.extraction.extracting import extract_frames
from data.video.names import sources_of
from data.video.parts import VideoFiles
from tests.support.small_videos import (
    draw_number,
    read_numbers,
    write_video,
)


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
