import cv2
import numpy as np
import pytest

from data.errors import InputError
from data.image_files import (
    END_BYTES,
    ImageFiles,
    find_fault,
    group_images,
    is_image,
    link_images,
    list_files,
    natural_key,
    official_number,
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
    listed = list_files(tmp_path)
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
        path.write_bytes(content + bytes(END_BYTES // 2))
        assert find_fault(path) is None, "some writers pad their files"
    half = content[: len(content) // 2]
    path.write_bytes(half)
    assert str(len(half)) in find_fault(path)
    assert ("no image" if suffix == ".bmp" else "cut off") in find_fault(path)
    path.write_bytes(content[:-12])  # nearly complete
    assert find_fault(path)
    path.write_text("no image")
    assert find_fault(path) == "8 bytes that are no image"
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
    (tmp_path / "b").mkdir()
    for name in ("b/10.png", "b/9.JPG", "notes.txt", "b/._9.JPG"):
        (tmp_path / name).write_bytes(b"x")
    files = ImageFiles(tmp_path)
    assert [path.rsplit("/", 1)[1] for path in files.paths(range(len(files)))] == [
        "9.JPG",
        "10.png",
    ]


@pytest.mark.parametrize("name", ["missing", "empty", "notes.txt"])
def test_what_is_no_image_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=name):
        ImageFiles(tmp_path / name)
