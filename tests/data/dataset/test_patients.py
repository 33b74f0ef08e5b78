"""Videos of one patient: recognised by their names, kept together where a split is drawn."""

import pytest

from data.dataset.patients import suggested_groups, suggested_overlaps, suggested_patient
from data.dataset.splits import draw_split


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
    assert list(suggested_groups(names).values()) == [list(names)]


@pytest.mark.parametrize("name", ["video01", "VID68", "op12_part2", "repat12x", "Patricia"])
def test_names_that_say_nothing(name):
    assert suggested_patient(name) is None


def test_other_patients_are_not_confused():
    names = ("Pat_3", "Pat_30", "case_3", "siteA_Pat_3", "siteB_Pat_3")
    assert len({suggested_patient(name) for name in names}) == len(names)
    assert suggested_groups(names) == {}


def test_overlaps_name_both():
    assert suggested_overlaps(["Pat_3_b", "Pat_4", "x"], ["Pat_3_a", "Pat_5", "y"]) == [
        "Pat_3_b (Pat_3_a)"
    ]
    assert suggested_overlaps(["Pat_3"], ["Pat_3"]) == []


def test_no_patient_is_in_two_parts_of_a_drawn_split():
    names = [f"Pat_{number:03d}_{take}" for number in range(12) for take in ("a", "b", "c")]
    for seed in range(20):
        split = draw_split(names, seed)
        assert sorted(sum(split.values(), ())) == sorted(names)
        parts = [{suggested_patient(name) for name in videos} for videos in split.values()]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 12
        assert all(parts)
