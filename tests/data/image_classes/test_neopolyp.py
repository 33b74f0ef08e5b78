"""NeoPolyp from a miniature of its archive: masks become classes and crops."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.audit import Audit
from data.dataset.frame_index import load_index
from data.image_classes import coloured_masks, neopolyp
from data.image_classes.coloured_masks import LEAST, find_objects
from data.image_classes.neopolyp import NAMES, prepare_neopolyp
from data.images.image_io import image_size, read_image
from data.kinds.plan_archives import plan_neopolyp
from tests.support.polyp_archives import (
    SIZE,
    make_neopolyp,
    neopolyp_name,
    write,
    write_sequences,
)
from tests.support.prepared import prepare

RED, GREEN, YELLOW = (255, 0, 0), (0, 255, 0), (255, 255, 0)


def mask(*rectangles, size=(120, 90)):
    """An RGB mask with rectangles, each (colour, left, top, right, bottom)."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    for colour, left, top, right, bottom in rectangles:
        pixels[top:bottom, left:right] = colour
    return pixels


def make(tmp_path, **options):
    return make_neopolyp(tmp_path / "archive", **options)


def rewrite(archive, number, pixels):
    """Other pixels, RGB, for the mask of an image."""
    (file,) = archive.rglob(f"train_gt/{neopolyp_name(number)}.jpeg")
    write(file, pixels[..., ::-1])


def prepared(tmp_path, archive, margin=None, sequences=None, audit=None, split=None):
    root = tmp_path / "set"
    manifest = prepare_neopolyp(root, archive, margin, sequences, 0, audit or Audit(), split)
    return load_index(root), manifest


def test_objects_are_connected_parts_of_one_colour():
    found = find_objects(
        mask(
            (RED, 0, 0, 20, 30),
            (RED, 60, 10, 90, 40),
            (GREEN, 20, 0, 50, 30),
            (YELLOW, 0, 50, 40, 80),
        )
    )
    assert found.size == (120, 90)
    assert found.objects == (
        ("red", (0, 0, 20, 30)),
        ("red", (60, 10, 90, 40)),
        ("green", (20, 0, 50, 30)),
        ("yellow", (0, 50, 40, 80)),
    )


def test_jpeg_changes_neither_objects_nor_boxes_by_much():
    pixels = mask((RED, 8, 8, 60, 60), (GREEN, 60, 8, 110, 60), size=(160, 120))
    for quality in (60, 95):
        _, coded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        found = find_objects(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])
        assert [one.colour for one in found.objects] == ["red", "green"]
        for one, box in zip(found.objects, ((8, 8, 60, 60), (60, 8, 110, 60)), strict=True):
            assert np.abs(np.subtract(one.box, box)).max() <= 4


def test_parts_too_narrow_for_a_square_are_counted_alone():
    thin = mask((RED, 0, 0, 100, LEAST - 1), (GREEN, 0, 40, LEAST, 40 + LEAST))
    found = find_objects(thin)
    assert [one.colour for one in found.objects] == ["green"]
    assert found.too_small == 1


def test_whole_frames_have_the_class_of_their_polyps(tmp_path):
    archive, audit = make(tmp_path), Audit()
    width, height = SIZE
    rewrite(archive, 0, mask((RED, 0, 0, 30, 30), (GREEN, 50, 30, 90, 70), size=SIZE))
    rewrite(archive, 1, mask((YELLOW, 10, 10, 50, 50), size=SIZE))
    rewrite(archive, 2, mask(size=SIZE))
    rewrite(archive, 3, mask((RED, 0, 0, 30, 30), (RED, 50, 30, width, height), size=SIZE))
    index, manifest = prepared(tmp_path, archive, audit=audit)
    assert index.classes.classes == NAMES
    label = dict(zip(index.videos, index.label, strict=True))
    of = [label[f"neopolyp_train_{neopolyp_name(number)}"] for number in range(6)]
    assert of == [-1, -1, -1, 1, 0, 1]
    unlabelled = [name for name in index.videos if name.startswith("neopolyp_test_")]
    assert len(unlabelled) == 4
    assert {label[name] for name in unlabelled} == {-1}
    named = {
        name
        for part in manifest["protocols"][manifest["default"]].values()
        for name in part["videos"]
    }
    assert named == {name for name in index.videos if label[name] >= 0}
    (counted,) = [remark for remark in audit.remarks if "polyps: " in remark]
    assert "13 neoplastic (red), 11 not (green); frames: 11 and 10, 2 with several" in counted
    assert "1 without a polyp" in counted
    assert any("1 objects are yellow" in r and neopolyp_name(1) in r for r in audit.remarks)
    assert any("no --sequences" in remark for remark in audit.remarks)


