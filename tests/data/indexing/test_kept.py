"""Videos that are not read again: only where nothing has changed, and with the same result."""

import json
import os
import random
import shutil

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from data.images import completeness
from data.images.states import READ_VIDEOS
from data.indexing import building, kept
from data.indexing.building import build_index
from data.indexing.cleaning import Cleaning
from tests.data.indexing.test_building import write_annotations, write_frames

DUPLICATES = Cleaning(near_duplicates=True)
BORDERS = Cleaning(borders=True, black=True)


@pytest.fixture
def read(monkeypatch):
    """The names of the videos that are read."""
    names, real = [], building._read_video

    def read_video(root, video, **how):
        names.append(video)
        return real(root, video, **how)

    monkeypatch.setattr(building, "_read_video", read_video)
    return names


@pytest.fixture
def root(tmp_path):
    """Three videos, of which video2 has annotations and video10 borders and a black frame."""
    for video in ("video1", "video2"):
        write_frames(tmp_path, video, range(1, 6))
    write_annotations(tmp_path, "video2", 5)
    folder = tmp_path / "frames" / "video10"
    folder.mkdir()
    for number in range(1, 7):
        image = np.zeros((64, 64, 3), np.uint8)
        image[8:56, 8:56] = (40, 40, 60 + 20 * number) if number != 3 else 0
        cv2.imwrite(str(folder / f"video10_{number:06d}.png"), image)
    return tmp_path


def tables(root):
    return [pq.read_table(f) if f.is_file() else None for f in sorted(root.glob("*.parquet"))]


def result(root, cleaning=building.NO_CLEANING):
    """What a call writes: index, audit, classes."""
    build_index(root, cleaning=cleaning)
    texts = [(root / name).read_text() for name in ("audit.json", "classes.json")]
    crops = {str(f): f.stat().st_size for f in (root / "cropped").rglob("*") if f.is_file()}
    return tables(root), texts, crops


def assert_as_if_fresh(root, cleaning=building.NO_CLEANING):
    """The next call's result is that of a call that reads all."""
    got = result(root, cleaning)
    (root / READ_VIDEOS).unlink()
    assert got == result(root, cleaning)


def frame(root, video, number, suffix=".jpg"):
    return root / "frames" / video / f"{video}_{number:06d}{suffix}"


def write_over(file, content):
    """Other bytes in the place of a file, of which its folder and its time say nothing."""
    state = file.stat()
    file.write_bytes(content)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert file.stat().st_mtime_ns == state.st_mtime_ns


def test_nothing_is_read_or_written_where_nothing_has_changed(root, read):
    first = result(root)
    assert sorted(read) == ["video1", "video10", "video2"]
    files = [root / name for name in ("index.parquet", READ_VIDEOS)]
    before = [file.stat().st_ino for file in files]
    read.clear()
    assert result(root) == first
    assert read == []
    assert [file.stat().st_ino for file in files] == before
    assert_as_if_fresh(root)


@pytest.mark.parametrize("cleaning", [DUPLICATES, BORDERS, Cleaning(out_of_body=True)])
def test_what_was_cleaned_is_not_measured_again(root, read, cleaning):
    first = result(root, cleaning)
    read.clear()
    assert result(root, cleaning) == first
    assert read == []
    frame(root, "video1", 2).unlink()
    assert_as_if_fresh(root, cleaning)


def remove_frame(root):
    frame(root, "video1", 4).unlink()


def add_frame(root):
    shutil.copy2(frame(root, "video1", 1), frame(root, "video1", 6))


def rename_frame(root):
    frame(root, "video1", 5).rename(frame(root, "video1", 9))


def cut_off(root):
    file = frame(root, "video1", 2)
    write_over(file, file.read_bytes()[:-40])


def replace_by_a_file_of_the_same_size_and_time(root):
    file = frame(root, "video1", 2)
    state, new = file.stat(), file.with_name("new")
    new.write_bytes(bytes(state.st_size))
    os.utime(new, ns=(state.st_atime_ns, state.st_mtime_ns))
    new.replace(file)


def link_to_another_file(root):
    file = frame(root, "video1", 1)
    file.unlink()
    file.symlink_to(frame(root, "video10", 1, ".png"))


