import re

import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from data.images.completeness import find_fault
from data.images.finding import find_images, group_images
from data.images.folders import list_files
from data.images.linking import link_images
from data.images.names import (
    is_image,
    natural_key,
    official_number,
    place_in_video,
    trailing_number,
    video_of,
)

IMAGE = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), IMAGE)
    return path


@pytest.mark.parametrize(
    ("stem", "number", "video"),
    [
        ("video68_000055", "000055", "video68"),
        ("00001-21711-frame-14628", "14628", "00001-21711"),
        ("Case 3 Frame07", "07", "Case 3"),
        ("op.12", "12", "op"),
        ("000001", "000001", "images"),
        ("overview", None, "overview"),
        ("a1b", None, "a1b"),
    ],
)
def test_names_tell_the_video_and_the_number(stem, number, video):
    assert trailing_number(stem) == number
    assert video_of(stem) == video


def test_only_official_names_have_an_official_number():
    assert official_number("video68_000055", "video68") == 55
    assert official_number("a_b_7", "a_b") == 7
    for stem in (
        "video6_000055",
        "video68_55b",
        "video68_",
        "video68",
        "video68_²",
        "000055",
        "video68_20240131120000",
    ):
        assert official_number(stem, "video68") is None, stem
    assert [is_image(name) for name in ("a.JPG", "a.tiff", ".a.jpg", "a.txt", "jpg")] == [
        *(True, True, False, False, False)
    ]


def test_files_are_listed_and_grouped_in_natural_order(tmp_path):
    expected = {
        "a_b": ["a/b/z1.png"],
        "op2": ["op2-9.png", "op2-10.png"],
        "op10": ["op10/1.png", "op10/02.png", "op10/11.png"],
    }
    files = [tmp_path / name for names in expected.values() for name in names]
    for file in files[::-1]:
        write_image(file)
    for hidden in (".trash/op3-1.png", "op10/.op10-4.png"):
        write_image(tmp_path / hidden)
    listed = list_files(tmp_path, [])
    assert listed == sorted(files, key=lambda file: natural_key(str(file)))
    assert [file.name for file in listed[-3:]] == ["1.png", "02.png", "11.png"]
    groups = group_images(tmp_path, reversed(listed))
    assert list(groups) == list(expected)
    assert groups == {video: [tmp_path / n for n in names] for video, names in expected.items()}


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_incomplete_images_are_found(tmp_path, suffix):
    path = write_image(tmp_path / f"x{suffix}")
    content = path.read_bytes()
    assert find_fault(path) is None
    if suffix != ".bmp":
        path.write_bytes(content + bytes(10_000))
        assert find_fault(path) is None, "some writers pad their files"
    half = content[: len(content) // 2]
    path.write_bytes(half)
    assert str(len(half)) in find_fault(path)
    assert ("complete" if suffix == ".bmp" else "cut off") in find_fault(path)
    path.write_bytes(content[:-12])  # nearly complete
    assert find_fault(path)
    path.write_text("no image")
    assert find_fault(path) == "8 bytes that are not a complete image"
    path.write_bytes(b"")
    assert find_fault(path) == "empty"


def test_images_appear_as_frames_without_being_copied(tmp_path):
    good, cut = (write_image(tmp_path / "in" / name) for name in ("x_1.jpg", "x_2.jpg"))
    cut.write_bytes(cut.read_bytes()[:-12])
    frames = tmp_path / "frames"
    (frames / "x").mkdir(parents=True)
    (frames / "x" / "x_3.jpg").write_text("is there already")
    old = write_image(tmp_path / "in" / "x_3.jpg")
    bad = tmp_path / "in" / "y_1.jpg"
    bad.touch()

    faults = link_images({"x": [good, cut, old], "y": [bad]}, frames)

    assert list(faults) == [str(cut), str(bad)]
    assert all(reason.startswith(f"{file}: ") for file, reason in faults.items())
    assert (frames / "x" / "x_1.jpg").samefile(good)
    assert (frames / "x" / "x_3.jpg").read_text() == "is there already"
    assert sorted(file.name for file in frames.rglob("*")) == ["x", "x_1.jpg", "x_3.jpg"]


def test_images_are_copied_where_there_are_no_links(tmp_path, monkeypatch):
    def refuse(self, target):
        raise OSError("another disk")

    monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    image = write_image(tmp_path / "x_1.jpg")
    assert link_images({"x": [image]}, tmp_path / "frames") == {}
    (copy,) = (tmp_path / "frames" / "x").iterdir()
    assert copy.name == "x_1.jpg"
    assert copy.read_bytes() == image.read_bytes()


def test_a_folder_is_searched_for_images(tmp_path):
    for name in ("b/10.png", "b/9.JPG", "notes.txt", "b/._9.JPG"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    files, root, passed_over = find_images(tmp_path, [])
    assert [file.name for file in files] == ["9.JPG", "10.png"]
    assert (root, passed_over) == (tmp_path, 1)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*/v_2.png", ["op1/v_2.png", "op2/v_2.png"]),
        ("op1/*", ["op1/v_1.png", "op1/v_2.png"]),
        ("**/*_1.png", ["op1/v_1.png", "op2/v_1.png"]),
        ("op*", ["op1/v_1.png", "op1/v_2.png", "op2/v_1.png", "op2/v_2.png"]),
    ],
)
def test_glob_patterns(tmp_path, pattern, names):
    for video in ("op1", "op2"):
        for number in (1, 2):
            write_image(tmp_path / video / f"v_{number}.png")
        (tmp_path / video / "v_1.txt").write_text("x")
    files, root, _ = find_images(tmp_path / pattern, [])
    assert [str(file.relative_to(tmp_path)) for file in files] == names
    assert all(file.is_relative_to(root) for file in files)


