import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from data.common.errors import InputError
from data.dataset.cholec80 import PHASES, TOOLS
from data.dataset.frame_index import load_index
from data.frames.listing import list_images
from data.indexing.building import build_index
from data.indexing.cleaning import Cleaning

IMAGE = np.full((24, 32, 3), 90, np.uint8)


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), IMAGE)
    return path


def write_frames(root, video, numbers, suffix=".jpg"):
    for number in numbers:
        write_image(root / "frames" / video / f"{video}_{number:06d}{suffix}")


def phase_of(source_frame):
    return source_frame // 25 % 7  # one second each


def write_annotations(root, video, seconds):
    phases = root / "phase_annotations" / f"{video}-phase.txt"
    tools = root / "tool_annotations" / f"{video}-tool.txt"
    for path in (phases, tools):
        path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{frame}\t{PHASES[phase_of(frame)]}\n" for frame in range(25 * seconds)]
    phases.write_text("Frame\tPhase\n" + "".join(lines))
    lines = [
        f"{25 * s}\t" + "\t".join("1" if t == s % 7 else "0" for t in range(7)) + "\n"
        for s in range(seconds)
    ]
    tools.write_text("\t".join(("Frame", *TOOLS)) + "\n" + "".join(lines))


def has(lines, *parts):
    return any(all(str(part) in line for part in parts) for line in lines)


def test_labels_follow_the_number_in_the_name(tmp_path):
    numbers = [2, 3, 5, 8]  # the first second is missing, and others
    write_frames(tmp_path, "video01", numbers)
    write_annotations(tmp_path, "video01", 8)
    audit = build_index(tmp_path)
    index = load_index(tmp_path)

    assert len(index) == 4
    assert index.videos == ("video01",)
    assert index.frame.tolist() == numbers
    assert index.phase.tolist() == [phase_of(25 * (number - 1)) for number in numbers]
    assert index.tools.argmax(axis=1).tolist() == [(number - 1) % 7 for number in numbers]
    assert index.paths([3, 0]) == [
        str(tmp_path / f"frames/video01/video01_{number:06d}.jpg") for number in (8, 2)
    ]
    assert audit.problems == []
    assert has(audit.remarks, "frames/video01", "4 of 8 frames are missing: 1, 4, 6-7")
    assert audit.videos["video01"] == {
        **{"frames": 4, "labelled": 4, "phase_rows": 200, "tool_rows": 8}
    }


def test_frames_at_another_rate_find_their_labels(tmp_path):
    write_frames(tmp_path, "video01", range(1, 7))
    write_annotations(tmp_path, "video01", 3)
    (tmp_path / "frames" / "extraction.json").write_text('{"fps": 2.0, "videos": {}}')
    audit = build_index(tmp_path)
    index = load_index(tmp_path)
    assert index.phase.tolist() == [0, 0, 1, 1, 2, 2]
    assert index.tools.max(axis=1).tolist() == [1, -1, 1, -1, 1, -1]  # annotated every second
    assert audit.remarks == [
        f"{tmp_path}/tool_annotations/video01-tool.txt: the frames go on for 1 after frame 5 "
        "(off by one: tolerated)"
    ]


def test_the_table_on_disk(tmp_path):
    write_frames(tmp_path, "video10", [1])
    write_frames(tmp_path, "video9", [1, 2], ".png")
    write_annotations(tmp_path, "video9", 2)
    build_index(tmp_path)
    table = pq.read_table(tmp_path / "index.parquet").to_pydict()
    assert table["video"] == ["video9", "video9", "video10"]  # natural order
    assert table["frame"] == [1, 2, 1]
    assert table["phase"] == [0, 1, -1]
    assert [table[tool] for tool in TOOLS[:2]] == [[1, 0, -1], [0, 1, -1]]
    assert table["file"] == [
        "frames/video9/video9_000001.png",
        "frames/video9/video9_000002.png",
        "frames/video10/video10_000001.jpg",
    ]
    assert {file.name for file in tmp_path.iterdir() if file.is_file()} == {
        *("index.parquet", "classes.json", "audit.json", ".whole_images.npy", ".read_videos.json")
    }


