"""Tables of patients: which rows are about which video, and what is written into a dataset."""

from pathlib import PurePath

import pytest

from data.annotations.patients import take_patients
from data.common.errors import InputError
from data.dataset.audit import Audit
from data.splits.patients import DICOM, FILE, FOLDERS, PATIENTS, read_patients

PLACES = {
    "left": PurePath("Meier/left.mp4"),
    "right": PurePath("Meier/right.mp4"),
    "late": PurePath("2024/Pat_7/late.mp4"),
    "top": PurePath("top.mp4"),
}


def take(root, text=None, places=PLACES, **others):
    given = None
    if text:
        given = root / "given.csv"
        given.write_text(text)
    audit = Audit()
    take_patients(root, given, places, places, audit, **others)
    return read_patients(root), audit


def test_a_table_wins_over_folders_and_stays(tmp_path):
    patients, audit = take(tmp_path, "video;patient\nMeier/left.mp4;P1\nlate;P1\nright.mp4;P2\n")
    assert [patients.find(name) for name in PLACES] == [
        *(("patient P1", FILE), ("patient P2", FILE), ("patient P1", FILE), None)
    ]
    assert "no patient of 1 of 4 videos (top)" in audit.remarks[-1]
    patients, _ = take(tmp_path)
    assert patients.find("left") == ("patient P1", FILE)


def test_folders_suggest_patients_without_being_written(tmp_path):
    patients, _ = take(tmp_path)
    left, right, late, top = map(patients.find, PLACES)
    assert left == right and left[1] == late[1] == FOLDERS
    assert late[0] == "2024_patient 7" and top is None
    assert "Meier" not in (tmp_path / PATIENTS).read_text()
    take(tmp_path, places={"top": PurePath("top.mp4")})
    assert not (tmp_path / PATIENTS).exists()


def test_what_is_known_of_videos_that_are_not_passed_again_stays(tmp_path):
    """As where annotations are added, or where a source is gone and its frames stay."""
    first, _ = take(tmp_path)
    audit = Audit()
    take_patients(tmp_path, None, PLACES, {}, audit)
    again = read_patients(tmp_path)
    assert [again.find(name) for name in PLACES] == [first.find(name) for name in PLACES]
    take_patients(tmp_path, None, ["left", "top"], {"left": PurePath("left.mp4")}, audit)
    assert not (tmp_path / PATIENTS).exists()  # moved, and the others are not in the dataset


def test_files_that_say_whose_they_are_are_believed_before_folders(tmp_path):
    patients, _ = take(tmp_path, told=[["left", "late"], ["right"]])
    left, right, late = map(patients.find, ("left", "right", "late"))
    assert left == late == ("of left", DICOM) and right == ("of right", DICOM)
    places = {name: PLACES[name] for name in ("late", "right")}
    patients, _ = take(tmp_path, places=places, told=[["late", "right"]])  # the first is gone
    assert patients.find("late") == patients.find("right") == ("of left", DICOM)
    assert patients.group([*places, "a", "b"]).by == DICOM
    patients, _ = take(tmp_path, "video;patient\nlate;P1\n", told=[["late", "left"]])
    assert patients.find("late") == ("patient P1", FILE)
    assert patients.find("left") == ("patient P1", DICOM)
    assert patients.shared(["left"], ["late"]) == {DICOM: ["left (late)"]}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("video,who\na,b\n", "expected video, patient"),
        ("video,patient\nleft,\n", r":2: 'left' of ''; expected both"),
        ("video,patient\nleft,P1\nMeier/left.mp4,P2\n", ":3: .* is of P2, and of P1 in line 2"),
    ],
)
def test_wrong_tables(tmp_path, text, fault):
    with pytest.raises(InputError, match=fault):
        take(tmp_path, text)
    assert not (tmp_path / PATIENTS).exists()


def test_rows_about_nothing_are_said(tmp_path):
    _, audit = take(tmp_path, "video,patient\nleft,P1\nnone,P2\n")
    assert any("no such video in this dataset: line 3: none" in text for text in audit.remarks)


def test_images_are_of_their_sequence(tmp_path):
    patients, _ = take(tmp_path, "image,patient\na/1.png,P9\n", aliases={"a/1.png": "left"})
    assert patients.find("left") == ("patient P9", FILE)


@pytest.mark.parametrize(
    ("called", "is_used"), [("case 1/left.mp4", True), ("left", True), ("case 2/left.mp4", False)]
)
def test_a_row_of_another_folder_is_of_another_video(tmp_path, called, is_used):
    (tmp_path / "given.csv").write_text(f"video,patient\n{called},P2\n")
    audit, places = Audit(), {"left": PurePath("case 1/left.mp4")}
    take_patients(tmp_path, tmp_path / "given.csv", places, places, audit)
    found = read_patients(tmp_path).find("left")
    assert (found == ("patient P2", FILE)) == is_used
    assert any("no such video" in remark for remark in audit.remarks) == (not is_used)
