"""PolypsSet in its real layout: joined by name, audited by name, split by sequence."""

import json
import tarfile
import zipfile

import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.audit import Audit
from data.dataset.frame_index import load_index
from data.image_classes import polypsset
from data.image_classes.polypsset import crop_box, prepare_polyps
from data.image_classes.polypsset_frames import folder_of
from data.image_classes.voc import read_voc
from tests.support.small_polyps import (
    BOX,
    write_annotation,
    write_frame,
    write_image,
    write_polypsset,
)


@pytest.fixture
def unpacked(tmp_path):
    return write_polypsset(tmp_path / "download" / "PolypsSet")


def prepare(root, source=None, crop_margin=None):
    audit = Audit()
    manifest = prepare_polyps(root, source, crop_margin, audit)
    return load_index(root), manifest, audit


def test_the_index(tmp_path, unpacked):
    root = tmp_path / "polypsset"
    index, manifest, audit = prepare(root, unpacked.parent)
    assert audit.problems == []
    assert index.videos == (
        *("test2019-3", "test2019-12", "train2019-1", "train2019-2", "train2019-3", "train2019-4"),
        *("val2019-3", "val2019-12"),
    )
    assert index.classes.classes == ("hyperplastic", "adenomatous")
    rows = index.select(["test2019-12"])
    assert rows.frame.tolist() == [1, 2, 10]
    assert rows.label.tolist() == [1, 1, 1]
    assert (rows.phase == -1).all()
    paths = [root / "test2019/Image/12" / f"{n}.jpg" for n in (1, 2, 10)]
    assert rows.paths(slice(None)) == [str(path) for path in paths]
    assert len(index.templates) == 5, "a template per folder, not per frame"
    assert paths[0].samefile(unpacked / "test2019/Image/12/1.jpg"), "no second copy"
    assert not (root / "frames").exists()

    split = manifest["protocols"]["published"]
    assert manifest == json.loads((root / "splits.json").read_text())
    assert split["test"]["videos"] == ["test2019-3", "test2019-12"]
    assert split["validation"]["classes"] == {"hyperplastic": 3, "adenomatous": 3}
    assert split["train"]["sequences"] == {"hyperplastic": 2, "adenomatous": 2}


def test_training_sequences_are_the_folders_of_the_tag(tmp_path, unpacked):
    index, _, audit = prepare(tmp_path / "polypsset", unpacked)
    frames = {name: index.select([name]).frame.tolist() for name in index.videos}
    found = sorted(frames[name] for name in frames if name.startswith("train"))
    assert found == [[1, 5], [2, 6], [3, 7], [4, 8]]
    assert any(
        "4 sequences are made from the tag path, 0 by number" in line for line in audit.remarks
    )


def test_without_the_tag_training_sequences_are_blocks_of_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(polypsset, "BLOCK", 3)
    for number in range(1, 9):
        write_frame(tmp_path / "train2019", str(number), [("adenomatous", BOX)])
    index, _, audit = prepare(tmp_path)
    assert np.bincount(index.video).tolist() == [3, 3, 2]
    assert any(
        "0 sequences are made from the tag path, 3 by number" in line for line in audit.remarks
    )
    assert sum("missing; nothing to" in line for line in audit.remarks) == 2


def test_a_folder_of_two_classes_is_two_sequences_and_one_too_large_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(polypsset, "MOST_FRAMES", 3)
    monkeypatch.setattr(polypsset, "BLOCK", 2)
    folder = tmp_path / "train2019"
    for number in range(1, 5):
        write_frame(folder, str(number), [("adenomatous", BOX)], "/a/1/x.png")
    write_frame(folder, "5", [("hyperplastic", BOX)], "/a/1/y.png")
    write_frame(folder, "6", (), "/a/2")
    write_frame(folder, "7", [("hyperplastic", BOX)], "/a/2")
    index, _, _ = prepare(tmp_path)
    parts = [index.frame[index.video == v].tolist() for v in range(len(index.videos))]
    assert parts == [[5], [1, 2], [3, 4], [6, 7]]
    assert index.label.tolist() == [0, 1, 1, 1, 1, -1, 0]


