import json

import pytest

from data.common.errors import InputError
from data.dataset.audit import Audit
from data.dataset.cholec80 import PHASES, SPLITS
from data.dataset.patients import FILE, Patients
from data.dataset.splits import (
    MANIFEST,
    PARTS,
    audit_patients,
    check_disjoint,
    draw,
    draw_split,
    with_held_out,
    write_splits,
)
from data.indexing.building import build_index
from tests.support.small_dataset import make_small_dataset


def test_cholec80_has_the_published_protocols(tmp_path):
    root = make_small_dataset(tmp_path, videos=2, seconds=14)
    (root / "frames" / "video01").rename(root / "frames" / "video45")  # no labels any more
    for file in (root / "frames" / "video45").iterdir():
        file.rename(file.with_name(file.name.replace("video01", "video45")))
    build_index(root)
    manifest = write_splits(root)
    assert json.loads((root / "splits.json").read_text()) == manifest
    assert manifest["default"] == "40/8/32"
    assert list(manifest["protocols"]) == list(SPLITS)
    split = manifest["protocols"]["40/8/32"]
    assert split["train"] == {
        "videos": ["video02"],
        "absent": [name for name in SPLITS["40/8/32"]["train"] if name != "video02"],
        "frames": 14,
        "labelled": 14,
        "phases": dict.fromkeys(PHASES, 2),
    }
    assert split["validation"]["videos"] == ["video45"]
    assert (split["validation"]["frames"], split["validation"]["labelled"]) == (14, 0)
    assert split["test"]["frames"] == 0
    assert manifest["protocols"]["40/40"]["test"]["videos"] == ["video45"]


def test_videos_in_several_groups_of_rows_are_counted(tmp_path, monkeypatch):
    """As those of an index of more videos than are in memory at once."""
    monkeypatch.setattr("data.indexing.building.VIDEOS_AT_ONCE", 1)
    root = make_small_dataset(tmp_path, videos=3, seconds=14)
    split = write_splits(root)["protocols"]["40/8/32"]["train"]
    assert split["videos"] == ["video01", "video02", "video03"]
    assert split["phases"] == dict.fromkeys(PHASES, 6)


def test_a_rendered_data_set_is_not_cholec80(tmp_path):
    root = make_small_dataset(tmp_path, videos=4, seconds=7)
    (root / "synthetic.json").write_text("{}")
    manifest = write_splits(root)
    assert list(manifest["protocols"]) == [manifest["default"]]
    parts = manifest["protocols"][manifest["default"]]
    assert [len(parts[part]["videos"]) for part in ("train", "validation", "test")] == [2, 1, 1]
    assert sum(part["frames"] for part in parts.values()) == 28
    assert {tuple(part["absent"]) for part in parts.values()} == {()}


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


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (("op1", "op2"), ("op2",), "op2 is in train and in test"),
        (("video68",), ("VID68",), "video68, which is VID68, is in train and in test"),
    ],
)
def test_a_recording_in_two_parts_is_refused(train, test, message):
    with pytest.raises(InputError, match=message):
        check_disjoint("ours", {"train": train, "validation": (), "test": test})


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


def test_the_audit_says_what_shares_of_frames_came_out(tmp_path):
    audit = Audit()
    for patient in range(10):
        for video in range(1 + patient % 2):
            audit.videos[f"Pat_{patient}_{video}"] = {"frames": 10}
    audit_patients(tmp_path, audit)
    (line,) = (line for line in audit.remarks if line.startswith("split 70/10/20 by video: "))
    assert "73 % train, 7 % validation, 20 % test of 150 frames" in line
    same = Audit()
    same.videos |= {f"op{n}": {"frames": n} for n in range(10)}
    audit_patients(tmp_path, same)
    assert same.remarks == [], "one video each: drawn by number, as ever"


def _by_number(names, seed, patients):
    """As earlier versions drew: of patients, however many videos they have."""
    groups = patients.group(names).groups
    return {
        part: sorted(name for patient in of for name in groups[patient])
        for part, of in draw(groups, seed).items()
    }


@pytest.mark.parametrize("protocols", [None, [], {"a": {"train": {"videos": ["op"]}}}])
def test_a_manifest_that_says_not_what_is_held_out_is_refused(tmp_path, protocols):
    (tmp_path / MANIFEST).write_text(json.dumps({"default": "a", "protocols": protocols}))
    with pytest.raises(InputError, match=r"splits\.json: not there or damaged"):
        with_held_out((MANIFEST,), [tmp_path])


def test_many_groups_of_different_size_are_drawn_at_once():
    sizes = {f"group{number}": 1 + number % 3 for number in range(100_000)}
    drawn = draw(sizes, 0, sizes=sizes)
    total = sum(sizes.values())
    shares = [sum(sizes[name] for name in drawn[part]) / total for part in PARTS]
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=1e-4)
