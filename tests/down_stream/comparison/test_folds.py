"""Curves over labels where every video is tested: each fold draws its own labelled videos."""

import json

import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.audit import Audit
from data.dataset.frame_index import load_index
from data.image_classes.class_folders import prepare_classes
from data.storage.paths import to_paths
from down_stream.cells.opening import Encoders
from down_stream.comparison.checks import check
from down_stream.comparison.grid import run_comparison
from down_stream.comparison.plan import plan_cells, plan_labels
from down_stream.cross_validation import draw_splits, training_videos, with_few_labels
from down_stream.experiment import experiment
from down_stream.tasks import open_task
from msn.encoders import save_encoder
from msn.networks.encoder import Encoder
from tests.down_stream.comparison.test_grid import ORIGIN, TINY, comparison_config

pytestmark = pytest.mark.usefixtures("eager")
FOLDS, IN_A_FOLD = 2, 8  # of 20 sequences: 10 are tested, 2 validate


@pytest.fixture(scope="module")
def lesions(tmp_path_factory):
    """Twenty images of as many lesions, of two kinds in turn."""
    place = tmp_path_factory.mktemp("lesions")
    rows = ["image,sequence"]
    for number in range(20):
        kind = ("benign", "cancer")[number % 2]
        (place / "images" / kind).mkdir(parents=True, exist_ok=True)
        image = np.full((16, 16, 3), 10 * number, np.uint8)
        assert cv2.imwrite(str(place / "images" / kind / f"{number}.png"), image)
        rows.append(f"{kind}/{number}.png,lesion{number}")
    (place / "groups.csv").write_text("\n".join(rows) + "\n")
    prepare_classes(place / "set", place / "images", place / "groups.csv", 0, Audit())
    return place / "set"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders")
    save_encoder(Encoder(**TINY, seed=0), folder / "encoder", ORIGIN)
    return folder


def folds_config(root, folder, **changes):
    encoders = (("ours", str(folder / "encoder")), ("random", ""))
    changes = {"encoders": encoders, "fractions": (0.5, 1.0)} | changes
    config = comparison_config(root, folder, **changes)
    config.task, config.folds = "classes", FOLDS
    names = load_index(root).videos
    parts = names[:10], names[10:15], names[15:]
    for part, own in zip(("train", "validation", "test"), parts, strict=True):
        config[f"{part}_videos"] = tuple(own)
    return config


def compared(config, workdir, run=experiment):
    task = open_task("classes", to_paths(config.data.root))
    arguments = {"task": task, "start": ["python", "down_stream/main.py"], "run": run}
    in_folds = training_videos(config, config.seeds)
    return run_comparison(config, workdir, in_folds=in_folds, **arguments)[0]


@pytest.fixture(scope="module")
def done(lesions, folder, tmp_path_factory, eager):
    workdir = tmp_path_factory.mktemp("runs")
    config = folds_config(lesions, folder, seeds=(0,), numbers=(5,), fractions=(1.0,))
    config.encoders, config.baseline = config.encoders[:1], "ours"
    return config, workdir, compared(config, workdir)


def test_scores_over_labels_in_folds(done, lesions):
    config, workdir, summary = done
    rows = {(row["encoder"], row["videos"]): row for row in summary["rows"]}
    assert set(rows) == {("ours", 5), ("ours", IN_A_FOLD)}
    assert all(0 <= row["score"] <= 1 for row in rows.values())
    drawn = draw_splits(open_task("classes", [lesions]), load_index(lesions), FOLDS, 0)
    for name, number in (("ours_knn_5in_a_fold_seed0", 5), ("ours_knn_10videos_seed0", IN_A_FOLD)):
        for place, split in enumerate(drawn, 1):
            file = workdir / "cells" / name / f"fold{place}" / "results.json"
            found = json.loads(file.read_text())["videos"]
            assert len(found["train"]) == number
            assert set(found["train"]) <= set(split["train"])
            assert set(found["test"]) == set(split["test"])
            assert set(found["validation"]) == set(split["validation"])
    page = (workdir / "comparison.html").read_text()
    assert "Fewer labels" in page
    told = f"each tested once by a classifier that was trained on {IN_A_FOLD} of the others"
    assert f"In 2 folds of all 20 sequences, {told}" in page
    assert compared(config, workdir, never) == summary


