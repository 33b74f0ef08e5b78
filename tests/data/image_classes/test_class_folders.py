"""Any folder of class/image: labels from folders, splits by the sequences of a CSV."""

import json

import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.audit import Audit
from data.dataset.frame_index import load_index
from data.image_classes.class_folders import prepare_classes
from data.image_classes.writing import LabelledImage, count_classes, draw_stratified, split_table
from down_stream.tasks import open_task

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


def prepare(root, folder, sequences=None, seed=0):
    audit = Audit()
    manifest = prepare_classes(root, folder, sequences, seed, audit)
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
    index, _, _ = prepare(tmp_path / "out", folder)
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
        "patients.csv, line 15: gone.png: no such image",
        "0.png: 3 images of this name",
        "image or sequence is empty",
        "cyst/1.png: not in",
        "normal/4.png: not in",
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
        ("image,sequence\ncyst/0.png,a\ncyst/0.png,b\n", "line 3: cyst/0.png is of b and of a"),
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
