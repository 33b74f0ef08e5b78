"""Images of colonoscopy from miniatures of their archives, through prepare.py."""

import shutil

import cv2
import pytest

from data.dataset.audit import read_audit
from data.frames.opening import open_source
from data.public_datasets.polyp_images import CVC_LAST
from tests.data.public_datasets.test_preparing import make, prepared
from tests.support.polyp_archives import make_cvc_clinicdb
from tests.support.prepared import prepare

NAMES = ("kvasir_seg", "cvc_clinicdb", "polypgen", "endotect")


def counts(index):
    return {name: int((index.video == place).sum()) for place, name in enumerate(index.videos)}


def test_kvasir_seg_and_endotect_have_a_video_for_each_image(tmp_path):
    for name, count in (("kvasir_seg", 6), ("endotect", 4)):
        index, _ = prepared(tmp_path, name)
        assert list(counts(index).values()) == [1] * count
        assert all(video.startswith(f"{name}_") for video in index.videos)
        assert not any("mask" in path for path in index.paths(range(count)))


def test_sequences_of_cvc_clinicdb(tmp_path):
    index, _ = prepared(tmp_path, "cvc_clinicdb")
    expected = {"01": 2, "02": 2, "03": 1, "29": 2}
    assert counts(index) == {f"cvc_clinicdb_{n}": count for n, count in expected.items()}
    assert index.frame.tolist() == [1, 25, 26, 50, 51, 592, 612]


def test_the_table_of_sequences_is_whole():
    assert (len(CVC_LAST), CVC_LAST[-1]) == (29, 612)
    assert list(CVC_LAST) == sorted(set(CVC_LAST))


def test_both_formats_of_cvc_clinicdb_beside_one_another_are_one(tmp_path):
    for suffix in ("png", "tif"):
        make_cvc_clinicdb(tmp_path / "archive" / suffix.upper(), suffix=suffix)
    index, _ = prepared(tmp_path, "cvc_clinicdb", archive=tmp_path / "archive")
    assert len(index) == 7
    assert {path[-3:] for path in index.paths(range(7))} == {"png"}


def test_polypgen(tmp_path):
    index, _ = prepared(tmp_path, "polypgen")
    found = counts(index)
    assert found.pop("polypgen_C3_C3_EndoCV2021_00481") == 1
    assert [found.pop(f"polypgen_{name}") for name in ("seq1", "seq10")] == [2, 2]
    assert [found.pop(f"polypgen_{name}_neg") for name in ("seq1", "seq10")] == [2, 2]
    assert list(found.values()) == [1] * 5
    assert {name[:11] for name in found} == {"polypgen_C1", "polypgen_C3", "polypgen_C6"}


def test_all_of_them_are_one_source_without_time(tmp_path):
    for name in NAMES:
        prepared(tmp_path, name)
    source = open_source("images", [tmp_path / "datasets" / name for name in NAMES])
    assert len(source) == 6 + 7 + 14 + 4
    assert all(len(source.neighbours(row, 100.0)) == 1 for row in range(len(source)))


def test_from_a_zip_and_again(tmp_path):
    folder = make(tmp_path, "kvasir_seg")
    archive = shutil.make_archive(str(tmp_path / "Kvasir-SEG"), "zip", folder)
    first, _ = prepared(tmp_path, "kvasir_seg", archive=archive)
    again, _ = prepared(tmp_path, "kvasir_seg", archive=archive)
    assert again.videos == first.videos


def test_messages_do_not_list_images_one_by_one(tmp_path):
    folder = make(tmp_path, "endotect")
    image = next(folder.rglob("images/*.jpg"))
    for number in range(40):  # of names that end in letters, in 0, and in a number
        copy = image.with_name(f"{number:08x}-0000-4000-8000-00000000000{'a09'[number % 3]}.jpg")
        shutil.copy(image, copy)
    code, output, errors = prepare(
        tmp_path / "datasets", "--dataset=endotect", f"--archive={folder}"
    )
    assert code == 0, errors
    assert "44 videos of 1 frame" in output
    assert output.count("endotect_") == 0
    assert "remark" not in output
    assert len(read_audit(tmp_path / "datasets" / "endotect")["videos"]) == 44


@pytest.mark.parametrize("name", NAMES)
def test_another_archive_is_said_to_be_one(tmp_path, name):
    other = make(tmp_path, "kvasir_seg" if name != "kvasir_seg" else "endotect")
    code, _, errors = prepare(tmp_path / "datasets", f"--dataset={name}", f"--archive={other}")
    assert code == 2
    assert "no file like" in errors
    assert "expected another archive" in errors
    assert len(errors.strip().splitlines()) == 1


def test_frames_of_another_dataset_are_no_sequences(tmp_path):
    folder = make(tmp_path, "cvc_clinicdb")
    cv2.imwrite(
        str(folder / "CVC-ClinicDB" / "Original" / "613.tif"),
        cv2.imread(str(folder / "CVC-ClinicDB" / "Original" / "1.tif")),
    )
    code, _, errors = prepare(
        tmp_path / "datasets", "--dataset=cvc_clinicdb", f"--archive={folder}"
    )
    assert code == 2
    assert "613.tif in Original/; expected CVC-ClinicDB's frames" in errors


def test_images_have_no_rate(tmp_path):
    folder = make(tmp_path, "polypgen")
    code, _, errors = prepare(
        tmp_path / "datasets", "--dataset=polypgen", f"--archive={folder}", "--fps=5"
    )
    assert code == 2
    assert "polypgen is images without time; expected none" in errors


def test_a_dry_run_counts(tmp_path):
    for name, line in (
        ("cvc_clinicdb", "7 images in 4 videos"),
        ("neopolyp", "24 images, 24 masks"),
    ):
        folder = make(tmp_path, name)
        code, output, _ = prepare(
            tmp_path / "datasets", f"--dataset={name}", f"--archive={folder}", "--dry_run"
        )
        assert (code, line in output) == (0, True), output
    assert not (tmp_path / "datasets").exists()
