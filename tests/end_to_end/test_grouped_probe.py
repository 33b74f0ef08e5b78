"""What the numbers of docs/recipes.md are made by."""

import json
import sys

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from data.dataset.audit import Audit
from data.dataset.frame_index import load_index
from data.image_classes.class_folders import prepare_classes
from msn.encoders import load_encoder
from msn.pretrain import pretrain
from msn.workdir.checkpoint_files import checkpoints
from tests.benchmarks import grouped_probe
from tests.support.small_msn import small_config
from tests.support.small_polyps import write_image

GROUPS, EACH = 16, 3


def test_the_area_is_that_of_images_that_are_there_several_times():
    draw = np.random.default_rng(0)
    labels, score = draw.integers(0, 2, 60), draw.integers(0, 9, 60) / 9  # with ties
    weights = draw.integers(0, 4, 60)
    rows = np.repeat(np.arange(60), weights)
    expected = roc_auc_score(labels[rows], score[rows])
    assert grouped_probe.area(labels, score, weights) == pytest.approx(expected)


def test_draws_of_one_class_are_left_out_of_an_interval():
    labels, score = np.array([0, 0, 1]), np.array([0.1, 0.2, 0.3])
    assert np.isnan(grouped_probe.area(labels, score, np.array([2, 1, 0])))
    assert grouped_probe.interval([0.5, float("nan"), 0.5]) == [0.5, 0.5]


def test_a_share_is_of_whole_groups_of_both_classes():
    group = np.repeat(np.arange(40), 2)
    labels, rows = (group >= 30).astype(int), np.arange(80)
    some = grouped_probe.labelled(rows, labels, group, 0.2, np.random.default_rng(0))
    drawn = group[some]
    assert all(np.sum(drawn == one) == 2 for one in set(drawn))
    assert (len(set(drawn[drawn < 30])), len(set(drawn[drawn >= 30]))) == (6, 2)
    every = grouped_probe.labelled(rows, labels, group, 1.0, np.random.default_rng(0))
    np.testing.assert_array_equal(every, rows)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Images of two classes in groups of three."""
    folder = tmp_path_factory.mktemp("classes")
    rows = ["image,sequence"]
    for number in range(GROUPS * EACH):
        kind = ("left", "right")[number // EACH % 2]
        image = write_image(folder, f"{kind}_{number}")
        (folder / "images" / kind).mkdir(parents=True, exist_ok=True)
        image.rename(folder / "images" / kind / image.name)
        rows.append(f"{kind}/{image.name},g{number // EACH}")
    (folder / "groups.csv").write_text("\n".join(rows) + "\n")
    prepare_classes(folder / "set", folder / "images", folder / "groups.csv", 0, Audit())
    return folder / "set"


def test_features_that_tell_are_told_from_those_that_do_not(root, tmp_path, monkeypatch, capsys):
    index = grouped_probe.load_index(root)
    names = np.asarray(index.videos)[index.video]
    noise = np.random.default_rng(0).normal(size=(len(index), 4)).astype("f")
    for name, values in {"noise": noise, "told": noise + 3 * index.label[:, None]}.items():
        np.savez(tmp_path / f"{name}.npz", embeddings=values, video=names, frame=index.frame)
    tables = [f"{name}={tmp_path / name}.npz" for name in ("noise", "told")]
    given = ["--root", str(root), "--seeds", "0", "1", "--output", str(tmp_path / "found.json")]
    monkeypatch.setattr(sys, "argv", ["grouped_probe", *tables, "noise+told", *given])
    monkeypatch.setattr(grouped_probe, "DRAWS", 50)
    grouped_probe.main()
    printed = capsys.readouterr().out
    assert "48 images of 16 sequences" in printed
    content = json.loads((tmp_path / "found.json").read_text())
    assert (content["of"]["images"], content["of"]["groups"]) == (48, 16)
    found = content["rows"]
    by = found["told"]["1.0"]["auc"] - found["noise"]["1.0"]["auc"]
    assert found["told"]["1.0"]["by"] == pytest.approx(by)
    assert found["noise"]["1.0"]["by"] == 0
    less, more = found["told"]["1.0"]["difference"]
    assert f"to noise {by:+.3f} [{less:+.3f}, {more:+.3f}]" in printed
    assert found["noise"]["1.0"]["auc"] < 0.75
    for name in ("told", "noise+told"):
        for fraction in ("0.25", "1.0"):
            assert found[name][fraction]["auc"] > 0.95
        assert found[name]["1.0"]["difference_to"] == "noise"
        assert found[name]["1.0"]["difference"][0] > 0
        low, high = found[name]["1.0"]["interval"]
        assert low <= found[name]["1.0"]["auc"] <= high
    grouped_probe.main()
    assert "found.json: of the same features, labels and seeds; kept" in capsys.readouterr().out
    np.savez(tmp_path / "told.npz", embeddings=noise, video=names, frame=index.frame)
    grouped_probe.main()
    assert "kept" not in capsys.readouterr().out
    found = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert found["told"]["1.0"]["auc"] == found["noise"]["1.0"]["auc"]


@pytest.mark.usefixtures("eager")
def test_the_encoder_of_a_step_is_that_of_the_run(small_dataset, tmp_path):
    frames = load_index(small_dataset).take(np.arange(56))
    content = {"video": np.array(frames.videos)[frames.video], "second": frames.second}
    values = np.random.default_rng(0).normal(size=(56, 3)).astype(np.float32)
    np.savez(tmp_path / "said.npz", embeddings=values, **content)
    config = small_config(small_dataset, teacher=str(tmp_path / "said.npz"), steps=4)
    assert pretrain(config, tmp_path / "run")
    before, last = checkpoints(tmp_path / "run" / "checkpoints")
    found = grouped_probe.encoder_in(last).get_weights()
    exported = load_encoder(tmp_path / "run" / "encoder").get_weights()
    assert all(map(np.array_equal, found, exported))
    assert not all(map(np.array_equal, grouped_probe.encoder_in(before).get_weights(), exported))
