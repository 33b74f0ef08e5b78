"""Recordings as hospitals have them, through prepare.py."""

import json
import os

import cv2
import numpy as np
import pytest

from data.dataset.frame_index import load_index
from data.images.states import READ_VIDEOS
from data.video.dicom import read_header
from tests.support.prepared import prepare
from tests.support.small_dicoms import (
    H264,
    JPEG,
    MPEG2,
    SECRETS,
    h264,
    jpegs,
    write_dicom,
)
from tests.support.small_videos import read_numbers, write_video


@pytest.fixture
def parts(tmp_path):
    """An operation of 24.8 s in three parts, the first two of 10.4 s, beside a whole one."""
    folder = tmp_path / "in"
    for part, (first, frames) in enumerate(((0, 260), (260, 260), (520, 100)), 1):
        write_video(folder / f"op12_part{part}.mp4", 25, frames, first=first)
    write_video(folder / "other.mp4", 25, 50)
    return folder


def frames_of(root):
    return {folder.name: len(list(folder.iterdir())) for folder in (root / "frames").glob("*/")}


def test_parts_become_one_video_whose_clock_runs_on(tmp_path, parts):
    root, where = tmp_path / "out" / "ours", (tmp_path / "out", f"--videos={parts}", "--name=ours")
    phases = tmp_path / "phases.csv"
    phases.write_text("video,start,end,phase\nop12,0,12,first\nop12,12,25,second\n")
    arguments = (*where, "--join_parts", f"--annotations={phases}")
    code, output, errors = prepare(*arguments)
    assert code == 0, errors
    assert "ours: 2 videos, 27 frames, 25 of them labelled" in output
    (next_command,) = (line for line in output.splitlines() if line.startswith("next: "))
    assert "exclude_videos=splits.json" in next_command
    assert next_command.endswith("--config.batch_size=1")  # that the frames of no test can fill
    shown = read_numbers(root / "frames" / "op12")
    assert shown == {f"op12_{n:06d}.jpg": 25 * (n - 1) for n in range(1, 26)}
    index = load_index(root)
    assert index.phase[index.frame <= 12].tolist()[:12] == [0] * 12
    assert index.phase[:25].tolist() == [0] * 12 + [1] * 13
    noted = json.loads((root / "frames" / "extraction.json").read_text())["videos"]["op12"]
    assert (noted["frames"], noted["seconds"], noted["source_fps"]) == (25, 24.8, 25)

    before = {file: file.stat().st_mtime_ns for file in (root / "frames").glob("*/*")}
    last = root / "frames" / "op12" / "op12_000020.jpg"
    last.unlink()
    assert prepare(*arguments)[:2] == (code, output)
    after = {file: file.stat().st_mtime_ns for file in (root / "frames").glob("*/*")}
    assert {file for file in before if before[file] != after[file]} == {last}
    assert read_numbers(root / "frames" / "op12") == shown

    code, _, errors = prepare(*where)
    assert code == 2
    assert "3 parts that were joined; expected --join_parts again" in errors


def test_parts_are_not_joined_unasked(tmp_path, parts):
    where = (tmp_path / "out", f"--videos={parts}", "--name=ours")
    code, output, errors = prepare(*where)
    assert code == 0, errors
    remark = "op12_part1.mp4 and 2 more look like parts of one operation; --join_parts joins them"
    assert f"remark: {remark}" in output
    assert frames_of(tmp_path / "out" / "ours") == {
        **{"op12_part1": 11, "op12_part2": 11, "op12_part3": 4, "other": 2}
    }
    code, _, errors = prepare(*where, "--join_parts")
    assert code == 2
    assert "op12_part1: frames of a part of op12, extracted by itself before" in errors


def test_a_part_that_was_missing_is_added(tmp_path, parts):
    second = parts / "op12_part2.mp4"
    second.rename(tmp_path / "away.mp4")
    arguments = (tmp_path / "out", f"--videos={parts}", "--name=ours", "--join_parts")
    code, output, _ = prepare(*arguments)
    assert code == 1
    missing = "op12: part 2 is missing among parts 1 to 3; used up to part 1"
    assert output.splitlines()[-1] == f"used in part: {missing}"
    assert frames_of(tmp_path / "out" / "ours") == {"op12": 11, "other": 2}
    (tmp_path / "away.mp4").rename(second)
    code, output, errors = prepare(*arguments)
    assert code == 0, errors
    shown = read_numbers(tmp_path / "out" / "ours" / "frames" / "op12")
    assert list(shown.values()) == [25 * n for n in range(25)]


