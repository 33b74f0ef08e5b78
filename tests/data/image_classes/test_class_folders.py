"""Any folder of class/image: labels from folders, splits by the sequences of a CSV."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from data.image_classes.writing import (
    LabelledImage,
    count_classes,
    draw_stratified,
    set_aside,
)
from data.images.image_io import read_image
from data.overview.closing import split_table
from data.splits.drawing import draw
from data.splits.patients import FILE, Patients
from down_stream.tasks import open_task
from tests.support.class_images import PARTS, prepare, write_image
from tests.support.small_dicoms import SECRETS, write_still


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


@pytest.mark.parametrize("seed", range(8))
def test_a_class_of_which_few_images_are_tested_is_named(tmp_path, seed):
    """One of five sequences of cysts has 40 of 44 images: it trains, and the others are few."""
    folder, rows = tmp_path / "in", ["image,sequence"]
    for name, sizes in (("cyst", (40, 1, 1, 1, 1)), ("normal", (2, 2, 2, 2, 2))):
        for sequence, size in enumerate(sizes):
            for number in range(size):
                image = Path(name, f"{sequence}_{number}.png")
                write_image(folder / image)
                rows.append(f"{image},{name}{sequence}")
    (tmp_path / "sequences.csv").write_text("\n".join(rows))
    _, manifest, audit = prepare(tmp_path / "out", folder, tmp_path / "sequences.csv", seed)
    split = manifest["protocols"][manifest["default"]]
    assert [split[part]["classes"]["cyst"] for part in PARTS] == [40, 1, 3]
    found = [line for line in audit.remarks if "in test" in line]
    assert [line[: line.index(": whole")] for line in found] == ["cyst: 3 of 44 images are in test"]
    assert any(
        "85 % train, 6 % validation, 9 % test of 54 frames" in line for line in audit.remarks
    )


@pytest.mark.parametrize("seed", range(8))
def test_shares_are_of_images_however_they_are_spread(seed):
    """One of 19 patients has half of all."""
    counts = count_classes(
        [
            LabelledImage(f"p{patient}_{n}", 1, 0, "x")
            for patient in range(19)
            for n in range(180 if patient == 0 else 10)
        ],
        1,
    )
    patients = Patients(given={name: (name.split("_")[0], FILE) for name in counts})
    split = draw_stratified(counts, seed, patients)
    assert sorted(name for part in PARTS for name in split[part]) == sorted(counts)
    shares = [len(split[part]) / len(counts) for part in PARTS]
    np.testing.assert_allclose(shares, [0.7, 0.1, 0.2], atol=0.03)
    people = [{name.split("_")[0] for name in split[part]} for part in PARTS]
    assert not (people[0] & people[1] or people[0] & people[2] or people[1] & people[2])
    aside = set_aside(counts, seed, patients)
    assert len(aside["validation"]) / len(counts) == pytest.approx(1 / 8, abs=0.03)
    assert split == draw_stratified(counts, seed, patients, before={part: [] for part in PARTS})


def test_a_split_that_an_earlier_version_drew_stays(tmp_path, monkeypatch):
    """By the number of sequences, not of images; another seed, or other images, draw anew."""
    folder, rows = tmp_path / "in", ["image,sequence"]
    for name in ("cyst", "normal"):
        for sequence in range(12):
            for number in range(1 + sequence):
                image = Path(name, f"{sequence}_{number}.png")
                write_image(folder / image)
                rows.append(f"{image},{name}{sequence}")
    (tmp_path / "sequences.csv").write_text("\n".join(rows))

    def drawn(place, seed=0):
        _, manifest, _ = prepare(tmp_path / place, folder, tmp_path / "sequences.csv", seed)
        split = manifest["protocols"][manifest["default"]]
        return [split[part]["videos"] for part in PARTS]

    def by_number(names, seed, shares, sizes):
        return draw(names, seed, shares, None)

    monkeypatch.setattr("data.image_classes.writing.draw", by_number)
    earlier = drawn("old")
    monkeypatch.undo()
    assert drawn("old") == earlier != drawn("new")
    assert drawn("new", seed=1) == drawn("old", seed=1) != earlier


def test_large_numbers_do_not_run_together():
    part = {
        "frames": 45_000,
        "labelled": 45_000,
        "classes": {"a": 45_000},
        "sequences": {"a": 12_345},
    }
    table = split_table({"default": "d", "protocols": {"d": dict.fromkeys(PARTS, part)}})
    assert table.splitlines()[2].count("  12345 sequences, 45000 images") == 3


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


@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_what_somebody_has_put_into_the_dataset_stays(tmp_path, folder, patients, suffix):
    root = tmp_path / "out"
    own = root / "images" / "cyst" / "3.png"  # older than the image of its name
    own.parent.mkdir(parents=True)
    assert cv2.imwrite(str(own), np.full((24, 32, 3), 200, np.uint8))
    os.utime(own, (1e9, 1e9))
    before, file = own.read_bytes(), folder / "cyst" / "3.png"
    if suffix == ".npy":
        np.save(file.with_suffix(".npy"), read_image(file))
        file.unlink()
        patients.write_text(patients.read_text().replace("cyst/3.png", "cyst/3.npy"))
    for _ in range(2):
        index, _, audit = prepare(root, folder, patients)
        assert own.read_bytes() == before
        assert any("cyst/3" in text and "which stay; remove" in text for text in audit.remarks)
        assert str(own) in index.paths(slice(None))
    own.unlink()
    _, _, audit = prepare(root, folder, patients)
    assert own.read_bytes() != before
    assert not any("which stay" in text for text in audit.remarks)


def test_images_that_were_replaced_are_taken_anew(tmp_path, folder, patients):
    root = tmp_path / "out"
    prepare(root, folder, patients)
    file, there = folder / "cyst" / "3.png", root / "images" / "cyst" / "3.png"
    before = there.read_bytes()
    os.utime(there, (1e9, 1e9))
    file.unlink()
    assert cv2.imwrite(str(file), np.full((24, 32, 3), 200, np.uint8))
    _, _, audit = prepare(root, folder, patients)
    assert audit.changed == ["c1"] and there.read_bytes() == file.read_bytes() != before
    assert prepare(root, folder, patients)[2].changed == []
