"""Any folder of class/image: labels from folders, splits by the sequences of a CSV."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.audit import Audit
from data.dataset.frame_index import load_index
from data.frames.opening import open_source
from data.image_classes.class_folders import prepare_classes
from data.image_classes.writing import LabelledImage, count_classes, draw_stratified, split_table
from data.images.image_io import read_image
from down_stream.tasks import open_task
from tests.support.small_dicoms import SECRETS, write_still

PARTS = ("train", "validation", "test")


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((24, 32, 3), 90, np.uint8))


@pytest.fixture
def folder(tmp_path):
    """Three classes, ten images of each, two of a patient; patients of one class each."""
    folder = tmp_path / "images"
    for kind in ("cyst", "normal", "polyp10"):
        for number in range(10):
            write_image(folder / kind / f"{number}.png")
    return folder


@pytest.fixture
def patients(folder):
    path = folder.parent / "patients.csv"
    rows = [
        f"{kind}/{number}.png,{kind[0]}{number // 2}"
        for kind in ("cyst", "normal", "polyp10")
        for number in range(10)
    ]
    path.write_text("\n".join(["image,sequence", *rows]) + "\n")
    return path


def prepare(root, folder, sequences=None, seed=0, **options):
    audit = Audit()
    manifest = prepare_classes(root, folder, sequences, seed, audit, **options)
    return load_index(root), manifest, audit


def test_labels_and_splits(tmp_path, folder, patients):
    root = tmp_path / "out"
    index, manifest, audit = prepare(root, folder, patients)
    assert (audit.problems, audit.remarks) == ([], [])
    assert open_task("classes", (root,)).classes == ("cyst", "normal", "polyp10")
    assert len(index.videos) == 15
    rows = index.select(["p1"])
    assert rows.paths(slice(None)) == [str(root / f"images/polyp10/{n}.png") for n in (2, 3)]
    assert rows.label.tolist() == [2, 2]
    assert rows.frame.tolist() == [1, 2]

    split = manifest["protocols"][manifest["default"]]
    members = [set(split[part]["videos"]) for part in PARTS]
    assert set.union(*members) == set(index.videos)
    assert sum(map(len, members)) == 15, "no patient is in two parts"
    for part, number in zip(PARTS, (3, 1, 1), strict=True):
        assert set(split[part]["sequences"].values()) == {number}, "the same share of each class"
        assert set(split[part]["classes"].values()) == {2 * number}
    assert manifest == json.loads((root / "splits.json").read_text())
    table = split_table(manifest).splitlines()
    assert " ".join(table[2].split()).startswith("cyst 3 sequences, 6 images 1 sequences, 2 images")


def test_the_split_is_the_seeds(tmp_path, folder, patients):
    first, again, other = (
        prepare(tmp_path / name, folder, patients, seed)[1]
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first == again
    assert first != other


def test_without_a_csv_every_image_is_alone_and_that_is_said(tmp_path, folder):
    index, _, audit = prepare(tmp_path / "out", folder)
    assert len(index.videos) == len(index) == 30
    assert "cyst_0.png" in index.videos
    assert "images of one patient can be in training and in test" in audit.remarks[0]


def test_deeper_folders_and_other_names(tmp_path, folder):
    write_image(folder / "cyst/more/deep {1}.png")
    index, _, _ = prepare(tmp_path / "out", folder, level="first")
    row = index.videos.index("cyst_more_deep {1}.png")
    assert index.label[index.video == row].tolist() == [0]
    path = index.paths(np.flatnonzero(index.video == row))[0]
    assert path == str(tmp_path / "out/images/cyst/more/deep {1}.png")


def test_what_does_not_fit_is_named_and_not_used(tmp_path, folder, patients):
    text = patients.read_text().replace("cyst/1.png,c0\n", "")
    patients.write_text(text.replace("normal/4.png,n2", "gone.png,n2") + "0.png,c9\n,c1\n")
    (folder / "polyp10/9.png").write_bytes(b"")
    index, _, audit = prepare(tmp_path / "out", folder, patients)
    assert len(index) == 27
    for text in (
        f"patients.csv: no such image in {folder}: line 15: gone.png",
        f"patients.csv: several images of this name in {folder}: line 31: 0.png",
        "patients.csv: image is empty: line 32",
        "patients.csv: without 2 of 30 images: cyst/1.png, normal/4.png; not used",
        "polyp10/9.png: empty",
    ):
        assert sum(text in problem for problem in audit.problems) == 1, text


def test_semicolons_and_bare_names_as_spreadsheets_write_them(tmp_path, folder):
    for number in range(10):
        for kind in ("cyst", "normal", "polyp10"):
            (folder / kind / f"{number}.png").rename(folder / kind / f"{kind}{number}.png")
    path = tmp_path / "p.csv"
    names = [file.name for file in sorted(folder.glob("*/*.png"))]
    rows = [f"{name};A;{place % 5}" for place, name in enumerate(names)]
    path.write_text("\ufeff" + "\r\n".join(["image;site;sequence", *rows]))
    index, _, audit = prepare(tmp_path / "out", folder, path)
    assert audit.problems == []
    assert index.videos == ("0", "1", "2", "3", "4")
    assert index.select(["0"]).frame.tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("picture,patient\n", "no column 'image' in 'picture,patient'"),
        ("", "no column 'image'"),
        (
            "image,sequence\ncyst/0.png,a\ncyst/0.png,b\n",
            r"line 3: cyst/0.png is of b and of a \(sequence\)",
        ),
        (None, "no such file"),
        ("image,sequence\ncyst/0.png,M\udcfcller\n", "not text in UTF-8"),
    ],
)
def test_tables_that_are_none(tmp_path, folder, text, message):
    path = tmp_path / "p.csv"
    if text is not None:
        path.write_text(text, errors="surrogateescape")
    with pytest.raises(InputError, match=message):
        prepare(tmp_path / "out", folder, path)
    assert not (tmp_path / "out").exists()


def test_a_data_set_is_not_one_of_its_own_classes(folder):
    with pytest.raises(InputError, match="would be one of its classes"):
        prepare(folder / "out", folder)
    assert not (folder / "out").exists()


def test_folders_that_are_none(tmp_path, folder):
    with pytest.raises(InputError, match="no such folder"):
        prepare(tmp_path / "out", tmp_path / "absent")
    with pytest.raises(InputError, match="folders with images: none; one per class"):
        prepare(tmp_path / "out", folder / "cyst")


def test_a_class_of_few_sequences(tmp_path, folder):
    """Two are enough to train and to test; it is said that none is left to validate."""
    rare = folder / "rare"
    rare.mkdir()
    for number in range(2):
        (folder / f"cyst/{number}.png").rename(rare / f"{number}.png")
    _, manifest, audit = prepare(tmp_path / "out", folder)
    split = manifest["protocols"][manifest["default"]]
    assert [split[part]["sequences"]["rare"] for part in PARTS] == [1, 0, 1]
    assert any(line.startswith("rare: 2 sequences") for line in audit.remarks)


def test_the_draw_is_of_sequences_in_each_class():
    images = [LabelledImage(f"s{n}", frame, n % 2, "x") for n in range(100) for frame in (1, 2)]
    counts = count_classes(images, 2)
    split = draw_stratified(counts)
    assert [len(split[part]) for part in PARTS] == [70, 10, 20]
    odd = [sum(int(name[1:]) % 2 for name in split[part]) for part in PARTS]
    assert odd == [35, 5, 10]


def test_large_numbers_do_not_run_together():
    part = {
        "frames": 45_000,
        "labelled": 45_000,
        "classes": {"a": 45_000},
        "sequences": {"a": 12_345},
    }
    table = split_table({"default": "d", "protocols": {"d": dict.fromkeys(PARTS, part)}})
    assert table.splitlines()[2].count("  12345 sequences, 45000 images") == 3


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


def classes_of(manifest):
    return list(manifest["protocols"][manifest["default"]]["train"]["classes"])


@pytest.mark.parametrize("pattern", ["{part}/{kind}", "{kind}/{part}"])
def test_folders_of_a_split_are_the_split(tmp_path, pattern):
    for part, number in (("Train", 8), ("val", 2), ("testing", 3)):
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


def test_a_given_split_and_its_sequences(tmp_path, folder, patients):
    rows = patients.read_text().splitlines()[1:]
    split = tmp_path / "split.csv"
    parts = ["train", "train", "valid", "Test", "test"]
    lines = [f"{row.split(',')[0]};{parts[int(row[-1])]}" for row in rows]
    split.write_text("\n".join(["image;split", *lines]))
    _, manifest, _ = prepare(tmp_path / "out", folder, patients, split=split)
    given = manifest["protocols"]["as given"]
    assert [given[part]["videos"] for part in PARTS] == [
        [f"{kind}{n}" for kind in "cnp" for n in numbers] for numbers in ((0, 1), (2,), (3, 4))
    ]
    split.write_text("\n".join(["image,split", "cyst/0.png,train", "cyst/1.png,test"]))
    with pytest.raises(InputError, match=r"1 sequences are in several parts .*\(c0; .*test, train"):
        prepare(tmp_path / "torn", folder, patients, split=split)
    split.write_text("image,split\ncyst/0.png,training\ncyst/1.png,both\n")
    with pytest.raises(InputError, match="split both; expected train, validation or test"):
        prepare(tmp_path / "wrong", folder, split=split)


def test_folds_are_protocols(tmp_path, folder, patients):
    rows = patients.read_text().splitlines()
    table = "\n".join([rows[0] + ",fold", *(f"{row},{int(row[-1]) % 3}" for row in rows[1:])])
    patients.write_text(table)
    _, manifest, _ = prepare(tmp_path / "out", folder, patients)
    assert list(manifest["protocols"]) == ["fold 0", "fold 1", "fold 2"]
    assert manifest["default"] == "fold 0"
    for fold, numbers in enumerate(((0, 3), (1, 4), (2,))):
        split = manifest["protocols"][f"fold {fold}"]
        assert split["test"]["videos"] == [f"{kind}{n}" for kind in "cnp" for n in numbers]
        assert len(split["validation"]["videos"]) == 3
        assert not set(split["train"]["videos"]) & set(split["validation"]["videos"])


@pytest.mark.parametrize(
    ("column", "values", "numbers", "fps"),
    [
        ("second", ["4.5", "0", "2"], [10, 1, 5], 2),
        ("time", ["0:01:00", "0:00:01", "0:00:30"], [61, 2, 31], 1),
        ("frame", ["3", "1", "7"], [3, 1, 7], 1),
    ],
)
def test_a_table_orders_images(tmp_path, folder, column, values, numbers, fps):
    table = tmp_path / "t.csv"
    rows = [f"cyst/{n}.png,p1,{value}" for n, value in enumerate(values)]
    rows += [f"normal/{n}.png,p2,{n + 1}" for n in range(3)]
    table.write_text("\n".join([f"image,sequence,{column}", *rows]))
    index, _, _ = prepare(tmp_path / "out", folder, table)
    rows = index.select(["p1"])
    assert rows.frame.tolist() == sorted(numbers)
    files = [path.rpartition("/")[2] for path in rows.paths(slice(None))]
    assert files == [f"{n}.png" for n in np.argsort(numbers)]
    assert index.fps.tolist() == [fps] * 2
    frames = open_source("images", tmp_path / "out")
    assert frames.second[:3].tolist() == [(n - 1) / fps for n in sorted(numbers)]
    table.write_text(f"image,sequence,{column}\ncyst/1.png,a,soon\n")
    with pytest.raises(InputError, match=f"{column} soon; expected numbers, or times"):
        prepare(tmp_path / "wrong", folder, table)
    table.write_text(f"image,sequence,{column}\ncyst/1.png,a,1\nnormal/1.png,a,1\n")
    with pytest.raises(InputError, match="a: two images at one time"):
        prepare(tmp_path / "twice", folder, table)


def test_a_thousand_wrong_names_are_a_short_line(tmp_path, folder):
    table = tmp_path / "t.csv"
    table.write_text("image,sequence\n" + "".join(f"gone{n}.png,p\n" for n in range(1000)))
    with pytest.raises(InputError, match=r"no usable image.* and 997 more") as error:
        prepare(tmp_path / "out", folder, table)
    assert len(str(error.value)) < 1000


def test_arrays_and_dicom_stills_become_png_without_their_patient(tmp_path, folder):
    picture = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    write_still(folder / "cyst" / "Mustermann_Joerg_1958.dcm", picture)
    write_still(folder / "cyst" / "0047110815", picture).write_bytes(bytes(128) + b"DICM")
    np.save(folder / "normal" / "x.npy", picture)
    index, _, audit = prepare(tmp_path / "out", folder)
    found = [
        file for file in index.paths(slice(None)) if Path(file).name.startswith(("dicom_", "x."))
    ]
    assert len(index) == 32
    assert len(found) == 2
    for file in found:
        np.testing.assert_array_equal(read_image(file), picture)
    assert len(audit.problems) == 1
    written = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    for secret in SECRETS:
        for file in written:
            assert secret not in str(file.relative_to(tmp_path)).lower()
            if file.suffix == ".json":
                assert secret not in file.read_text().lower()
        assert all(secret not in video.lower() for video in index.videos)
