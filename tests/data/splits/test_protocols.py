import json

from data.dataset.cholec80 import PHASES, SPLITS
from data.indexing.building import build_index
from data.splits.protocols import write_splits
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
