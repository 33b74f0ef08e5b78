import gc
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from data.common.errors import InputError
from data.dataset.frame_index import load_index
from data.extraction.extracting import extract_frames
from data.frames import listing
from data.frames.frames import Frames
from data.frames.listing import list_dataset, list_images, list_videos
from data.video import clock, clocks
from data.video.dicom import read_header
from data.video.parts import VideoFiles
from tests.support.places import ROOT
from tests.support.small_dicoms import H264, JPEG, SECRETS, h264, jpegs, write_dicom
from tests.support.small_records import write_records
from tests.support.small_videos import draw_number, read_number, write_video


def numbers_of(frames, start=0):
    pieces = frames.pieces(start)
    return [read_number(image) for rows in pieces for image in frames.read_in_order(rows)]


def write_images(folder, name, numbers):
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        assert cv2.imwrite(str(folder / name.format(number)), draw_number(number))


def test_images_know_their_video_and_second(tmp_path):
    write_images(tmp_path / "op1", "op1_{:06d}.png", (1, 2, 11))
    write_images(tmp_path / "op2", "image-{}.png", (3, 4))
    frames = list_images(tmp_path)
    assert frames.video_names(range(5)) == ["op1"] * 3 + ["op2"] * 2
    np.testing.assert_array_equal(frames.second, [0, 1, 10, np.nan, np.nan])
    assert numbers_of(frames) == [1, 2, 11, 3, 4]
    assert frames.paths([2]) == [str(tmp_path / "op1" / "op1_000011.png")]


def test_seconds_follow_the_rate_of_extraction(tmp_path):
    video = write_video(tmp_path / "op.mp4", frames=75)
    extract_frames([video], tmp_path / "frames", fps=2, format="png")
    np.testing.assert_array_equal(list_images(tmp_path / "frames").second, np.arange(6) / 2)


def test_images_that_hold_several_pictures_are_said(tmp_path, caplog):
    pages = [Image.new("RGB", (32, 24), (40 * n, 0, 0)) for n in range(3)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "one.tif")
    frames = list_images(tmp_path)
    assert len(frames) == 2
    (line,) = caplog.messages
    assert line == (
        f"{tmp_path / 'stack.tif'}: 1 TIFF files with several pictures; the first of each is used"
    )


def test_every_unreadable_image_has_its_reason(tmp_path):
    write_images(tmp_path, "op_{}.png", (1, 2, 3))
    whole = (tmp_path / "op_2.png").read_bytes()
    (tmp_path / "op_2.png").write_bytes(whole[:-20])
    (tmp_path / "op_4.jpg").write_bytes(b"")
    (tmp_path / "op_5.png").symlink_to(tmp_path / "nowhere")
    frames = list_images(tmp_path)
    (rows,) = frames.pieces()
    reasons = [str(item) for item in frames.read_in_order(rows) if isinstance(item, InputError)]
    for reason, found in zip(
        [*reasons, *frames.faults], ("cut off", "empty", "a link to nothing"), strict=True
    ):
        assert found in reason


@pytest.mark.parametrize("fps", [1.0, 2.0, 0.5])
def test_videos_give_the_frames_that_extraction_writes(tmp_path, fps):
    files = [
        write_video(tmp_path / f"op{n}.mp4", frames=frames) for n, frames in ((1, 80), (2, 40))
    ]
    extract_frames(files, tmp_path / "frames", fps=fps, format="png")
    frames = list_videos([tmp_path], fps)
    extracted = list_images(tmp_path / "frames")
    assert frames.passed_over == len(extracted) + 1  # extraction.json
    assert frames.video_names(slice(None)) == extracted.video_names(slice(None))
    np.testing.assert_array_equal(frames.second, extracted.second)
    for rows in frames.pieces():
        for row, image in zip(rows, frames.read_in_order(rows), strict=True):
            np.testing.assert_array_equal(
                image, next(iter(extracted.read_in_order(range(row, row + 1))))
            )


def equal_to_extracted(frames, folder, videos, **settings):
    """Whether frames are those that extraction writes, by video, second and pixel."""
    extract_frames(videos, folder, format="png", **settings)
    extracted = list_images(folder)
    assert frames.video_names(slice(None)) == extracted.video_names(slice(None))
    np.testing.assert_array_equal(frames.second, extracted.second)
    for rows in frames.pieces():
        for row, image in zip(rows, frames.read_in_order(rows), strict=True):
            np.testing.assert_array_equal(image, extracted.read(row))
            np.testing.assert_array_equal(image, frames.read(row))
    return len(extracted)


