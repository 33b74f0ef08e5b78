import pytest

from data.video.dicom import read_header
from data.video.dicom_names import find_dicoms, names_patient, patient_words
from tests.support.small_dicoms import H264, JPEG, PATIENT, SECRETS, h264, jpegs, write_dicom


@pytest.fixture
def words(tmp_path):
    return patient_words(read_header(write_dicom(tmp_path / "x", h264(1), H264)))


@pytest.mark.parametrize(
    "name",
    [
        *(value for key, value in PATIENT.items() if key.startswith(("PatientN", "PatientI"))),
        *(PATIENT["AccessionNumber"], PATIENT["StudyID"], "Mustermann^J\u00f6rg"),
        *("MUSTERMANN_1.dcm", "muster-mann.dcm", "op_Joerg", "jörg2", "JORG", "a/47110815/1.dcm"),
        *("12.03.1958.dcm", "1958-03-12", "580312_op", "03121958", "acc-99887", "Ueberweiser"),
        *("u\u0308berweiser", "beispielmann/video.mp4", "Dr/1.dcm"),
    ],
)
def test_a_name_with_data_of_the_patient_is_found(words, name):
    assert names_patient(name, words)


@pytest.mark.parametrize("name", ["op12_part1.dcm", "IM000001", "case 2/left.dcm", "video_2024"])
def test_other_names_are_free(words, name):
    assert not names_patient(name, words)


@pytest.mark.parametrize("name", ["山田", "やまだ", "Li"])
def test_short_names(tmp_path, name):
    file = write_dicom(tmp_path / "x", h264(1), H264, PatientName="Li^Wei=山田^太郎=やまだ^たろう")
    words = patient_words(read_header(file))
    assert names_patient(f"op_{name}_1.dcm", words)
    assert not names_patient("lion.dcm", words)


def test_videos_are_named_by_their_paths_or_by_a_digest(tmp_path):
    files = [
        write_dicom(tmp_path / "op1.dcm", h264(1), H264, 1),
        write_dicom(tmp_path / "case 2" / "IM0001", jpegs(2), JPEG, 2),
        write_dicom(tmp_path / "Mustermann" / "1.dcm", h264(1), H264, 1),
        write_dicom(tmp_path / "Petri" / "2", h264(1), H264, 1, PatientName="Petri^Heil"),
        # Of another patient, whose name is in the path by mistake.
        write_dicom(tmp_path / "Petri" / "3", h264(1), H264, 1, PatientName="Holz^Maria"),
        write_dicom(tmp_path / "still", jpegs(1), JPEG),
        write_dicom(tmp_path / "report", b"ab", JPEG, picture={"Rows": None}),
        write_dicom(tmp_path / "Mustermann" / "wide", b"ab", "1.2.840.10008.1.2.4.90", 7),
    ]
    (tmp_path / "Petri" / "4").write_bytes(bytes(128) + b"DICM")
    found = find_dicoms(tmp_path, [*files, tmp_path / "Petri" / "4"])
    names = {file: name for name, file in found.videos.items()}
    assert (names[files[0]], names[files[1]]) == ("op1", "IM0001")
    hashed = [names[file] for file in files[2:5]]
    assert hashed == [f"dicom_{read_header(file).digest}" for file in files[2:5]]
    wide, damaged = found.problems
    assert wide.startswith("dicom_")
    assert "7 frames as JPEG 2000" in wide
    assert damaged == "DICOM file 9 of 9, by their paths: damaged"
    _, stills, others = found.remarks
    assert stills.startswith("1 DICOM files are still images, not videos; not used; prepare.py --")
    assert others == "1 DICOM files have no pictures; not used"
    said = " ".join([*found.videos, *found.problems, *found.remarks]).casefold()
    assert not [secret for secret in (*SECRETS, "petri", "holz") if secret in said]