def link_to_nothing(root):
    file = frame(root, "video1", 2)
    file.unlink()
    file.symlink_to(root / "nothing")


def add_a_stray(root):
    (root / "frames" / "video1" / "notes.txt").write_text("")


def become_a_link(root):
    folder = root / "frames" / "video1"
    folder.rename(root / "elsewhere")
    (root / "elsewhere" / "video1_000001.jpg").unlink()
    folder.symlink_to(root / "elsewhere")


@pytest.mark.parametrize(
    "change",
    [
        *(remove_frame, add_frame, rename_frame, cut_off, link_to_another_file, link_to_nothing),
        *(replace_by_a_file_of_the_same_size_and_time, add_a_stray, become_a_link),
    ],
)
def test_a_video_whose_frames_have_changed_is_read(root, read, change):
    before = result(root)
    change(root)
    read.clear()
    assert result(root) != before
    assert read == ["video1"]
    assert_as_if_fresh(root)


def test_a_frame_with_other_content_of_the_same_size_and_time_is_measured(root, read):
    black, lit = (frame(root, "video10", n, ".png") for n in (3, 4))
    size = max(black.stat().st_size, lit.stat().st_size)
    black.write_bytes(black.read_bytes().ljust(size, b"\0"))  # after the end of a PNG
    result(root, Cleaning(black=True))
    read.clear()
    write_over(black, lit.read_bytes().ljust(size, b"\0"))
    result(root, Cleaning(black=True))
    assert read == ["video10"]
    assert json.loads((root / "audit.json").read_text())["videos"]["video10"]["black"] == 0


def annotate_otherwise(root):
    write_annotations(root, "video2", 4)


def list_phases(root):
    (root / "phases.txt").write_text("Preparation\nCalotTriangleDissection\n")


def remove_annotations(root):
    (root / "phase_annotations" / "video2-phase.txt").unlink()


def extract_faster(root):
    (root / "frames" / "extraction.json").write_text('{"fps": 2.0, "videos": {}}')


def map_phases(root):
    (root / "phase_map.csv").write_text("from,to\nClippingCutting,\n")


@pytest.mark.parametrize(
    "change", [annotate_otherwise, remove_annotations, map_phases, extract_faster]
)
def test_labels_that_have_changed_are_joined_again(root, read, change):
    before = result(root)
    change(root)
    read.clear()
    assert result(root) != before
    assert "video2" in read
    assert_as_if_fresh(root)


def test_a_list_of_phases_that_leaves_some_out_is_obeyed(root):
    list_phases(root)
    before = result(root)
    (root / "phases.txt").write_text("Preparation\nCalotTriangleDissection\nClippingCutting\n")
    assert result(root) != before
    assert_as_if_fresh(root)


def test_annotations_that_are_copied_anew_are_the_same(root, read):
    result(root)
    file = root / "phase_annotations" / "video2-phase.txt"
    shutil.copy(file, root / "copy")
    (root / "copy").replace(file)
    read.clear()
    result(root)
    assert read == []


def test_a_table_that_has_changed_is_joined_again_to_all_its_videos(root, read):
    (root / "annotations").mkdir()
    table = root / "annotations" / "phases.csv"
    table.write_text("video,start,end,phase\nvideo1,0,3,A\nvideo10,0,2,B\n")
    result(root)
    table.write_text("video,start,end,phase\nvideo1,0,2,A\nvideo10,0,2,B\n")
    read.clear()
    result(root)
    assert sorted(read) == ["video1", "video10"]
    assert_as_if_fresh(root)


def test_a_group_of_labels_that_is_new_is_a_column_of_all_rows(root, read):
    result(root)
    (root / "lesion_annotations").mkdir()
    (root / "lesion_annotations" / "video1-lesion.txt").write_text("Frame\tpolyp\n0\t1\n25\t0\n")
    read.clear()
    result(root)
    assert "lesion/polyp" in pq.read_schema(root / "index.parquet").names
    assert len(read) == 3
    assert_as_if_fresh(root)


def test_other_flags_read_all(root, read):
    result(root)
    drops_other = Cleaning(black=True)
    for cleaning in (DUPLICATES, drops_other, BORDERS, building.NO_CLEANING):
        read.clear()
        result(root, cleaning)
        assert len(read) == 3
        assert_as_if_fresh(root, cleaning)


