"""A model's labels that nobody has corrected: never truth, and in training only as asked."""

import shutil

import numpy as np
import pytest
from keras import ops

from data.annotations.corrections import write_labelled_by
from data.common.errors import InputError
from down_stream.classifiers.linear_probe import fit_linear_probe
from down_stream.classifiers.logistic_regression import fit_logistic
from down_stream.classifiers.losses import sigmoid_cross_entropy, softmax_cross_entropy
from down_stream.experiment import experiment, run
from tests.support.small_msn import VARIANT
from tests.support.small_phases import small_config

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture
def labelled(small_dataset, tmp_path):
    """A copy of the data set; a model has labelled the phases of the videos that are named."""

    def make(*videos):
        root = tmp_path / "cholec80"
        if not root.exists():
            shutil.copytree(small_dataset, root)
        write_labelled_by(root, {video: {"phase": "model"} for video in videos})
        return root

    return make


def test_they_are_never_tested_on(labelled, tmp_path):
    config = small_config(labelled("video04"), mode="logistic")
    with pytest.raises(InputError, match=r"test_videos \(none\).*video04: not in test: a model"):
        run(config, tmp_path / "a")
    with pytest.raises(InputError, match="not in test"):
        config.pseudo_labels = 0.3  # of training alone
        run(config, tmp_path / "b")
    config.trust_model_labels = True
    assert run(config, tmp_path / "c")["videos"]["test"] == ["video04"]


def test_they_are_validated_and_trained_on_by_nobody(labelled, tmp_path):
    results = run(small_config(labelled("video02", "video03"), mode="logistic"), tmp_path / "a")
    assert results["videos"] == {"train": ["video01"], "validation": [], "test": ["video04"]}
    assert sum("a model has labelled them" in line for line in results["warnings"]) == 2


def test_of_other_labels_of_the_same_videos_nothing_is_left_out(labelled, tmp_path):
    root = labelled("video02", "video04")
    results = run(small_config(root, task="tools", mode="logistic"), tmp_path / "a")
    assert results["videos"]["train"] == ["video01", "video02"]


def test_all_folds_are_of_people_s_labels(labelled, tmp_path):
    config = small_config(labelled("video02"), mode="logistic", folds=3)
    results = experiment(config, tmp_path / "a")
    tested = {video for fold in results["folds"] for video in fold["test"]}
    assert tested == {"video01", "video03", "video04"}


@pytest.mark.parametrize("mode", ["probe", "logistic", "finetune"])
def test_they_count_as_little_as_was_asked(labelled, tmp_path, mode):
    """From other labels of one of the two training videos, what is learnt depends on the weight."""
    root = labelled("video02")
    found = []
    for weight in (0.0, 1e-6, 0.3, 1.0) if mode == "finetune" else (0.0, 0.3):
        changes = {"mode": mode, "pseudo_labels": weight, "balance_classes": False}
        if mode == "finetune":  # the losses of one update, before it
            changes |= {"epochs": 1, "optimizer__learning_rate": 0.0, "batch_size": 28}
            changes |= {"augmentation": "resize", "model__variant": VARIANT}
        results = run(small_config(root, **changes), tmp_path / f"{mode}{weight}")
        assert results["videos"]["train"] == ["video01", "video02"][: 1 + (weight > 0)]
        has_remark = any("each frame counting" in line for line in results["warnings"])
        assert has_remark == (weight > 0)
        found.append(results)
    if mode != "finetune":
        with_none, with_some = (of["metrics"]["frame"] for of in found)
        assert with_none != with_some
    else:
        none, little, some, all_ = (of["history"]["loss"][0] for of in found)
        # Of a sum over 28 frames, those of one video count nothing, 0.3 of theirs, or all.
        assert little == pytest.approx(none / 2, rel=1e-3)
        assert some - little == pytest.approx(0.3 * (all_ - little), rel=1e-3)


def test_knn_weighs_nothing(labelled, tmp_path):
    config = small_config(labelled("video02"), mode="knn", pseudo_labels=0.3)
    with pytest.raises(InputError, match=r"pseudo_labels is 0\.3 with mode 'knn'"):
        run(config, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def data():
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 20)
    features = random.normal(size=(60, 5)).astype(np.float32)
    features[:, :3] += np.eye(3, dtype=np.float32)[labels]
    return features, labels.astype(np.int32)


def test_logistic_regression_takes_half_of_two_for_one():
    features, labels = data()
    once = fit_logistic(features, labels, None, classes=3, penalties=(5.0,)).classifier
    twice = np.concatenate([features, features]), np.concatenate([labels, labels])
    halves = np.full(120, 0.5, np.float32)
    half = fit_logistic(*twice, None, classes=3, penalties=(5.0,), frame_weights=halves).classifier
    np.testing.assert_allclose(half.kernel, once.kernel, atol=2e-3)
    assert (
        np.abs(
            fit_logistic(*twice, None, classes=3, penalties=(5.0,)).classifier.kernel - once.kernel
        ).max()
        > 0.01
    )


def test_the_probe_weighs_the_losses_of_frames():
    features, labels = data()
    settings = {"classes": 3, "learning_rates": (0.0,), "weight_decays": (0.0,), "epochs": 1}
    settings |= {"optimizer": "adamw", "warmup": 0.0, "batch_size": 60, "seed": 0}
    weights = np.where(np.arange(60) % 2, 0.25, 1.0).astype(np.float32)
    parts = [
        fit_linear_probe(features, labels, None, frame_weights=each, **settings).history["loss"][0]
        for each in (None, weights, np.where(weights < 1, 0, 1).astype(np.float32))
    ]
    everything, weighted, half = parts
    assert weighted == pytest.approx(half + 0.25 * (everything - half), rel=1e-5)


def test_losses_are_weighted_by_frame_and_divided_by_their_number():
    random = np.random.default_rng(0)
    logits, weights = random.normal(size=(4, 3)).astype("float32"), np.array([1, 0.5, 0, 1.0])
    weights = weights.astype("float32")
    for loss, labels in (
        (softmax_cross_entropy, np.array([0, 2, 1, -1])),
        (sigmoid_cross_entropy, np.array([[0, 1, 1], [1, 0, 0], [1, 1, 1], [-1, -1, -1]])),
    ):
        each = [
            float(loss(labels[row : row + 1], ops.convert_to_tensor(logits[row : row + 1]))[0])
            for row in range(4)
        ]
        found = loss(labels, ops.convert_to_tensor(logits), frame_weights=weights)[0]
        assert float(found) == pytest.approx((each[0] + 0.5 * each[1]) / 3, rel=1e-5)


def test_a_temporal_model_learns_from_people_alone(labelled, tmp_path, monkeypatch):
    import down_stream.temporal.fitting as fitting

    fit, seen = fitting.fit_temporal, []

    def watched(videos, **training):
        seen.append(len(videos))
        return fit(videos, **training)

    monkeypatch.setattr(fitting, "fit_temporal", watched)
    settings = {"mode": "logistic", "temporal": "tecno", "tecno__epochs": 1}
    run(small_config(labelled("video02"), pseudo_labels=0.3, **settings), tmp_path / "a")
    run(small_config(labelled(), **settings), tmp_path / "b")
    assert seen == [1, 2]