def test_a_list_of_paths_keeps_its_order_and_what_is_missing(tmp_path):
    other = write_image(tmp_path / "elsewhere" / "z.png")
    (tmp_path / "lists").mkdir()
    text = f"b_2.png\n\n{other}\nsub/a_1.png\n"
    (tmp_path / "lists" / "all.txt").write_text(text)
    files, root, _ = find_images(tmp_path / "lists" / "all.txt", [])
    lists = tmp_path / "lists"
    assert files == [lists / "b_2.png", other, lists / "sub" / "a_1.png"]
    assert root == tmp_path


def test_a_list_of_paths_from_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    here = write_image(tmp_path / "home" / "x" / "a.png")
    (tmp_path / "all.txt").write_text("~/x/a.png\n~b.png\n")
    files, _, _ = find_images(tmp_path / "all.txt", [])
    assert files == [here, tmp_path / "~b.png"]


def test_a_list_of_paths_from_any_editor(tmp_path):
    text = "\ufeff# of op1\r\n\r\n  op1/a b_1.png \r\n../lists/op1/c_2.png\r\n#x.png\r\n"
    (tmp_path / "lists").mkdir()
    place = tmp_path / "lists" / "all.txt"
    place.write_bytes(text.encode())
    files, root, _ = find_images(place, [])
    assert [file.name for file in files] == ["a b_1.png", "c_2.png"]
    assert [place_in_video(file, root) for file in files] == [("a b", 1), ("c", 2)]
    place.write_text("op1/v_1.png\nop2/../op2/v_1.png\n../lists/op1/v_2.png\n")
    files, root, _ = find_images(place, [])
    assert [place_in_video(file, root)[0] for file in files] == ["op1", "op2", "op1"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\n# nothing\n", "no paths"),
        ("b_2.png\n".encode("utf-16-le"), "the byte 0"),
    ],
)
def test_a_list_that_cannot_be_used_is_one_clear_line(tmp_path, content, reason):
    (tmp_path / "all.txt").write_bytes(content)
    with pytest.raises(InputError, match=rf"all\.txt.*{reason}"):
        find_images(tmp_path / "all.txt", [])


@pytest.mark.parametrize("name", ["missing", "empty", "notes.md", "*.png"])
def test_what_is_no_image_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(InputError, match=re.escape(name)):
        find_images(tmp_path / name, [])


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("op1/op1_000007.png", ("op1", 7)),
        ("day1/op1/op1_000007.png", ("day1_op1", 7)),
        ("op1/img_000007.png", ("op1", None)),
        ("op3_000007.png", ("op3", 7)),
        ("overview.png", ("overview", None)),
    ],
)
def test_the_place_of_an_image_in_its_video(tmp_path, name, place):
    assert place_in_video(tmp_path / name, tmp_path) == place


def test_names_of_which_one_is_the_other_and_a_number_have_an_order():
    assert sorted(["op10", "op2", "op", "2op"], key=natural_key) == ["2op", "op", "op2", "op10"]


def test_a_file_that_cannot_be_opened_is_a_fault(tmp_path):
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert find_fault(tmp_path / "gone.png") == "no such file or directory"