def test_new_videos_and_lost_ones_move_the_rows_of_others(root, read):
    result(root, DUPLICATES)
    write_frames(root, "video0", [1, 2])
    write_frames(root, "video3", [1])
    read.clear()
    result(root, DUPLICATES)
    assert sorted(read) == ["video0", "video3"]
    assert_as_if_fresh(root, DUPLICATES)
    shutil.rmtree(root / "frames" / "video1")
    read.clear()
    result(root, DUPLICATES)
    assert read == []
    assert_as_if_fresh(root, DUPLICATES)


def test_rows_are_found_in_groups_of_any_size(root, read, monkeypatch):
    result(root)
    table = pq.read_table(root / "index.parquet")
    pq.write_table(table, root / "index.parquet", row_group_size=4)
    note = json.loads((root / READ_VIDEOS).read_text())
    note["files"] = kept._identities([root / "index.parquet"])
    (root / READ_VIDEOS).write_text(json.dumps(note))
    write_frames(root, "video0", [1, 2])
    read.clear()
    result(root)
    assert read == ["video0"]
    assert_as_if_fresh(root)


def test_a_crop_that_is_gone_is_made_again(root, read):
    result(root, BORDERS)
    crops = list((root / "cropped" / "video10").glob("[!.]*"))
    assert crops
    crops[0].unlink()
    read.clear()
    result(root, BORDERS)
    assert read == ["video10"]
    assert crops[0].is_file()


@pytest.mark.parametrize("name", ["index.parquet", READ_VIDEOS])
@pytest.mark.parametrize("damage", ["cut off", "gone", "other"])
def test_an_index_or_a_note_that_is_not_whole_is_not_believed(root, read, name, damage):
    result(root)
    file = root / name
    if damage == "gone":
        file.unlink()
    else:
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2] if damage == "cut off" else b"[1]")
    read.clear()
    result(root)
    assert len(read) == 3
    assert_as_if_fresh(root)


def test_an_index_for_pre_training_that_is_gone_is_made_again(root, read):
    result(root, DUPLICATES)
    (root / "pretraining.parquet").unlink()
    read.clear()
    result(root, DUPLICATES)
    assert len(read) == 3 and (root / "pretraining.parquet").is_file()


def test_what_was_killed_before_the_note_was_written_is_read_again(root, read, monkeypatch):
    result(root)
    frame(root, "video1", 4).unlink()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(kept.Kept, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        build_index(root)
    read.clear()
    result(root)
    assert len(read) == 3
    assert_as_if_fresh(root)


def test_another_version_of_the_project_reads_all_but_decodes_no_frame_again(
    root, read, monkeypatch
):
    decoded, real = [], completeness.find_fault
    monkeypatch.setattr(completeness, "find_fault", lambda path: decoded.append(path) or real(path))
    result(root)
    assert len(decoded) == 16
    monkeypatch.setattr(kept, "_code", lambda: "another")
    read.clear()
    decoded.clear()
    result(root)
    assert len(read) == 3 and not decoded


def test_a_folder_that_was_moved_is_read_under_its_new_name(root, read):
    frame(root, "video1", 2).unlink()
    result(root)
    moved = root.with_name("moved")
    root.rename(moved)
    read.clear()
    _, texts, _ = result(moved)
    assert len(read) == 3 and str(root) + "/" not in texts[0]


def test_a_video_with_a_problem_is_read_each_time(root, read):
    cut_off(root)
    first = result(root)
    read.clear()
    assert result(root) == first
    assert read == ["video1"]


def test_any_changes_in_turn(root):
    """Whatever happens between two calls, the second is as one that reads all."""
    chance = random.Random(4)
    changes = [remove_frame, add_frame, rename_frame, cut_off, add_a_stray, annotate_otherwise]
    changes += [remove_annotations, extract_faster, link_to_another_file]
    for _ in range(25):
        result(root)
        for change in chance.sample(changes, chance.randint(1, 3)):
            try:
                change(root)
            except FileNotFoundError:  # it has changed so before
                write_frames(root, "video1", range(1, 6))
        assert_as_if_fresh(root)