def test_an_operation_that_went_on_is_extracted_on(tmp_path, parts):
    (parts / "op12_part3.mp4").rename(tmp_path / "away.mp4")
    arguments = (tmp_path / "out", f"--videos={parts}", "--name=ours", "--join_parts")
    assert prepare(*arguments)[0] == 0
    assert frames_of(tmp_path / "out" / "ours") == {"op12": 21, "other": 2}
    (tmp_path / "away.mp4").rename(parts / "op12_part3.mp4")
    assert prepare(*arguments)[0] == 0
    assert frames_of(tmp_path / "out" / "ours") == {"op12": 25, "other": 2}


def test_a_table_of_operations(tmp_path, parts):
    table = tmp_path / "operations.csv"
    table.write_text(
        "file,operation,order\nother.mp4,Galle 7,3\nop12_part2.mp4,Galle 7,2\n"
        "op12_part1.mp4,Galle 7,1\n"
    )
    arguments = (tmp_path / "out", f"--videos={parts}", "--name=ours", f"--operations={table}")
    code, output, errors = prepare(*arguments)
    assert code == 0, errors
    assert "look like parts" not in output
    root = tmp_path / "out" / "ours"
    assert frames_of(root) == {"Galle 7": 23, "op12_part3": 4}
    shown = list(read_numbers(root / "frames" / "Galle 7").values())
    assert shown == [*(25 * n for n in range(21)), 5, 30]  # 20.8 s into it, the third file begins


@pytest.mark.parametrize("flag", ["--join_parts", "--operations=x.csv"])
def test_without_videos_there_is_nothing_to_join(tmp_path, flag):
    code, _, errors = prepare(tmp_path / "out", flag, "--name=ours")
    assert code == 2
    assert "need --videos" in errors


def test_dicom_videos_without_a_trace_of_the_patient(tmp_path):
    """Names of files, folders and elements with patient data; no byte of them is written."""
    folder = tmp_path / "in"
    stream = write_video(tmp_path / "v.ts", 25, 60, "mpg2").read_bytes()
    hidden = write_dicom(folder / "Mustermann_Joerg" / "IM1", stream, MPEG2, 60)
    write_dicom(folder / "op1.dcm", h264(40), H264, 40, CineRate=10)
    write_dicom(folder / "op12_part1", jpegs(26), JPEG, 26, CineRate=10)
    write_dicom(folder / "op12_part2", jpegs(30, first=26), JPEG, 30, CineRate=10)
    write_dicom(folder / "ACC99887.dcm", jpegs(1), JPEG)
    write_dicom(folder / "19580312.dcm", b"no video", H264, 5)
    cut = write_dicom(folder / "Beispielmann.dcm", jpegs(90), JPEG, 90, CineRate=10)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (folder / "Mustermann_Joerg" / "letter.txt").write_text("a letter")
    (folder / "note.txt").write_text("a note")
    arguments = (tmp_path / "out", f"--videos={folder}", "--name=ours", "--join_parts", "--fps=1")
    code, output, errors = prepare(*arguments)
    root = tmp_path / "out" / "ours"

    assert code == 1, errors
    name = f"dicom_{read_header(hidden).digest}"
    counts = frames_of(root)
    damaged = counts.keys() - {name, "op1", "op12"}
    assert counts == {name: 3, "op1": 4, "op12": 6, **dict.fromkeys(damaged, 5)}
    assert len(damaged) == 1
    assert list(read_numbers(root / "frames" / name).values()) == [0, 25, 50]
    assert list(read_numbers(root / "frames" / "op1").values()) == [0, 10, 20, 30]
    assert list(read_numbers(root / "frames" / "op12").values()) == [0, 10, 20, 30, 40, 50]
    noted = json.loads((root / "frames" / "extraction.json").read_text())["videos"]
    assert {video: noted[video]["source_fps"] for video in noted} == {
        **{name: 25, "op1": 10, "op12": 10}
    }
    assert "DICOM files have names with data of a patient; named dicom_" in output
    assert "1 DICOM files are still images, not videos" in output
    assert "bytes that are not a video" in output
    assert "cut off, used as far as it goes" in output
    assert f"{folder / 'note.txt'}: neither" in (root / "audit.json").read_text()

    again = prepare(*arguments)
    assert again[:2] == (code, output)
    written = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    texts = [output, errors, again[2], *map(str, (tmp_path / "out").rglob("*"))]
    everything = [text.encode() for text in texts] + [file.read_bytes() for file in written]
    assert len(written) > 20
    for secret in SECRETS:
        for content in everything:
            assert secret.encode() not in content.lower(), secret
            assert secret.encode("utf-16-le") not in content.lower(), secret
    hidden = {path.name for path in root.rglob(".*")}
    assert hidden <= {".whole_images.npy", READ_VIDEOS}, "no stream is left"  # nor a patient