def test_everything_that_is_wrong_is_named(tmp_path):
    """Each in a line of its own, and counted in the first remark."""
    folder = tmp_path / "test2019"
    write_frame(folder, "1/1", [("hyperplastic", BOX)])
    write_image(folder, "1/2")
    write_annotation(folder, "1/3", [("hyperplastic", BOX)])
    write_frame(folder, "1/4", [("hyperplastic", (12, 10, 99, 20))])
    write_frame(folder, "1/5", [("Hyperplastic ", BOX), ("hyperplastic", (0, 0, 30, 30))])
    write_frame(folder, "1/6")
    write_frame(folder, "1/7", [("cancer", BOX)])
    write_frame(folder, "1/8")
    (folder / "Annotation/1/8.xml").write_text("<annotation><object>")
    write_frame(folder, "1/9", [("adenomatous", BOX)])
    (folder / "Image/1/9.jpg").write_bytes(b"\xff\xd8\xff cut off")
    write_frame(folder, "1/10", [("adenomatous", BOX), ("hyperplastic", BOX)])
    write_frame(folder, "1/11", [("adenomatous", BOX)])
    (folder / "Image/1/.DS_Store").write_text("junk")

    index, _, audit = prepare(tmp_path)
    labels = dict(zip(index.frame.tolist(), index.label.tolist(), strict=True))
    unknown = dict.fromkeys((2, 6, 7, 8, 10), -1)
    assert labels == {1: 0, 4: 0, 5: 0, 11: 1, **unknown}
    written = json.loads((tmp_path / "audit.json").read_text())
    assert written["problems"] == audit.problems
    for file, text in (("Annotation/1/7.xml", "'cancer'"), ("1/8.xml", "XML"), ("1/9.jpg", "cut")):
        assert sum(file in line and text in line for line in audit.problems) == 1
    assert len(audit.problems) == 3
    for file, text in (
        ("Image/1/2.jpg", "no annotation"),
        ("Annotation/1/3.xml", "no such image"),
        ("Annotation/1/4.xml", "12, 10, 99, 20 in an image of 40 x 30"),
        ("Annotation/1/5.xml", "2 objects (hyperplastic)"),
        ("Annotation/1/6.xml", "no object"),
        ("Annotation/1/10.xml", "2 objects (adenomatous, hyperplastic)"),
        ("test2019-1", "2 classes in one sequence"),
    ):
        assert sum(file in line and text in line for line in audit.remarks) == 1, file
    assert "1 images without an annotation, 1 annotations without an image" in audit.remarks[0]
    assert "2 frames with several objects" in audit.remarks[0]
    assert audit.videos["test2019-1"] == {"frames": 9, "labelled": 4}


def test_of_two_files_with_one_name_none_is_used(tmp_path):
    """Which annotation is whose is nowhere said."""
    folder = tmp_path / "val2019"
    for name in ("1/1", "1/2", "1/3"):
        write_frame(folder, name, [("hyperplastic", BOX)])
    write_image(folder, "1/2", ".png")
    (folder / "Annotation/1/3.XML").write_bytes((folder / "Annotation/1/3.xml").read_bytes())
    index, _, audit = prepare(tmp_path)
    assert index.frame.tolist() == [1]
    assert len(audit.problems) == 2
    assert "Image/1/2.jpg, Image/1/2.png, Annotation/1/2.xml" in audit.problems[0]
    assert "Annotation/1/3.XML" in audit.problems[1]
    assert "2 names that several images or several annotations have" in audit.remarks[0]


def test_crops_show_the_largest_box_with_a_margin(tmp_path, unpacked):
    write_frame(
        unpacked / "test2019", "3/2", [("hyperplastic", (0, 0, 3, 3)), ("hyperplastic", BOX)]
    )
    write_frame(unpacked / "test2019", "3/10")
    root = tmp_path / "crops"
    index, _, audit = prepare(root, unpacked, crop_margin=0.0)
    rows = index.select(["test2019-3"])
    assert "1 frames without a box have no crop" in audit.remarks[1]
    assert rows.frame.tolist() == [1, 2], "a frame without a box is not in a data set of crops"
    assert rows.paths([1]) == [str(root / "cropped/test2019-3/2.jpg")]
    crop = cv2.imread(rows.paths([1])[0])
    assert crop.shape == (10, 10, 3)
    assert crop[:, 1:9].min() > 180
    assert load_index(root).paths([0]) != prepare(tmp_path / "whole", unpacked)[0].paths([0])
    with pytest.raises(InputError, match=r"0\.5, but .* has 0\.0; use another --name"):
        prepare(root, unpacked, crop_margin=0.5)