@pytest.mark.parametrize("fps", [1.0, 3.0])
def test_parts_are_joined_as_extraction_joins_them(tmp_path, fps):
    """Also of two rates, where no rate fits the whole, and in the other order by a table."""
    folder = tmp_path / "in"
    rates = ((25, 60), (30, 100), (25, 30))
    parts = [
        write_video(folder / f"op_part{n}.mp4", rate, count, first=100 * n)
        for n, (rate, count) in enumerate(rates, 1)
    ]
    other = write_video(folder / "other.mp4", frames=40)
    frames = list_videos([folder], fps, join_parts=True)
    videos = {"op": VideoFiles(tuple(parts)), "other": VideoFiles((other,))}
    assert equal_to_extracted(frames, tmp_path / "joined", videos, fps=fps) > 7
    assert set(frames.paths(range(len(frames)))) == {*map(str, parts), str(other)}

    table = tmp_path / "operations.csv"
    table.write_text("file,operation,order\nop_part1.mp4,Galle 7,2\nop_part3.mp4,Galle 7,1\n")
    frames = list_videos([folder], fps, operations=table)
    videos = {"Galle 7": VideoFiles((parts[2], parts[0])), "op_part2": VideoFiles((parts[1],))}
    videos["other"] = VideoFiles((other,))
    equal_to_extracted(frames, tmp_path / "listed", videos, fps=fps)
    assert frames.scratch is None
    single = list_videos(parts[::-1], fps, operations=table)
    assert single.videos == ("Galle 7", "op_part2")


def test_parts_are_not_joined_unasked_and_missing_ones_named(tmp_path, caplog):
    for name in ("a_part1", "a_part2", "b_part1", "b_part3", "c_part2", "c_part3"):
        write_video(tmp_path / f"{name}.mp4", frames=30)
    assert len(list_videos([tmp_path]).videos) == 6
    assert caplog.messages == [
        "a_part1.mp4 and 1 more; b_part1.mp4 and 1 more; c_part2.mp4 and 1 more look like parts of "
        "one operation each; --join_parts joins them"
    ]
    frames = list_videos([tmp_path], join_parts=True)
    assert frames.videos == ("a", "b")
    assert frames.faults == [
        "b: part 2 is missing among parts 1 to 3; used up to part 1",
        "c: part 1 is missing among parts 1 to 3; not used",
    ]


def test_a_part_that_is_replaced_by_something_else_is_a_reason(tmp_path):
    parts = [write_video(tmp_path / f"op_part{n}.mp4", frames=50) for n in (1, 2)]
    frames = list_videos([tmp_path], join_parts=True)
    parts[1].write_bytes(b"no video")
    (rows,) = frames.pieces()
    items = list(frames.read_in_order(rows))
    assert [read_number(image) for image in items[:2]] == [0, 25]
    assert all("op_part2.mp4: 8 bytes that are not a video" in str(item) for item in items[2:])
    with pytest.raises(InputError, match=r"op_part2\.mp4"):
        frames.read(3)


def test_dicom_videos_give_the_frames_that_extraction_writes(tmp_path, caplog):
    """Parts, too; what the files say of the patient is in no name, and no copy is left."""
    folder = tmp_path / "in"
    files = [
        write_dicom(folder / "op_part1", jpegs(26), JPEG, 26, CineRate=10),
        write_dicom(folder / "op_part2", jpegs(30, first=26), JPEG, 30, CineRate=10),
        write_dicom(folder / "Mustermann" / "IM1", h264(40), H264, 40, CineRate=10),
    ]
    write_dicom(folder / "still", jpegs(1), JPEG)
    frames = list_videos([folder], join_parts=True)
    hidden = f"dicom_{read_header(files[2]).digest}"
    videos = {hidden: VideoFiles((files[2],)), "op": VideoFiles(tuple(files[:2]))}
    assert equal_to_extracted(frames, tmp_path / "frames", videos) == 10
    paths = frames.paths(range(len(frames)))
    assert set(paths) == {hidden, "op, part 1", "op, part 2"}
    assert any("are still images" in message for message in caplog.messages)
    said = " ".join([*paths, *caplog.messages]).replace(str(tmp_path), "").casefold()
    assert not [secret for secret in SECRETS if secret in said]
    scratch = Path(frames.scratch.name)
    assert scratch.is_dir()
    del frames
    gc.collect()
    assert not scratch.exists()
    assert list_videos([files[2]]).videos == ("IM1",)


