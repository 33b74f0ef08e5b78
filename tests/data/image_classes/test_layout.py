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


@pytest.mark.parametrize("pattern", ["{fold}/{kind}", "{kind}/{fold}"])
@pytest.mark.parametrize("called", ["fold{}", "fold_{}", "Fold 0{}", "cv{}", "split{}", "5-fold{}"])
def test_folders_of_folds_are_folds(tmp_path, pattern, called):
    for fold in (1, 2, 10):
        for kind in ("a", "b"):
            place = tmp_path / "in" / pattern.format(fold=called.format(fold), kind=kind)
            for image in range(4):
                write_image(place / f"{fold}_{image}.png")
    if called.startswith("5"):  # a name that may be anything
        with pytest.raises(InputError, match="expected --class_folders=last"):
            prepare(tmp_path / "out", tmp_path / "in")
        return
    _, manifest, audit = prepare(tmp_path / "out", tmp_path / "in")
    assert classes_of(manifest) == ["a", "b"]
    assert not [remark for remark in audit.remarks if "of patients who" in remark]
    name = called[:2].lower()
    tests = {
        protocol: {image.rsplit("_", 1)[0].rsplit("/")[-1] for image in split["test"]["videos"]}
        for protocol, split in manifest["protocols"].items()
    }
    assert len(tests) == 3
    assert all(protocol.split()[-1].startswith(name) for protocol in tests)
    assert len(set(map(frozenset, tests.values()))) == 3


def test_folds_with_a_split_in_each_or_without_classes_are_refused(tmp_path):
    for fold in ("fold1", "fold2"):
        write_image(tmp_path / "loose" / fold / "1.png")
        for part in ("train", "test"):
            for kind in ("a", "b"):
                write_image(tmp_path / "each" / fold / part / kind / "1.png")
    with pytest.raises(InputError, match=f"expected one of them, as in --images={tmp_path}/each/f"):
        prepare(tmp_path / "out", tmp_path / "each")
    with pytest.raises(InputError, match="images in fold1, fold2 itself; expected a folder for"):
        prepare(tmp_path / "out", tmp_path / "loose")


def test_one_folder_that_is_called_as_a_fold_is_a_class(tmp_path):
    for kind in ("split1", "whole"):
        write_image(tmp_path / "in" / kind / "1.png")
    _, manifest, _ = prepare(tmp_path / "out", tmp_path / "in")
    assert classes_of(manifest) == ["split1", "whole"]
    for kind in ("a", "b"):
        write_image(tmp_path / "alone" / "split1" / kind / "1.png")
    with pytest.raises(InputError, match="expected --class_folders=last"):
        prepare(tmp_path / "other", tmp_path / "alone")


def test_a_fold_is_one_however_its_number_is_written(tmp_path):
    for place in ("a/fold1", "a/fold2", "b/Fold 01", "b/Fold 02"):
        for image in range(4):
            write_image(tmp_path / "in" / place / f"{image}.png")
    _, manifest, _ = prepare(tmp_path / "out", tmp_path / "in")
    assert [name.split()[-1] for name in manifest["protocols"]] == ["fold1", "fold2"]


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