@pytest.mark.parametrize(
    ("box", "margin", "expected"),
    [
        ((40, 40, 60, 50), 0.0, (40, 35, 60, 55)),  # square about the middle
        ((40, 40, 60, 50), 0.5, (30, 25, 70, 65)),
        ((0, 0, 20, 20), 0.5, (0, 0, 40, 40)),  # moved into the image
        ((10, 10, 190, 90), 1.0, (0, 0, 200, 100)),  # all there is
    ],
)
def test_crop_boxes(box, margin, expected):
    found = crop_box(box, (200, 100), margin)
    assert found == pytest.approx([v / n for v, n in zip(expected, (200, 100) * 2, strict=True)])


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives(tmp_path, unpacked, kind):
    path = tmp_path / f"PolypsSet.{kind}"
    files = sorted(file for file in unpacked.rglob("*") if file.is_file())
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                archive.write(file, file.relative_to(unpacked.parent))
            archive.writestr("__MACOSX/PolypsSet/._1.jpg", "junk")
    else:
        with tarfile.open(path, "w") as archive:
            archive.add(unpacked, "PolypsSet")
    root = tmp_path / "polypsset"
    index, _, _ = prepare(root, path)
    assert len(index) == 20
    assert index.paths([0])[0] == str(root / "PolypsSet/test2019/Image/3/1.jpg")
    assert not (root / "__MACOSX").exists()
    assert "has a PolypsSet already" in prepare(root, path)[2].remarks[0]
    path.unlink()
    assert prepare(root)[0].videos == index.videos, "what is there is enough"


def test_an_interrupted_unpacking_is_no_data_set(tmp_path, unpacked):
    root = tmp_path / "polypsset"
    prepare(root, unpacked)
    (root / ".unpacking").touch()
    (root / "test2019/Image/3/1.jpg").unlink()
    with pytest.raises(InputError, match="not all of its archive is unpacked; give --archive"):
        prepare(root)
    assert len(prepare(root, unpacked)[0]) == 20


def test_archives_within_an_archive_are_named_and_nothing_is_written(tmp_path):
    with zipfile.ZipFile(tmp_path / "dataverse_files.zip", "w") as archive:
        archive.writestr("in/PolypsSet.ZIP", "not looked into")
        archive.writestr("MANIFEST.TXT", "text")
    with pytest.raises(InputError, match=r"no PolypsSet in it.*it holds in/PolypsSet\.ZIP: unp"):
        prepare(tmp_path / "out", tmp_path / "dataverse_files.zip")
    assert not (tmp_path / "out").exists()


def test_rendered_polyps_are_not_taken_for_the_archive(tmp_path, unpacked):
    root = write_polypsset(tmp_path / "out")
    (root / "synthetic.json").touch()
    with pytest.raises(InputError, match="holds rendered polyps; use another --name"):
        prepare(root, unpacked)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file or folder"),
        (lambda path: path.mkdir(), "no PolypsSet in it; expected train2019, val2019, test2019"),
        (lambda path: path.write_text("text"), "neither a zip nor a tar"),
        (lambda path: zipfile.ZipFile(path, "w").close(), "no PolypsSet in it"),
    ],
)
def test_what_is_no_polypsset(tmp_path, make, message):
    make(tmp_path / "given")
    with pytest.raises(InputError, match=message):
        prepare(tmp_path / "out", tmp_path / "given")
    assert not (tmp_path / "out" / "index.parquet").exists()


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("D:\\polyps\\17\\3.jpg", "D:/polyps/17"),
        ("/home/x/adenoma/5", "/home/x/adenoma/5"),
        ("/home/x/1.2/4.PNG", "/home/x/1.2"),
        ("", ""),
    ],
)
def test_folders_of_the_tag(path, folder):
    assert folder_of(path) == folder


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not readable as XML"),
        ("<html/>", "begins with <html>"),
        ("<annotation><object><name>a</name></object></annotation>", "has the box"),
        ("<annotation><object><bndbox/></object></annotation>", "without a name"),
    ],
)
def test_annotations_that_are_none(tmp_path, text, message):
    path = tmp_path / "1.xml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_voc(path)