@pytest.fixture
def two_dicoms_and_a_video(tmp_path):
    write_dicom(tmp_path / "in" / "large", h264(120), H264, 120, CineRate=10)
    write_dicom(tmp_path / "in" / "small", jpegs(20), JPEG, 20, CineRate=10)
    write_video(tmp_path / "in" / "video.mp4", frames=60)
    return tmp_path / "in"


def test_a_disk_that_gets_full_costs_the_video_that_does_not_fit(two_dicoms_and_a_video):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        frames = list_videos([two_dicoms_and_a_video])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert frames.videos == ("small", "video")
    place = tempfile.gettempdir()
    assert list(frames.faults) == [
        f"large: file too large, where it was read, or copied to {place}"
    ]
    assert [file.name for file in Path(frames.scratch.name).glob("[!.]*")] == ["small"]
    assert len(numbers_of(frames)) == len(frames)


def test_what_there_is_no_room_for_is_not_copied(two_dicoms_and_a_video, monkeypatch):
    monkeypatch.setattr(listing, "free_space", lambda folder: 50_000)
    frames = list_videos([two_dicoms_and_a_video])
    assert frames.videos == ("small", "video")
    (fault,) = frames.faults
    assert fault.startswith("large: no room to copy its ")
    assert fault.endswith("of a larger disk")
    assert [file.name for file in Path(frames.scratch.name).glob("[!.]*")] == ["small"]


def test_a_video_can_be_begun_in_its_middle(tmp_path, monkeypatch):
    monkeypatch.setattr("data.frames.video_frames.SECONDS_AT_ONCE", 3)
    frames = list_videos([write_video(tmp_path / "op.mp4", frames=250)])
    assert list(frames.pieces(4)) == [range(4, 7), range(7, 10)]
    assert numbers_of(frames, 4) == [100, 125, 150, 175, 200, 225]


def test_damaged_videos_are_named_and_used_as_far_as_they_go(tmp_path):
    whole = write_video(tmp_path / "whole.avi", frames=300, codec="XVID").read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "none.mp4").write_bytes(b"no video")
    frames = list_videos([tmp_path])
    assert frames.videos == ("cut", "whole")
    assert [line.split(":")[0].rsplit("/", 1)[1] for line in frames.faults] == [
        "cut.avi",
        "none.mp4",
    ]
    (tmp_path / "only").mkdir()
    shutil.copy(tmp_path / "none.mp4", tmp_path / "only")
    with pytest.raises(InputError, match=r"none\.mp4.*not a video"):
        list_videos([tmp_path / "only"])


def test_a_frame_that_fails_takes_the_rest_of_its_piece(tmp_path):
    frames = list_videos([write_video(tmp_path / "op.mp4", frames=150)])
    shutil.copy(write_video(tmp_path / "short.mp4", frames=60), tmp_path / "op.mp4")
    (rows,) = frames.pieces()
    items = list(frames.read_in_order(rows))
    assert [read_number(image) for image in items[:3]] == [0, 25, 50]
    assert len(items) == len(rows) == 6
    assert all("no frame can be read after 60" in str(item) for item in items[3:])


def test_two_videos_of_one_name(tmp_path, caplog):
    files = [write_video(tmp_path / name / "op.mp4", frames=30) for name in "ab"]
    frames = list_videos(files)
    assert frames.videos == ("a_op", "b_op")
    assert caplog.messages == [
        f"{file}: named {name}_op, as other videos are called op"
        for file, name in zip(files, "ab", strict=True)
    ]


def test_a_dataset_by_its_index(small_dataset):
    frames, index = list_dataset(small_dataset), load_index(small_dataset)
    assert len(frames) == len(index) == 56
    np.testing.assert_array_equal(frames.second, index.second)
    np.testing.assert_array_equal(frames.phase, index.phase)
    assert frames.paths(range(56)) == index.paths(np.arange(56))


