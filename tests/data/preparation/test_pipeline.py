"""The rate of frames that were there before anything was extracted."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset import extraction_log
from data.dataset.audit import Audit
from data.dataset.frame_index import load_index
from data.indexing.cleaning import Cleaning
from data.preparation.pipeline import check_sources, prepare_videos
from data.splits.patients import PATIENTS
from data.splits.protocols import write_protocols
from tests.support.small_dicoms import JPEG, jpegs, write_dicom
from tests.support.small_videos import read_numbers, write_video

SECONDS = 4


def settings_of(fps=1.0):
    return {"fps": fps, "format": "jpg", "quality": 95, "size": None}


def write_frames(root, count):
    folder = root / "frames" / "op1"
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        cv2.imwrite(str(folder / f"op1_{number:06d}.jpg"), np.full((16, 16, 3), 90, np.uint8))


def prepare(root, fps=None, videos=None, size=None):
    settings = settings_of(1.0 if fps is None else fps) | {"size": size}
    audit = Audit()
    media = check_sources(
        root,
        videos=videos,
        archive=None,
        is_synthetic=False,
        is_cholec80=False,
        settings=settings,
        is_fps_given=fps is not None,
        workers=None,
        audit=audit,
    )
    prepare_videos(root, media, Cleaning(), settings, None, audit)
    return audit


@pytest.fixture
def root(tmp_path):
    write_video(tmp_path / "videos" / "op1.mp4", 25, 25 * SECONDS)
    return tmp_path


@pytest.mark.parametrize("fps", [None, 25.0])
def test_frames_at_full_rate_are_known_by_the_length_of_their_video(root, fps):
    write_frames(root, 25 * SECONDS)
    rows = "".join(f"{frame}\t{'AB'[frame >= 50]}\n" for frame in range(25 * SECONDS))
    (root / "phase_annotations").mkdir()
    (root / "phase_annotations" / "op1-phase.txt").write_text("Frame\tPhase\n" + rows)
    audit = prepare(root, fps)
    assert audit.problems == []
    assert any("at 25 per second" in remark for remark in audit.remarks) == (fps is None)
    index = load_index(root)
    assert len(index) == 25 * SECONDS, "nothing was extracted beside them"
    assert index.fps.tolist() == [25.0]
    assert index.second[[1, 25, 50]].tolist() == [0.04, 1, 2]
    assert index.phase.tolist() == [0] * 50 + [1] * 50
    assert json.loads((root / "classes.json").read_text())["fps"] == 25.0


@pytest.mark.parametrize(
    ("frames", "fps", "message"),
    [
        (25 * SECONDS, 2.0, r"has 25 frames a second of video; expected --fps=25"),
        (SECONDS, 2.0, r"has 1 frames a second of video; expected --fps=1 "),
    ],
)
def test_frames_at_another_rate_than_is_asked_for_are_refused(root, frames, fps, message):
    write_frames(root, frames)
    with pytest.raises(InputError, match=message):
        prepare(root, fps)
    assert not (root / "index.parquet").exists()


@pytest.mark.parametrize("size", [None, 8])
def test_images_that_were_replaced_are_taken_anew_but_over_nobodys_own(tmp_path, size):
    folder, root = tmp_path / "in", tmp_path / "ours"
    write_frames(folder, 3)
    (folder / "frames").rename(folder / "images")
    replaced = folder / "images" / "op1" / "op1_000002.jpg"
    for file in replaced.parent.iterdir():
        os.utime(file, (1e9, 1e9))
    assert not newer_images(prepare(root, videos=folder, size=size))
    (there,) = (root / "frames").rglob(replaced.name)
    before = there.read_bytes()
    os.utime(there, (1e9, 1e9))  # as if that call had been made long ago
    replaced.unlink()
    cv2.imwrite(str(replaced), np.full((16, 16, 3), 200, np.uint8))
    noted = (root / "linked.json").read_text()
    (root / "linked.json").unlink()  # as if the images there were somebody's own
    (remark,) = newer_images(prepare(root, videos=folder, size=size))
    assert remark.startswith(f"{replaced}: newer than the images of these names in ")
    assert there.read_bytes() == before
    (root / "linked.json").write_text(noted)
    audit = prepare(root, videos=folder, size=size)
    (video,) = audit.changed
    assert f"{video}: 1 images were replaced since; taken again" in audit.remarks
    assert there.read_bytes() != before and len(load_index(root)) == 3
    assert prepare(root, videos=folder, size=size).changed == []


def newer_images(audit):
    assert audit.problems == []
    return [remark for remark in audit.remarks if "newer" in remark]


def test_frames_at_one_a_second_are_gone_on_with(root):
    write_frames(root, SECONDS - 1)
    prepare(root)
    assert len(load_index(root)) == SECONDS


def test_frames_without_a_video_have_the_rate_that_the_user_says(tmp_path):
    write_frames(tmp_path, 10)
    prepare(tmp_path, 5.0)
    assert load_index(tmp_path).second.tolist() == [n / 5 for n in range(10)]
    prepare(tmp_path, 5.0)
    with pytest.raises(InputError, match=r"was extracted with fps=5\.0"):
        prepare(tmp_path, 2.0)


@pytest.mark.parametrize("place", ["in", "ours/videos"])
def test_a_video_keeps_its_name_whatever_comes_beside_it(tmp_path, place):
    folder, root = tmp_path / place, tmp_path / "ours"
    videos = folder if place == "in" else None
    write_video(folder / "y.mkv", frames=50)
    prepare(root, videos=videos)
    write_video(folder / "y.avi", frames=100)
    for why in (f"as y is {folder / 'y.mkv'}", "as before"):
        audit = prepare(root, videos=videos)
        assert audit.problems == []
        assert {name: counts["frames"] for name, counts in audit.videos.items()} == {
            **{"y": 2, "y_avi": 4}
        }
        assert audit.remarks == [f"{folder / 'y.avi'}: named y_avi, {why}"]


def test_a_video_keeps_its_name_when_a_folder_above_it_is_searched(tmp_path):
    write_video(tmp_path / "in" / "day" / "y.mp4", frames=50)
    prepare(tmp_path / "ours", videos=tmp_path / "in" / "day")
    write_video(tmp_path / "in" / "y.mp4", frames=100)
    audit = prepare(tmp_path / "ours", videos=tmp_path / "in")
    assert {name: counts["frames"] for name, counts in audit.videos.items()} == {
        **{"y": 2, "in_y": 4}
    }


def test_patients_by_name_are_one_remark_of_the_audit_where_a_split_is_drawn(tmp_path):
    folder, root = tmp_path / "in", tmp_path / "ours"
    for name in [f"Pat_{number}_{take}" for number in range(5) for take in "ab"]:
        write_video(folder / f"{name}.mp4", frames=1)
    prepare(root, videos=folder)
    written = json.loads((root / "audit.json").read_text())["remarks"]
    (remark,) = [remark for remark in written if "patient" in remark]
    assert remark.startswith("Pat_0_a, Pat_0_b; Pat_1_a, Pat_1_b; Pat_2_a, Pat_2_b and 2 more")
    names = sorted(file.stem for file in folder.iterdir())
    write_protocols(root, {"ours": {"train": names, "validation": [], "test": []}})
    assert not any("patient" in remark for remark in prepare(root, videos=folder).remarks)
    (root / "protocols.json").unlink()
    for name in names:
        if "Pat_0" not in name:
            (folder / f"{name}.mp4").rename(folder / f"{name.replace('Pat', 'Pat_0')}.mp4")
    prepare(tmp_path / "other", videos=folder)
    written = json.loads((tmp_path / "other" / "audit.json").read_text())["remarks"]
    assert any("the split is drawn by video" in remark for remark in written)


def test_the_same_call_on_a_folder_that_grows(tmp_path):
    folder, root = tmp_path / "in", tmp_path / "ours"
    write_video(folder / "a.mp4", frames=50)
    write_video(folder / "b.mp4", frames=50)
    first = prepare(root, videos=folder)
    assert (first.changed, first.gone) == ([], [])
    (folder / "a.mp4").unlink()
    write_video(folder / "b.mp4", frames=100)
    write_video(folder / "c.mp4", frames=75)
    audit = prepare(root, videos=folder)
    assert (audit.problems, audit.changed, audit.gone) == ([], ["b"], ["a"])
    assert {name: counts["frames"] for name, counts in audit.videos.items()} == {
        **{"a": 2, "b": 4, "c": 3}
    }
    assert "a: not among the usable files of --videos; its frames stay" in audit.remarks
    assert "b: its file has changed; its frames are extracted again" in audit.remarks
    assert len(load_index(root)) == 9
    again = prepare(root, videos=folder)
    assert (again.changed, again.gone) == ([], ["a"])
    assert prepare(root).gone == []  # nobody has said where videos are

    (folder / "b.mp4").write_bytes(b"no video")
    broken = prepare(root, videos=folder)
    assert broken.changed == [] and "b.mp4" in broken.problems[0]
    assert broken.videos["b"]["frames"] == 4
    assert not any("extracted again" in remark for remark in broken.remarks)


def test_a_changed_file_of_the_same_size_and_one_that_was_moved(tmp_path):
    folder, root = tmp_path / "in", tmp_path / "ours"
    file = write_video(folder / "c.mp4", frames=75)
    prepare(root, videos=folder)
    os.utime(file, (1e9, 1e9))  # touched, or copied
    assert prepare(root, videos=folder).changed == []
    (folder / "day").mkdir()
    file = file.rename(folder / "day" / "c.mp4")
    assert (prepare(root, videos=folder).changed, load_index(root).videos) == ([], ("c",))
    content = bytearray(file.read_bytes())
    place = content.index(b"mdat") + 400
    content[place] ^= 1
    file.write_bytes(content)
    os.utime(file, (2e9, 2e9))
    assert prepare(root, videos=folder).changed == ["c"]


def test_what_lies_below_an_unreadable_place_is_not_gone(tmp_path, monkeypatch):
    folder, root = tmp_path / "in", tmp_path / "ours"
    write_video(folder / "a.mp4", frames=25)
    write_video(folder / "day" / "b.mp4", frames=25)
    prepare(root, videos=folder)
    real = os.listdir

    def listdir(place):  # root may read everything
        if str(place).endswith("day"):
            raise PermissionError(13, "Permission denied")
        return real(place)

    monkeypatch.setattr(os, "listdir", listdir)
    audit = prepare(root, videos=folder)
    assert audit.gone == [] and any("day: permission denied" in text for text in audit.problems)
    assert any("b: not among the usable files of --videos, a part" in t for t in audit.remarks)
    monkeypatch.undo()
    (folder / "day" / "b.mp4").unlink()
    assert prepare(root, videos=folder).gone == ["b"]


def test_dicom_files_of_a_patient_are_in_one_part_of_the_split_and_nothing_says_whose(tmp_path):
    for number in range(12):  # two of a patient, in folders that say otherwise
        path = tmp_path / "in" / f"day {number % 5}" / f"case{chr(97 + number)}.dcm"
        write_dicom(path, jpegs(3), JPEG, 3, CineRate=1, PatientID=f"47110{number // 2}")
    root = tmp_path / "out"
    audit = prepare(root, videos=tmp_path / "in")
    splits = (root / "splits.json").read_text()
    names = [f"case{letter}" for letter in "abcdefghijkl"]
    pairs = [set(names[place : place + 2]) for place in range(0, 12, 2)]
    (parts,) = json.loads(splits)["protocols"].values()
    for pair in pairs:
        assert any(pair <= set(part["videos"]) for part in parts.values())
    assert any("each one patient by what DICOM files say" in text for text in audit.remarks)
    for file in filter(Path.is_file, root.rglob("*")):
        assert b"47110" not in file.read_bytes(), file
    before = (root / PATIENTS).read_text()
    prepare(root)  # as where annotations were added
    assert (root / "splits.json").read_text() == splits
    assert (root / PATIENTS).read_text() == before


@pytest.fixture
def listed(monkeypatch):
    """The names of the videos whose folders are listed to see whether their frames are there."""
    names, real = [], extraction_log.frame_numbers

    def frame_numbers(folder, video):
        names.append(video)
        return real(folder, video)

    monkeypatch.setattr(extraction_log, "frame_numbers", frame_numbers)
    return names


def test_frames_of_a_dataset_in_which_nothing_has_changed_are_not_counted_again(tmp_path, listed):
    recordings, root = tmp_path / "recordings", tmp_path / "data"
    for name in ("op1", "op2"):
        write_video(recordings / f"{name}.mp4", 25, 25 * SECONDS)
    prepare(root, videos=recordings)
    listed.clear()
    prepare(root, videos=recordings)
    assert listed == []
    (root / "frames" / "op1" / "op1_000002.jpg").unlink()
    prepare(root, videos=recordings)
    assert listed == ["op1"]
    assert load_index(root).frame.tolist() == 2 * list(range(1, SECONDS + 1))


def test_a_video_that_is_extracted_again_has_its_new_rows(tmp_path):
    recordings, root = tmp_path / "recordings", tmp_path / "data"
    for name in ("op1", "op2"):
        write_video(recordings / f"{name}.mp4", 25, 25 * SECONDS)
    prepare(root, videos=recordings)
    prepare(root, videos=recordings)
    write_video(recordings / "op2.mp4", 25, 25 * (SECONDS + 2), first=100)
    audit = prepare(root, videos=recordings)
    assert audit.changed == ["op2"]
    index = load_index(root)
    assert np.bincount(index.video).tolist() == [SECONDS, SECONDS + 2]
    assert read_numbers(root / "frames" / "op2")["op2_000001.jpg"] == 100
    fresh = prepare(tmp_path / "fresh", videos=recordings)
    assert fresh.videos == audit.videos


@pytest.mark.parametrize("size", [None, 10])
def test_images_that_were_replaced_have_their_new_sizes(tmp_path, size):
    """Linked or copied: what is copied does not change until it is taken anew."""
    images, root = tmp_path / "images", tmp_path / "data"
    images.mkdir()
    for number in range(1, 4):
        cv2.imwrite(str(images / f"a_{number:06d}.png"), np.full((16, 16, 3), 90, np.uint8))
    before = size or 16
    assert prepare(root, videos=images, size=size).sizes == {(before, before): 3}
    for number in range(1, 4):
        file = images / f"a_{number:06d}.png"
        file.unlink()
        cv2.imwrite(str(file), np.full((20, 40, 3), 90, np.uint8))
        os.utime(file, (2e9, 2e9))
    after = prepare(root, videos=images, size=size).sizes
    assert after == {(2 * size, size) if size else (40, 20): 3}