def test_crops_show_each_polyp_with_its_margin(tmp_path):
    archive = make(tmp_path, nested=False)
    rewrite(archive, 0, mask((RED, 10, 10, 30, 26), (GREEN, 50, 30, 80, 60), size=SIZE))
    rewrite(archive, 1, mask((YELLOW, 10, 10, 50, 50), size=SIZE))
    index, _ = prepared(tmp_path, archive, margin=0.25)
    rows = np.flatnonzero(index.video == index.videos.index(f"neopolyp_train_{neopolyp_name(0)}"))
    assert sorted(index.label[rows]) == [0, 1]
    files = dict(zip(index.label[rows].tolist(), index.paths(rows), strict=True))
    for label, side in ((1, 30), (0, 45)):  # JPEG moves edges by a pixel or two
        assert np.abs(np.subtract(image_size(files[label]), side)).max() <= 3
    (image,) = archive.rglob(f"train/{neopolyp_name(0)}.jpeg")
    middle = read_image(files[1])[10:20, 10:20].astype(int) - read_image(image)[13:23, 15:25]
    assert np.abs(middle).mean() < 8  # coded anew
    assert not any("test" in name or neopolyp_name(1) in name for name in index.videos)
    with pytest.raises(InputError, match=r"0.5, but .* has 0.25; use another --name"):
        prepared(tmp_path, archive, margin=0.5)


@pytest.mark.parametrize("margin", [None, 0.25])
def test_a_data_set_of_an_earlier_version_goes_on(tmp_path, margin):
    archive, root = make(tmp_path, images=4), tmp_path / "set"
    before, _ = prepared(tmp_path, archive, margin)
    assert not (root / "polypsset.json").exists()
    (root / "crops.json").rename(root / "polypsset.json")
    with pytest.raises(InputError, match=r"crop_margin: 0.5, but .*; use another --name"):
        prepared(tmp_path, archive, margin=0.5)
    again, _ = prepared(tmp_path, archive, margin)
    assert again.paths(range(4)) == before.paths(range(4))
    assert json.loads((root / "crops.json").read_text()) == {"crop_margin": margin}
    assert not (root / "polypsset.json").exists()
    with pytest.raises(InputError, match=r"crop_margin: 0.5, but .*; use another --name"):
        prepared(tmp_path, archive, margin=0.5)


def test_what_was_cropped_is_not_guessed(tmp_path):
    archive = make(tmp_path, images=4)
    prepared(tmp_path, archive)
    (tmp_path / "set" / "crops.json").write_text("{")
    with pytest.raises(InputError, match=r"crops.json: damaged, and .* use another --name"):
        prepared(tmp_path, archive)


def test_a_table_says_what_belongs_together(tmp_path):
    archive, table = make(tmp_path), write_sequences(tmp_path / "sequences.csv")
    index, _ = prepared(tmp_path, archive, margin=0.15, sequences=table)
    assert len(index.videos) == 12
    assert set(np.bincount(index.video)) == {2}
    for place in range(12):
        assert len(set(index.label[index.video == place])) == 1