def test_complete_dicom_videos_are_not_read_again(tmp_path):
    """Resumed, too: frames that are there are kept, the others are made."""
    file = write_dicom(tmp_path / "in" / "op1.dcm", h264(40), H264, 40, CineRate=10)
    arguments = (tmp_path / "out", f"--videos={tmp_path / 'in'}", "--name=ours")
    assert prepare(*arguments)[0] == 0
    frames = tmp_path / "out" / "ours" / "frames" / "op1"
    before = {frame: frame.stat().st_mtime_ns for frame in frames.iterdir()}
    (frames / "op1_000002.jpg").unlink()
    assert prepare(*arguments)[0] == 0
    assert list(read_numbers(frames).values()) == [0, 10, 20, 30]
    after = {frame: frame.stat().st_mtime_ns for frame in frames.iterdir()}
    assert [frame.name for frame in before if before[frame] != after[frame]] == ["op1_000002.jpg"]
    broken, state = file.read_bytes(), file.stat()
    file.write_bytes(broken[:2000] + bytes(len(broken) - 2000))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    code, output, _ = prepare(*arguments)
    assert code == 1, "of the same size and time, and noticed"
    assert "the frames of the file before it stay" in output
    assert {frame: frame.stat().st_mtime_ns for frame in frames.iterdir()} == after


def test_large_images_are_reduced_and_the_sizes_said(tmp_path):
    for name, shape in (
        ("x/1.jpg", (1080, 1920)),
        ("x/2.jpg", (1080, 1920)),
        ("y/1.png", (60, 80)),
    ):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "in" / name), np.full((*shape, 3), 90, np.uint8))
    write_video(tmp_path / "in" / "op.mp4", 25, 75)
    where = (tmp_path / "out", f"--videos={tmp_path / 'in'}")
    code, output, errors = prepare(*where, "--name=large")
    assert code == 0, errors
    assert "sizes of frames: 96x48 (3), 1920x1080 (2), 80x60 (1)" in output
    assert "2 frames have more than a megapixel, up to 1920x1080; decoding takes" in output

    arguments = (*where, "--name=small", "--size=480")
    code, output, errors = prepare(*arguments)
    assert code == 0, errors
    assert "sizes of frames: 96x48 (3), 853x480 (2), 80x60 (1)" in output
    assert "megapixels" not in output
    audit = json.loads((tmp_path / "out" / "small" / "audit.json").read_text())
    assert audit["sizes"] == {"96x48": 3, "853x480": 2, "80x60": 1}
    assert cv2.imread(str(tmp_path / "in" / "x" / "1.jpg")).shape == (1080, 1920, 3)
    assert prepare(*arguments)[:2] == (code, output)
    code, _, errors = prepare(*where, "--name=small")
    assert code == 2
    assert "was extracted with size=480" in errors


def test_the_size_of_images_alone_is_noted_too(tmp_path):
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "a.png"), np.full((60, 80, 3), 90, np.uint8))
    where = (tmp_path / "out", f"--videos={tmp_path / 'in'}", "--name=ours")
    assert prepare(*where, "--size=30")[0] == 0
    code, _, errors = prepare(*where)
    assert code == 2
    assert "was extracted with size=30" in errors


def test_phases_of_images_without_time_are_refused_in_words(tmp_path):
    (tmp_path / "in" / "case").mkdir(parents=True)
    for name in ("IMG_3", "IMG_9"):
        cv2.imwrite(str(tmp_path / "in" / "case" / f"{name}.png"), np.zeros((60, 80, 3), np.uint8))
    (tmp_path / "phases.csv").write_text("video,start,end,phase\ncase,0,5,first\n")
    code, output, _ = prepare(
        tmp_path / "out", f"--videos={tmp_path / 'in'}", f"--annotations={tmp_path / 'phases.csv'}"
    )
    assert code == 1
    assert "2 frames, 0 of them labelled" in output
    assert "annotations of case: phases need the time of each image, as names like" in output