@pytest.mark.parametrize("frames", [9, 10, 11, 13])
def test_ends_that_differ_are_said(tmp_path, frames):
    write_frames(tmp_path, "video01", range(1, frames + 1))
    write_annotations(tmp_path, "video01", 10)
    audit = build_index(tmp_path)
    index = load_index(tmp_path)
    assert (index.phase[:10] >= 0).all()
    assert (index.phase[10:] == -1).all()
    assert audit.problems == []
    longer = "frames" if frames > 10 else "labels"
    text = f"-phase.txt: the {longer} go on for {abs(frames - 10)} after"
    assert has(audit.remarks, text) == (frames != 10)
    assert has(audit.remarks, "tolerated") == (abs(frames - 10) == 1)


def test_images_that_cannot_be_read_are_problems(tmp_path):
    write_frames(tmp_path, "video01", range(1, 5))
    write_frames(tmp_path, "video01", range(5, 8), ".png")
    folder = tmp_path / "frames" / "video01"
    (folder / "video01_000002.jpg").write_bytes(b"")
    for name in ("video01_000003.jpg", "video01_000006.png"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
    (folder / "video01_000007.png").write_text("not an image")
    audit = build_index(tmp_path)
    assert load_index(tmp_path).frame.tolist() == [1, 4, 5]
    assert len(audit.problems) == 4
    for number, what in ((2, "empty"), (3, "cut off"), (6, "cut off"), (7, "not a complete image")):
        assert has(audit.problems, folder / f"video01_{number:06d}", what)
    saved = json.loads((tmp_path / "audit.json").read_text())
    assert saved["problems"] == audit.problems
    assert saved["totals"] == {"videos": 1, "frames": 3, "labelled": 0}


def test_strays_and_duplicates_are_remarks(tmp_path):
    write_frames(tmp_path, "video01", [1, 2, 3])
    write_annotations(tmp_path, "video01", 3)
    write_annotations(tmp_path, "video77", 3)
    folder = tmp_path / "frames" / "video01"
    strays = [
        write_image(folder / "video02_000001.jpg"),
        write_image(folder / "copy of video01_000001.jpg"),
        folder / "Thumbs.db",
        tmp_path / "frames" / "notes.txt",
        tmp_path / "phase_annotations" / "old.txt",
    ]
    for path in strays:
        path.touch()
    write_image(folder / "video01_2.png")
    (folder / ".DS_Store").touch()
    (tmp_path / "phase_annotations" / "video01-timestamp.txt").touch()
    audit = build_index(tmp_path)
    assert load_index(tmp_path).frame.tolist() == [1, 2, 3]
    assert audit.problems == []
    for stray in strays:
        assert has(audit.remarks, stray, "stray")
    assert has(audit.remarks, "frame 2 again", "video01_2.png")
    assert has(audit.remarks, "video77-phase.txt", "no frames of video77")
    assert has(audit.remarks, "video77-tool.txt")
    assert len(audit.remarks) == len(strays) + 3


def test_videos_without_annotations_among_others_are_remarked(tmp_path):
    write_frames(tmp_path, "video01", [1])
    write_frames(tmp_path, "video02", [1])
    write_annotations(tmp_path, "video01", 1)
    audit = build_index(tmp_path)
    assert has(audit.remarks, "video02-phase.txt: missing")
    assert has(audit.remarks, "video02-tool.txt: missing")
    assert len(audit.remarks) == 2


def test_bad_annotations_cost_labels_not_frames(tmp_path):
    write_frames(tmp_path, "video01", [1, 2])
    write_annotations(tmp_path, "video01", 2)
    path = tmp_path / "phase_annotations" / "video01-phase.txt"
    path.write_text("")
    audit = build_index(tmp_path)
    index = load_index(tmp_path)
    assert index.phase.tolist() == [-1, -1]
    assert index.tools.max() == 1
    assert audit.problems == [f"{path}: empty"]


def test_labels_are_not_joined_to_names_that_may_count_otherwise(tmp_path):
    for name in ("000001.jpg", "000002.jpg"):
        write_image(tmp_path / "frames" / "video01" / name)
    write_annotations(tmp_path, "video01", 2)
    audit = build_index(tmp_path)
    assert (load_index(tmp_path).phase == -1).all()
    assert has(audit.problems, "annotations of video01: phases need the time of each image")


def test_foreign_names(tmp_path):
    flat = ["00001-21711-frame-14628.jpg", "00001-21711-frame-0.jpg", "00002-7-frame-3.jpg"]
    for name in flat:
        write_image(tmp_path / "frames" / name)
    for name in ("b.jpg", "a10.jpg", "a9.jpg"):
        write_image(tmp_path / "frames" / "unnumbered {x}" / name)
    for name in ("b7.jpg", "a08.jpg"):
        write_image(tmp_path / "frames" / "z" / name)
    audit = build_index(tmp_path)
    index = load_index(tmp_path)
    assert index.videos == ("00001-21711", "00002-7", "unnumbered {x}", "z")
    assert index.video.tolist() == [0, 0, 1, 2, 2, 2, 3, 3]
    assert index.frame.tolist() == [1, 14629, 3, 1, 2, 3, 7, 8]
    assert [Path(path).name for path in index.paths(slice(None))] == [
        *(flat[1], flat[0], flat[2], "a9.jpg", "a10.jpg", "b.jpg", "b7.jpg", "a08.jpg")
    ]
    assert all(Path(path).is_file() for path in index.paths(np.arange(8)))
    assert has(audit.remarks, "unnumbered {x}", "do not number")


@pytest.mark.parametrize("names", [["op_0", "op_1", "op_10"], ["op_000", "op_001", "op_010"]])
def test_files_that_count_from_zero_are_found(tmp_path, names):
    for name in names:
        write_image(tmp_path / "frames" / "op" / f"{name}.jpg")
    build_index(tmp_path)
    index = load_index(tmp_path)
    assert index.frame.tolist() == [1, 2, 11]
    assert [Path(path).stem for path in index.paths(slice(None))] == names
    assert len(index.templates) == 1


@pytest.mark.parametrize(
    "stem", ["7936140a2d5fc1443c4e445927738677", "9" * 40, "op_\u0661", "op_\u0660\u0660\u0661"]
)
def test_names_that_end_in_digits_but_not_in_a_frame_s_number_are_found(tmp_path, stem):
    """Digests, some of which end in ten digits or more, and numbers in the digits of a script."""
    file = write_image(tmp_path / "frames" / "op" / f"{stem}.jpg")
    build_index(tmp_path)
    assert list(load_index(tmp_path).paths(slice(None))) == [str(file)]


@pytest.mark.parametrize("is_first_damaged", [False, True])
def test_a_video_whose_names_count_from_zero_has_the_labels_of_its_seconds(
    tmp_path, is_first_damaged
):
    """Those of its neighbour, by the index and by what inference makes of the files."""
    for video, begin in (("video01", 0), ("video02", 1)):
        write_frames(tmp_path, video, range(begin, begin + 6))
        write_annotations(tmp_path, video, 6)
    first = tmp_path / "frames" / "video01" / "video01_000000.jpg"
    if is_first_damaged:
        first.write_bytes(first.read_bytes()[:100])
    audit = build_index(tmp_path)
    assert has(audit.remarks, "video01: its frames are numbered from 0")
    assert not has(audit.remarks, "video02", "numbered from 0")
    index = load_index(tmp_path)
    zero, one = (index.select([video]) for video in index.videos)
    seconds = list(range(is_first_damaged, 6))
    assert zero.second.tolist() == zero.phase.tolist() == seconds
    assert one.second.tolist() == one.phase.tolist() == list(range(6))
    listed = list_images(tmp_path / "frames" / "video01")
    assert listed.second.tolist() == list(range(6))
    some = list_images(str(tmp_path / "frames" / "video01" / "*[345].jpg"))  # without its first
    assert some.second.tolist() == [3, 4, 5]


def test_nothing_is_written_where_nothing_is_usable(tmp_path):
    with pytest.raises(InputError, match="frames"):
        build_index(tmp_path)
    (tmp_path / "frames" / "video01").mkdir(parents=True)
    (tmp_path / "frames" / "video01" / "video01_000001.jpg").touch()
    with pytest.raises(InputError, match=r"video01_000001\.jpg: empty"):
        build_index(tmp_path)
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["frames"]


def write_scenes(root):
    """A video of ten tissue-coloured scenes, two black and one twice; with black borders."""
    write_frames(root, "video01", range(1, 11))
    for number in range(1, 11):
        image = np.zeros((120, 160, 3), np.uint8)
        if number not in (4, 5):
            image[:, 40:120] = (40, 50, 100 + 10 * min(number, 9))
        cv2.imwrite(str(root / "frames" / "video01" / f"video01_{number:06d}.jpg"), image)
    write_annotations(root, "video01", 10)


def read_rows(root, index):
    table = pq.read_table(root / index).to_pydict()
    return table["frame"], table["phase"], table["file"]


def test_cleaning_drops_frames_from_an_index_of_its_own(tmp_path):
    write_scenes(tmp_path)
    audit = build_index(tmp_path, cleaning=Cleaning(black=True, near_duplicates=True))
    assert audit.videos["video01"] == {
        **{"frames": 10, "labelled": 10, "phase_rows": 250, "tool_rows": 10},
        **{"black": 2, "near_duplicates": 1, "pretraining": 7},
    }
    frames, phases, files = read_rows(tmp_path, "index.parquet")
    assert frames == list(range(1, 11)), "what is evaluated stays complete"
    kept, phases_of_kept, _ = read_rows(tmp_path, "pretraining.parquet")
    assert kept == [1, 2, 3, 6, 7, 8, 9]
    assert phases_of_kept == [phases[frame - 1] for frame in kept]
    assert all((tmp_path / file).is_file() for file in files)
    assert not (tmp_path / "cropped").exists()

    build_index(tmp_path)  # without cleaning: as if it had never been
    assert not (tmp_path / "pretraining.parquet").exists()
    assert json.loads((tmp_path / "audit.json").read_text())["totals"] == {
        **{"videos": 1, "frames": 10, "labelled": 10}
    }


def test_both_indices_name_the_cropped_frames(tmp_path):
    write_scenes(tmp_path)
    build_index(tmp_path, cleaning=Cleaning(black=True, borders=True))
    index = load_index(tmp_path)
    assert index.frame.tolist() == list(range(1, 11))
    folder = tmp_path / "cropped" / "video01"
    assert index.paths([0, 9]) == [str(folder / f"video01_{n:06d}.jpg") for n in (1, 10)]
    assert {cv2.imread(path).shape for path in index.paths(slice(None))} == {(120, 80, 3)}
    files = read_rows(tmp_path, "pretraining.parquet")[2]
    assert files == [f"cropped/video01/video01_{n:06d}.jpg" for n in (1, 2, 3, 6, 7, 8, 9, 10)]

    build_index(tmp_path)
    assert load_index(tmp_path).paths([0]) == [
        str(tmp_path / "frames" / "video01" / "video01_000001.jpg")
    ]


def test_cleaning_that_leaves_nothing_is_refused(tmp_path):
    write_frames(tmp_path, "video01", [1])
    cv2.imwrite(str(tmp_path / "frames/video01/video01_000001.jpg"), np.zeros((80, 80, 3)))
    with pytest.raises(InputError, match="no frame is left after cleaning"):
        build_index(tmp_path, cleaning=Cleaning(black=True))
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["frames"]


def test_a_video_of_which_nothing_is_left_among_others(tmp_path):
    write_scenes(tmp_path)
    write_frames(tmp_path, "video02", [1])
    cv2.imwrite(str(tmp_path / "frames/video02/video02_000001.jpg"), np.zeros((80, 80, 3)))
    audit = build_index(tmp_path, cleaning=Cleaning(black=True))
    assert audit.videos["video02"]["pretraining"] == 0
    assert set(pq.read_table(tmp_path / "pretraining.parquet")["video"].to_pylist()) == {"video01"}
    assert load_index(tmp_path).videos == ("video01", "video02")
