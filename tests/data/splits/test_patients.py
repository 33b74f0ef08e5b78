"""Videos of one patient: recognised by their names, kept together where a split is drawn."""

import pytest

from data.splits.drawing import draw_split
from data.splits.overlaps import identity
from data.splits.patients import FILE, FOLDERS, NAMES, NOBODY, Patients, suggested_patient


@pytest.mark.parametrize(
    "names",
    [
        ("Pat_003_video", "Pat_003_video_part2", "pat3-b", "Patient 3"),
        ("clinic_PT0012_a", "clinic_pt12_b"),
        ("subject-7_colon", "subj7"),
        ("case01_1", "case1_2"),
    ],
)
def test_names_of_one_patient(names):
    assert len({suggested_patient(name) for name in names}) == 1


@pytest.mark.parametrize(
    "name",
    [
        "video01",
        "VID68",
        "op12_part2",
        "repat12x",
        "Patricia",
        "case_2024_001",
        "PT-2023-01-05_op1",
    ],
)
def test_names_that_say_nothing(name):
    assert suggested_patient(name) is None


def test_years_are_no_patients_but_longer_numbers_are():
    assert suggested_patient("case2024_pat7_a") == suggested_patient("case2024_Pat_07")
    assert suggested_patient("pat_20241") == "patient 20241"
    names = [f"case_2024_{number:03d}" for number in range(1, 41)]
    split = draw_split(names)
    assert [len(videos) for videos in split.values()] == [28, 4, 8]
    assert sorted(sum(split.values(), ())) == names


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ([f"Case_7_{n}" for n in range(20)], "all videos: fewer than 3 patients"),
        ([f"Pat_{n % 2}_{n}" for n in range(20)], "all videos: fewer than 3 patients"),
        ([f"Pat_{max(0, n - 12)}_{n}" for n in range(20)], "one patient by their names"),
    ],
)
def test_names_that_leave_too_little_to_draw_are_not_believed(names, why):
    assert why in NOBODY.group(names).fault
    assert [len(videos) for videos in draw_split(names).values()] == [14, 2, 4]
    names = [*(f"VID{n:02d}" for n in range(1, 5)), *(f"video{n:02d}" for n in range(1, 5))]
    for videos in draw_split([*names, *(f"Pat_1_{n}" for n in range(20))]).values():
        numbers = [name[-2:] for name in videos if not name.startswith("Pat")]
        assert all(numbers.count(number) == 2 for number in numbers), "operations stay together"


def test_other_patients_are_not_confused():
    names = ("Pat_3", "Pat_30", "case_3", "siteA_Pat_3", "siteB_Pat_3")
    assert len({suggested_patient(name) for name in names}) == len(names)
    assert all(len(videos) == 1 for videos in NOBODY.group(names).groups.values())


def test_overlaps_name_both():
    assert NOBODY.shared(["Pat_3_b", "Pat_4", "x"], ["Pat_3_a", "Pat_5", "y"]) == {
        NAMES: ["Pat_3_b (Pat_3_a)"]
    }
    assert NOBODY.shared(["Pat_3"], ["Pat_3"]) == {}
    given = Patients({"x": ("P", FILE), "y": ("P", FILE)})
    assert given.shared(["x"], ["y"]) == {FILE: ["x (y)"]}


def test_no_patient_is_in_two_parts_of_a_drawn_split():
    names = [f"Pat_{number:03d}_{take}" for number in range(12) for take in ("a", "b", "c")]
    for seed in range(20):
        split = draw_split(names, seed)
        assert sorted(sum(split.values(), ())) == sorted(names)
        parts = [{suggested_patient(name) for name in videos} for videos in split.values()]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 12
        assert all(parts)


def given(**patients):
    return Patients({identity(video): (patient, FILE) for video, patient in patients.items()})


def test_given_patients_win_over_names_however_few_they_leave():
    names = ["Pat_1_a", "Pat_1_b", "Pat_2_a", "Pat_2_b"]
    known = given(Pat_1_a="x", Pat_1_b="y", Pat_2_a="x", Pat_2_b="y")
    found = known.group(names)
    assert list(found.groups.values()) == [["Pat_1_a", "Pat_2_a"], ["Pat_1_b", "Pat_2_b"]]
    assert (found.by, found.fault) == (FILE, "")
    for seed in range(5):
        split = draw_split(names, seed, known)
        assert sorted(map(len, split.values())) == [0, 2, 2]
        assert all(len({known.find(name)[0] for name in of}) == 1 for of in split.values() if of)


def test_years_that_a_file_says_are_patients():
    names = [f"case_{year}_{take}" for year in range(1990, 2000) for take in "ab"]
    known = given(**{name: name[:9] for name in names})
    assert len(NOBODY.group(names).groups) == 20
    assert len(known.group(names).groups) == 10


def test_one_operation_under_two_names_has_one_patient():
    known = given(VID68="x", other="x")
    assert known.group(["video68", "other"]).groups == {"x": ["video68", "other"]}


def test_folders_are_believed_where_they_leave_enough():
    names = [f"v{n}" for n in range(12)]
    of_three, of_two = (
        Patients({}, {f"v{n}": (f"folder {n % many}", FOLDERS) for n in range(12)})
        for many in (3, 2)
    )
    assert len(of_three.group(names).groups) == 3 and of_three.believing(names) is of_three
    assert len(of_two.group(names).groups) == 12
    assert "fewer than 3 patients by the folders of files" in of_two.group(names).fault
    assert (of_three.group(names).known, of_three.group(names).unknown) == (3, set())
    assert (of_two.group(names).known, of_two.group(names).unknown) == (0, set(names))
    assert of_two.believing(names).find("v1") is None
