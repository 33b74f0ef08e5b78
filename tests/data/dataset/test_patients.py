"""Videos of one patient: recognised by their names, kept together where a split is drawn."""

import pytest

from data.dataset.patients import (
    drawn_groups,
    suggested_groups,
    suggested_overlaps,
    suggested_patient,
)
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
    assert why in drawn_groups(names)[1]
    assert [len(videos) for videos in draw_split(names).values()] == [14, 2, 4]
    names = [*(f"VID{n:02d}" for n in range(1, 5)), *(f"video{n:02d}" for n in range(1, 5))]
    for videos in draw_split([*names, *(f"Pat_1_{n}" for n in range(20))]).values():
        numbers = [name[-2:] for name in videos if not name.startswith("Pat")]
        assert all(numbers.count(number) == 2 for number in numbers), "operations stay together"


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