def never(config, workdir):
    raise AssertionError(workdir)


def test_cells_of_another_configuration_are_named_with_what_to_do(done):
    """As of a comparison that was begun by an earlier version, which read a key otherwise."""
    config, workdir, _ = done
    changed = config.copy_and_resolve_references()
    changed.batch_size += 1
    with pytest.raises(InputError) as refusal:
        compared(changed, workdir, never)
    said, cells = str(refusal.value), workdir / "cells"
    assert "\n" not in said and "batch_size 14 -> 15" in said
    one = f"{cells}/ours_knn_5in_a_fold_seed0 {cells}/ours_knn_10videos_seed0"
    assert f"2 of 2 cells that are of another one, which are run again then: rm -r {one}" in said


def test_labelled_videos_of_a_fold(lesions, folder, tmp_path):
    config = folds_config(lesions, folder, numbers=(2,), seeds=(0, 1))
    in_folds = training_videos(config, config.seeds)
    assert in_folds == [IN_A_FOLD] * 4
    labels = plan_labels(config, tmp_path, in_folds)[1]
    assert [(one.number, one.seed) for one in labels] == [
        (number, seed) for number in (2, 4, IN_A_FOLD) for seed in "01"
    ]
    assert [one.overrides.get("fold_videos") for one in labels] == [2, 2, 4, 4, None, None]
    config.numbers = (9,)
    with pytest.raises(InputError, match=r"training videos of a fold is 9; expected .* at most 8"):
        plan_labels(config, tmp_path, in_folds)
    config.numbers, config.fractions = (), (1.5,)
    with pytest.raises(InputError, match=r"label fraction is 1\.5"):
        plan_labels(config, tmp_path, in_folds)


@pytest.mark.parametrize(
    ("in_folds", "found"),
    [
        ([7, 8], [(7, 7), (8, None)]),
        ([7, 8, 8], [(7, 7), (8, None)]),
        ([7, 7, 8], [(7, None)]),
        ([7, 7], [(7, None)]),
    ],
)
def test_as_many_labels_as_the_smallest_fold_has(lesions, folder, tmp_path, in_folds, found):
    config = folds_config(lesions, folder, numbers=(7,), fractions=(1.0,))
    config.seeds = (0,)
    labels = plan_labels(config, tmp_path, in_folds)[1]
    assert [(one.number, one.overrides.get("fold_videos")) for one in labels] == found


def test_every_seed_is_run_since_it_draws_the_folds(lesions, folder, tmp_path):
    config = folds_config(lesions, folder)
    labels = plan_labels(config, tmp_path, [IN_A_FOLD] * 4)[1]
    cells = plan_cells(config, tmp_path, labels, Encoders(), False)[0]
    assert [cell.name for cell in cells if cell.facts["encoder"] == "ours"] == [
        f"ours_knn_{labelled}_seed{seed}"
        for labelled in ("4in_a_fold", "10videos")
        for seed in "01"
    ]


def test_few_labels_of_a_fold_are_among_more(lesions):
    (split, _) = draw_splits(open_task("classes", [lesions]), load_index(lesions), FOLDS, 0)
    three, six = (with_few_labels(split, number, 7) for number in (3, 6))
    assert set(three["train"]) < set(six["train"]) < set(split["train"])
    assert {part: three[part] for part in ("validation", "test")} == {
        part: split[part] for part in ("validation", "test")
    }
    assert set(with_few_labels(split, 3, 8)["train"]) != set(three["train"])


def test_more_labels_than_a_fold_has_are_refused(lesions, folder, tmp_path):
    config = folds_config(lesions, folder)
    overrides = {"encoder": str(folder / "encoder"), "mode": "knn", "fold_videos": 9}
    with pytest.raises(InputError, match="fold_videos is 9; expected at least 1 and at most 8"):
        experiment(config, tmp_path / "more", overrides=overrides)
    assert not (tmp_path / "more").exists()
    with pytest.raises(InputError, match="fold_videos is 9 without folds"):
        experiment(config, tmp_path, overrides=overrides | {"folds": 0})


def test_a_comparison_takes_no_number_of_its_own(lesions, folder):
    config = folds_config(lesions, folder)
    check(config)
    config.fold_videos = 3
    with pytest.raises(InputError, match=r"fold_videos is 3 in a comparison; expected fractions"):
        check(config)