def with_column(path, column, values):
    """Adds a column to the table of `write_sequences`."""
    head, *rows = path.read_text().splitlines()
    lines = [
        f"{head},{column}",
        *(f"{row},{value}" for row, value in zip(rows, values, strict=True)),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("margin", [None, 0.15])
def test_a_split_is_taken_from_the_table_of_sequences(tmp_path, margin):
    archive, table = make(tmp_path), write_sequences(tmp_path / "sequences.csv")
    parts = ["train"] * 12 + ["Val"] * 4 + ["test"] * 8
    with_column(table, "split", parts)
    _, manifest = prepared(tmp_path, archive, margin, table)
    assert list(manifest["protocols"]) == ["as given"]
    of_parts = {part: of["videos"] for part, of in manifest["protocols"]["as given"].items()}
    assert of_parts == {
        part: [f"neopolyp_train_p{number}_{kind}" for number in numbers for kind in (0, 1)]
        for part, numbers in (("train", range(3)), ("validation", [3]), ("test", [4, 5]))
    }


def test_folds_and_a_table_of_its_own(tmp_path):
    archive, audit = make(tmp_path), Audit()
    sequences = with_column(write_sequences(tmp_path / "sequences.csv"), "second", range(24))
    split = with_column(write_sequences(tmp_path / "split.csv"), "fold", [0] * 12 + [1] * 12)
    split.write_text("".join(split.read_text().splitlines(keepends=True)[:-1]))
    index, manifest = prepared(tmp_path, archive, None, sequences, audit, split)
    assert list(manifest["protocols"]) == ["fold 0", "fold 1"]
    tested = manifest["protocols"]["fold 1"]["test"]["videos"]
    assert tested == [f"neopolyp_train_p{number}_{kind}" for number in (3, 4, 5) for kind in (0, 1)]
    assert sum(name.startswith("neopolyp_train_p") for name in index.videos) == 12
    assert np.sum(index.label >= 0) == 23
    assert any(f"{split}: without 1 of 24 images" in problem for problem in audit.problems)
    assert any(f"{sequences}: second: not used" in remark for remark in audit.remarks)
    with_column(sequences, "split", ["train", "test"] * 12)
    sequences.write_text(sequences.read_text().replace("_1,", "_0,"))
    with pytest.raises(InputError, match="sequences are in several parts of the split"):
        prepared(tmp_path, archive, None, sequences)


def test_a_split_without_one_of_its_images_leaves_nothing(tmp_path):
    archive, split = make(tmp_path), tmp_path / "split.csv"
    split.write_text("image,fold\nanother.jpeg,1\n")
    with pytest.raises(InputError, match=r"without 24 of 24 images"):
        prepared(tmp_path, archive, 0.15, split=split)
    command = ["--dataset=neopolyp", f"--archive={archive}", f"--split={split}"]
    split.write_text("image,split\n" + f"{neopolyp_name(0)}.jpeg,both\n")
    for more in ([], ["--dry_run"]):
        code, _, errors = prepare(tmp_path / "datasets", *command, *more)
        assert code == 2
        assert "split.csv: split both; expected train, validation or test" in errors


@pytest.mark.parametrize("is_unpacked", [True, False])
def test_a_wrong_table_is_said_before_the_slow_work(tmp_path, monkeypatch, is_unpacked):
    archive, table = make(tmp_path), tmp_path / "sequences.csv"
    if not is_unpacked:
        archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", archive))
    monkeypatch.setattr(neopolyp, "read_mask", None)
    for content, said in ((None, "no such file"), ("image,polyp\n", "no column 'sequence'")):
        if content:
            table.write_text(content)
        with pytest.raises(InputError, match=f"sequences.csv: {said}"):
            prepared(tmp_path, archive, sequences=table)
        with pytest.raises(InputError, match=f"sequences.csv: {said}"):
            plan_neopolyp(tmp_path / "new", archive, None, table, None, Audit())


def test_what_does_not_fit_is_a_problem_and_the_rest_is_used(tmp_path):
    archive = make(tmp_path)
    folder = archive / "bkai-igh-neopolyp"
    (folder / "train_gt" / "train_gt" / f"{neopolyp_name(0)}.jpeg").unlink()
    rewrite(archive, 1, mask((RED, 0, 0, 30, 30)))
    (folder / "train" / "train" / f"{neopolyp_name(2)}.jpeg").write_bytes(b"no image")
    extra = folder / "train_gt" / "train_gt" / f"{neopolyp_name(99)}.jpeg"
    shutil.copy(next(folder.rglob("train_gt/*.jpeg")), extra)
    arguments = ["--dataset=neopolyp", f"--archive={archive}"]
    code, output, errors = prepare(tmp_path / "datasets", *arguments)
    assert code == 1, errors
    assert f"{neopolyp_name(0)}.jpeg: no mask in train_gt/" in output
    assert "120x90 pixels, of an image of 96x72; expected the same" in output
    assert "1 masks without an image" in output
    index = load_index(tmp_path / "datasets" / "neopolyp")
    assert sum(name.startswith("neopolyp_train") for name in index.videos) == 21


def test_a_folder_without_masks_is_not_it(tmp_path):
    archive = make(tmp_path)
    shutil.rmtree(archive / "bkai-igh-neopolyp" / "train_gt")
    arguments = ["--dataset=neopolyp", f"--archive={archive}"]
    code, _, errors = prepare(tmp_path / "datasets", *arguments)
    assert code == 2
    assert "no train_gt/ with masks in it; expected BKAI-IGH NeoPolyp" in errors
    code, _, errors = prepare(tmp_path / "datasets", "--dataset=neopolyp")
    assert code == 2
    assert "--dataset=neopolyp: needs --archive" in errors


def test_every_mixture_of_channels_has_a_name():
    assert len(set(coloured_masks.COLOURS.values())) == 2**3 - 1
