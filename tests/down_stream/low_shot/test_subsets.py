import itertools
import json

import pytest

from configs.videos import videos
from data.common.errors import InputError
from down_stream.low_shot.subsets import (
    draw_subsets,
    label_fraction,
    read_subsets,
    write_subsets,
)

FRACTIONS = (0.125, 0.25, 0.5, 0.75, 1.0)
GOLDEN = {  # an eighth of Cholec80's training videos, by seed
    "0": ["video13", "video20", "video22", "video23", "video36"],
    "1": ["video07", "video09", "video17", "video19", "video37"],
}


def test_subsets_are_what_they_always_were():
    """Results of other machines and of years ago must stay comparable."""
    subsets = draw_subsets(videos(1, 40), FRACTIONS, (0, 1))["subsets"]
    assert subsets["5"] == GOLDEN
    assert list(subsets) == ["5", "10", "20", "30", "40"]
    assert all(subsets["40"][seed] == list(videos(1, 40)) for seed in ("0", "1"))


def test_a_fraction_is_drawn_by_seed_0_from_names_in_natural_order():
    assert list(label_fraction(videos(1, 40), 0.125)) == GOLDEN["0"]
    names = [f"op{number}" for number in range(1, 13)]
    assert list(label_fraction(names[::-1], 1.0)) == names
    drawn = draw_subsets(names[::-1], (1.0,), (0,))
    assert drawn["videos"] == drawn["subsets"]["12"]["0"] == names
    assert drawn["format"] == "label subsets 1"


def test_smaller_subsets_are_part_of_larger_ones():
    subsets = draw_subsets(videos(1, 40)[::-1], FRACTIONS, range(5), numbers=(1, 7))["subsets"]
    assert list(subsets) == ["1", "5", "7", "10", "20", "30", "40"]
    for seed in map(str, range(5)):
        chosen = [set(by_seed[seed]) for by_seed in subsets.values()]
        assert [len(names) for names in chosen] == [1, 5, 7, 10, 20, 30, 40]
        for smaller, larger in itertools.pairwise(chosen):
            assert smaller < larger
    assert len({tuple(names) for names in subsets["10"].values()}) == 5


def test_sizes_that_are_the_same_number_are_one():
    subsets = draw_subsets(videos(1, 3), (0.1, 0.3, 1.0), (0,), numbers=(3,))["subsets"]
    assert [len(by_seed["0"]) for by_seed in subsets.values()] == [1, 3]


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "subsets.json"
    manifest = draw_subsets(videos(1, 8), FRACTIONS, (0, 3))
    write_subsets(path, manifest)
    assert read_subsets(path) == manifest
    assert [file.name for file in tmp_path.iterdir()] == ["subsets.json"]


@pytest.mark.parametrize(
    "change, named",
    [
        (lambda manifest: manifest["subsets"]["1"].update({"0": ["video99"]}), "video99"),
        (lambda manifest: manifest["subsets"]["1"].update({"0": []}), "subset of 1 videos"),
        (lambda manifest: manifest["subsets"].update({"1": {"x": ["video01"]}}), "not a manifest"),
        (lambda manifest: manifest.pop("videos"), "videos"),
    ],
)
def test_a_damaged_manifest_is_named(tmp_path, change, named):
    manifest = draw_subsets(videos(1, 8), FRACTIONS, (0,))
    change(manifest)
    path = tmp_path / "subsets.json"
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=named):
        read_subsets(path)
    path.write_text(json.dumps(manifest)[:40])
    with pytest.raises(InputError, match=r"subsets\.json"):
        read_subsets(path)
    path.unlink()
    with pytest.raises(InputError, match=r"no such file"):
        read_subsets(path)


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"fractions": (1.5,)}, "1.5"),
        ({"fractions": (0,)}, "0"),
        ({"numbers": (9,)}, "9"),
        ({"numbers": (0,)}, "0"),
        ({"seeds": (-1,)}, "-1"),
        ({"seeds": ()}, "no seeds"),
        ({"fractions": ()}, "no sizes"),
        ({"videos": ("video01", "video01")}, "video01"),
        ({"videos": ()}, "train_videos"),
    ],
)
def test_what_cannot_be_drawn(changes, named):
    arguments = {"videos": videos(1, 8), "fractions": (0.5,), "seeds": (0,)} | changes
    with pytest.raises(InputError, match=named):
        draw_subsets(**arguments)
