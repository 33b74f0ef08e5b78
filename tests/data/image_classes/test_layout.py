"""What nested folders, and folders named like splits, are read as."""

import pytest

from data.common.errors import InputError
from data.image_classes.layout import read_layout
from tests.support.class_images import PARTS, classes_of, prepare, write_image


@pytest.fixture
def nested(tmp_path):
    place = tmp_path / "nested"
    for name in ("upper-gi/polyps", "upper-gi/cancer", "lower-gi/normal", "lower-gi/other"):
        for number in range(4):
            write_image(place / name / f"{number}.png")
    return place


def test_nested_folders_are_read_as_the_user_says(tmp_path, nested):
    with pytest.raises(InputError) as error:
        prepare(tmp_path / "out", nested)
    for part in ("--class_folders=last for the classes cancer, normal, other and 1 more", "first"):
        assert part in str(error.value)
    assert not (tmp_path / "out").exists()
    _, manifest, _ = prepare(tmp_path / "last", nested, level="last")
    assert classes_of(manifest) == ["cancer", "normal", "other", "polyps"]
    _, manifest, _ = prepare(tmp_path / "first", nested, level="first")
    assert classes_of(manifest) == ["lower-gi", "upper-gi"]


@pytest.mark.parametrize("pattern", ["{part}/{kind}", "{kind}/{part}"])
@pytest.mark.parametrize(
    "called",
    [("Train", "val", "testing"), ("training_set", "Validation set", "testing-data")],
)
def test_folders_of_a_split_are_the_split(tmp_path, pattern, called):
    for part, number in zip(called, (8, 2, 3), strict=True):
        for kind in ("a", "b"):
            for image in range(number):
                place = tmp_path / "in" / pattern.format(part=part, kind=kind)
                write_image(place / f"{part}{image}.png")
    _, manifest, _ = prepare(tmp_path / "out", tmp_path / "in")
    assert list(manifest["protocols"]) == ["as given"]
    assert classes_of(manifest) == ["a", "b"]
    split = manifest["protocols"]["as given"]
    assert [split[part]["classes"] for part in PARTS] == [dict.fromkeys("ab", n) for n in (8, 2, 3)]
    assert all("testing" in name for name in split["test"]["videos"])


def test_a_validation_part_is_drawn_of_the_training_where_none_is_given(tmp_path):
    for part, number in (("train", 16), ("test", 3)):
        for kind in ("a", "b"):
            for image in range(number):
                write_image(tmp_path / "in" / part / kind / f"{image}.png")
    _, manifest, audit = prepare(tmp_path / "out", tmp_path / "in")
    split = manifest["protocols"]["as given"]
    assert [split[part]["classes"] for part in PARTS] == [
        dict.fromkeys("ab", n) for n in (14, 2, 3)
    ]
    assert any("validation is an eighth" in remark for remark in audit.remarks)
    assert all(name.startswith("test") for name in split["test"]["videos"])


@pytest.mark.parametrize("name", ["train/1.png", "train/a/1.png", "a/test/1.png"])
def test_a_split_of_some_folders_is_refused(tmp_path, folder, name):
    write_image(folder / name)
    with pytest.raises(InputError, match=r"(train|test) beside .*folders of a split, or none"):
        prepare(tmp_path / "out", folder, level="last")


def test_a_class_that_is_a_link_to_another_is_named(tmp_path, folder):
    (folder / "again").symlink_to("cyst")
    (folder / "cyst" / "circle").symlink_to("..")
    _, manifest, audit = prepare(tmp_path / "out", folder)
    assert classes_of(manifest) == ["cyst", "normal", "polyp10"]
    (problem,) = audit.problems
    assert problem.startswith(f"{folder}/again: a link to {folder}/cyst, whose images count once")


def test_a_class_of_images_that_are_not_read_is_named(tmp_path):
    for number in range(5):
        (tmp_path / "in" / "gifs").mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / "gifs" / f"{number}.GIF").write_bytes(b"GIF89a")
        for kind in ("a", "b"):
            write_image(tmp_path / "in" / kind / f"{number}.png")
    (tmp_path / "in" / "a" / "notes.txt").write_text("x")
    faults = []
    assert list(read_layout(tmp_path / "in", None, faults).images) == ["a", "b"]
    assert len(faults) == 1 and "2 more: 5 images of formats that are not read" in faults[0]
