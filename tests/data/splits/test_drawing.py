import pytest

from data.splits.drawing import draw, draw_split
from data.splits.parts import PARTS, check_disjoint
from data.splits.patients import FILE, Patients


@pytest.mark.parametrize(
    ("videos", "sizes"),
    [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (10, (7, 1, 2)), (100, (70, 10, 20))],
)
def test_a_drawn_split_has_every_video_once(videos, sizes):
    names = [f"op{number}" for number in range(videos)]
    split = draw_split(names)
    assert tuple(map(len, split.values())) == sizes
    assert sorted(sum(split.values(), ())) == sorted(names)
    assert draw_split(reversed(names)) == split
    check_disjoint("drawn", split)


def test_a_drawn_split_is_what_it_always_was():
    """By seed 0, in natural order: results of years ago must stay comparable."""
    names = [f"op{number}" for number in range(1, 13)]
    split = draw_split(names)
    assert split == draw_split(names, seed=0)
    assert split["validation"] == ("op12",)
    assert split["test"] == ("op7", "op10")
    assert [list(part) for part in split.values()] == [
        [name for name in names if name in part] for part in split.values()
    ]


def test_seeds_draw_other_splits_and_all_videos_get_their_turn():
    names = [f"op{number}" for number in range(10)]
    tested = [draw_split(names, seed)["test"] for seed in range(30)]
    assert set(sum(tested, ())) == set(names)


def test_names_of_one_recording_stay_together():
    names = [f"{kind}{n:02d}" for n in range(1, 41) for kind in ("video", "VID")]
    for videos in draw_split(names).values():
        assert {name[-2:] for name in videos if name.startswith("VID")} == {
            name[-2:] for name in videos if name.startswith("video")
        }


def test_shares_are_of_videos_where_patients_have_several(tmp_path):
    """One of them has half of all videos."""
    names = [f"p{n}_{k}" for n in range(21) for k in range(20 if n == 0 else 1)]
    patients = Patients(given={name: (name.split("_")[0], FILE) for name in names})
    for seed in range(8):
        split = draw_split(names, seed, patients)
        assert list(map(len, split.values())) == [28, 4, 8]
        by_number = draw_split(names, seed, patients, before=_by_number(names, seed, patients))
        assert {part: sorted(of) for part, of in by_number.items()} == _by_number(
            names, seed, patients
        )


def _by_number(names, seed, patients):
    """As earlier versions drew: of patients, however many videos they have."""
    groups = patients.group(names).groups
    return {
        part: sorted(name for patient in of for name in groups[patient])
        for part, of in draw(groups, seed).items()
    }


def test_many_groups_of_different_size_are_drawn_at_once():
    sizes = {f"group{number}": 1 + number % 3 for number in range(100_000)}
    drawn = draw(sizes, 0, sizes=sizes)
    total = sum(sizes.values())
    shares = [sum(sizes[name] for name in drawn[part]) / total for part in PARTS]
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_small_ones_together_do_not_leave_a_part_without_any(seed):
    """Both small ones would fit into a fifth."""
    sizes = {"a": 1, "b": 1, "c": 100}
    assert all(len(names) == 1 for names in draw(sizes, seed, sizes=sizes).values())