def test_other_datasets(tmp_path):
    records, videos = tmp_path / "records", tmp_path / "videos_only"
    records.mkdir()
    write_records(records / "video01.tfrecord", range(5))
    frames = list_dataset(records)
    assert frames.videos == ("video01",)
    np.testing.assert_array_equal(frames.second, range(5))
    images = [image for rows in frames.pieces() for image in frames.read_in_order(rows)]
    assert [int(image[0, 0, 0]) for image in images] == [0, 1, 2, 3, 4]
    write_video(videos / "videos" / "op.mp4", frames=60)
    assert numbers_of(list_dataset(videos)) == [0, 25, 50]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: neither index\.parquet"):
        list_dataset(tmp_path / "empty")
    with pytest.raises(InputError, match="nowhere"):
        list_dataset(tmp_path / "nowhere")


def test_the_state_tells_a_video_from_another_version_of_it(tmp_path):
    def state(folder, ask=Frames.former_state):
        frames = list_images(tmp_path / folder)
        return ask(frames, range(len(frames)))

    write_images(tmp_path / "a", "op_{}.png", (1, 2, 3))
    write_images(tmp_path / "b", "op_{}.png", (1, 2, 4))
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    assert state("a") == state("a") == state("c")  # wherever it is
    assert state("a", Frames.state) == state("a", Frames.state) != state("c", Frames.state)  # ctime
    assert state("a") != state("b")
    (tmp_path / "c" / "op_2.png").touch()
    assert state("a") != state("c")
    video = write_video(tmp_path / "op.mp4", frames=60)
    before = list_videos([video])
    assert list_videos([video], 2.0).state(range(5)) != before.state(range(3))
    write_video(video, frames=61)
    assert before.state(range(3)) == before.state(range(3))  # as it was when its clock was read
    assert list_videos([video]).state(range(3)) != before.state(range(3))


def test_time_stamps_are_read_once(tmp_path, monkeypatch):
    files = [write_video(tmp_path / f"op{n}.mp4", frames=60) for n in (1, 2)]
    (tmp_path / "op3.mp4").write_bytes(b"no video")
    before = list_videos([tmp_path], 2.0, kept=tmp_path / "clocks")
    read = []
    monkeypatch.setattr(
        clocks, "read_clock", lambda file: read.append(file) or clock.read_clock(file)
    )
    again = list_videos([tmp_path], 2.0, kept=tmp_path / "clocks")
    assert read == [tmp_path / "op3.mp4"]  # what has a fault is read each time
    assert (again.videos, again.faults) == (before.videos, before.faults)
    assert len(again.faults) == 1
    np.testing.assert_array_equal(again.second, before.second)
    assert numbers_of(again) == numbers_of(list_videos([tmp_path], 2.0))
    read.clear()
    write_video(files[1], frames=100)
    assert len(list_videos([tmp_path], 2.0, kept=tmp_path / "clocks")) > len(before)
    assert sorted(read) == [files[1], tmp_path / "op3.mp4"]


KEPT_OPEN = """
import sys
from data.frames.listing import list_videos

frames = list_videos([sys.argv[1]])
print(frames.scratch.name, flush=True)
sys.stdin.read()
"""


def test_copies_of_dicom_videos_outlive_no_next_run(tmp_path, monkeypatch):
    """Those of a process that was killed; not those of one that is running."""
    write_dicom(tmp_path / "in" / "dicom", jpegs(25), JPEG, 25, CineRate=10)
    (tmp_path / "temporary").mkdir()
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary")}
    command = [sys.executable, "-c", KEPT_OPEN, str(tmp_path / "in")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, cwd=ROOT, env=environment, **pipes) for _ in range(2)]
    killed, running = (Path(process.stdout.readline().strip()) for process in processes)
    assert (killed / "dicom").is_file() and (running / "dicom").is_file()
    processes[0].send_signal(signal.SIGKILL)
    processes[0].wait()
    assert (killed / "dicom").is_file()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    frames = list_videos([tmp_path / "in"])
    assert not killed.exists() and (running / "dicom").is_file()
    processes[1].communicate("")
    assert not running.exists()
    del frames
    gc.collect()
    assert [*(tmp_path / "temporary").iterdir()] == []
