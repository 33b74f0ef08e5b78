"""What is chosen while fitting is chosen on the validation videos: the test videos are not read."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.classes import CHOLEC80, Classes
from data.dataset.frame_index import load_index
from data.indexing.building import build_index
from down_stream import experiment
from down_stream.cells import opening
from down_stream.classifiers import fitting
from down_stream.classifiers.frame_model import FrameModel
from down_stream.experiment import fit_classifier
from down_stream.features.encoders import SplitFeatures
from down_stream.features.labelled_splits import select_splits
from down_stream.tasks import image_classes, phases
from down_stream.temporal import fitting as temporal_fitting
from down_stream.temporal.fitting import fit_sequences
from msn.networks.encoder import create_encoder
from tests.support.recorder import recorded
from tests.support.small_dataset import make_small_dataset
from tests.support.small_phases import small_config, small_splits

pytestmark = pytest.mark.usefixtures("eager")

PHASES = phases(CHOLEC80)
CLASSES = image_classes(Classes(classes=("a", "b")))


def small_frames(config, without):
    """The features of a configuration's splits, some of which are not there to be read."""
    splits = small_splits(config, PHASES)
    encoder = create_encoder(config.model.variant, 16, seed=config.seed)
    splits = {part: index for part, index in splits.items() if part not in without}
    return SplitFeatures(encoder, splits, 14, None)


def scored_on_validation(root):
    """The task, whose score refuses other labels than those of video03."""
    index = load_index(root).select(videos=["video03"])

    def score(video, labels, probabilities):
        np.testing.assert_array_equal(labels, index.phase)
        return PHASES.score(video, labels, probabilities)

    return dataclasses.replace(PHASES, score=score)


@pytest.mark.parametrize("mode", ["probe", "logistic", "knn", "finetune"])
def test_a_classifier_is_fitted_without_the_test_videos(small_dataset, tmp_path, monkeypatch, mode):
    config = small_config(small_dataset, mode=mode, epochs=1)
    frames, task = small_frames(config, without=("test",)), scored_on_validation(small_dataset)
    finetune = recorded(monkeypatch, fitting, "finetune")
    fitted = fit_classifier(config, task, frames, tmp_path)
    if mode != "knn":  # where nothing is chosen
        assert fitted.history.get("val_macro_f1") or fitted.chosen["grid"][0]["score"]
    # What it is fitted to are the training videos.
    if mode == "finetune":
        (_, index, labels), _ = finetune.calls[0]
        assert index.videos == ("video01", "video02")
        np.testing.assert_array_equal(labels, index.phase)
    elif mode == "knn":
        np.testing.assert_array_equal(fitted.classifier.features, frames("train")[0])
    else:
        mean = frames("train")[0].mean(axis=0)
        np.testing.assert_allclose(fitted.classifier.mean, mean, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["tecno", "tecno_offline"])
def test_a_temporal_model_is_fitted_without_the_test_videos(small_dataset, monkeypatch, name):
    config = small_config(small_dataset, tecno__epochs=1, tecno__num_maps=4)
    frames = small_frames(config, without=("test",))
    fit = recorded(monkeypatch, temporal_fitting, "fit_temporal")
    arguments = {"name": name, "balance_classes": True, "seed": 0, **config.tecno}
    sequences = fit_sequences(scored_on_validation(small_dataset), frames, **arguments)
    assert sequences.facts["history"]["val_macro_f1"]
    (((videos,), settings),) = fit.calls
    assert [len(labels) for _, labels in videos] == [14, 14], "the two training videos"
    for (_, labels), video in zip(videos, ("video01", "video02"), strict=True):
        of_video = load_index(small_dataset).select(videos=[video])
        np.testing.assert_array_equal(labels, of_video.phase)
    np.testing.assert_allclose(np.concatenate([f for f, _ in videos]), frames("train")[0])
    assert settings["causal"] == (name == "tecno")


@pytest.mark.parametrize(("scores", "kept"), [((0.1, 0.2), 1), ((0.2, 0.1), 0)])
def test_the_score_of_an_epoch_is_that_of_its_weights(small_dataset, tmp_path, scores, kept):
    """In the first and in the last epoch: the encoder has changed, and so have the features."""
    asked, answers = [], iter(scores)

    def score(video, labels, probabilities):
        asked.append(np.array(probabilities))
        return next(answers)

    config = small_config(small_dataset, mode="finetune", optimizer__learning_rate=0.05)
    frames = small_frames(config, without=("test",))
    fitted = fit_classifier(config, dataclasses.replace(PHASES, score=score), frames, tmp_path)
    assert fitted.best_epoch == kept
    assert fitted.history["val_macro_f1"] == list(scores)
    again = SplitFeatures(fitted.model.encoder, frames.splits, 14, None)
    found = np.asarray(fitted.model.probabilities(again("validation")[0]))
    np.testing.assert_allclose(found, asked[kept], atol=1e-5)
    others = [asked[epoch] for epoch in range(2) if epoch != kept]
    assert all(np.abs(found - other).max() > 1e-3 for other in others)


class DoneError(Exception):
    """Ends a run where a test has seen enough."""


def test_a_run_hands_its_seed_and_settings_on(small_dataset, tmp_path, monkeypatch):
    config = small_config(
        small_dataset,
        **{"seed": 3, "mode": "knn", "temporal": "tecno_offline", "balance_classes": False},
        **{"tecno__epochs": 7, "tecno__num_maps": 5, "tecno__dropout": 0.25},
    )
    encoders = recorded(monkeypatch, opening, "open_encoder")
    sequences = recorded(monkeypatch, experiment, "fit_sequences", answer=DoneError())
    with pytest.raises(DoneError):
        experiment.run(config, tmp_path / "run")
    assert encoders.calls[0][1]["seed"] == 3
    (task, frames), settings = sequences.calls[0]
    expected = {"name": "tecno_offline", "seed": 3, "balance_classes": False, **config.tecno}
    assert settings == expected
    assert {part: index.videos for part, index in frames.splits.items()} == {
        "train": ("video01", "video02"),
        "validation": ("video03",),
        "test": ("video04",),
    }
    assert task.name == "phases"


def test_the_seed_of_fine_tuning_is_that_of_head_and_training(small_dataset, tmp_path, monkeypatch):
    config = small_config(small_dataset, mode="finetune", seed=3)
    finetune = recorded(monkeypatch, fitting, "finetune", answer=DoneError())
    with pytest.raises(DoneError):
        fit_classifier(config, PHASES, small_frames(config, without=("test",)), tmp_path)
    (model, *_), settings = finetune.calls[0]
    assert settings["seed"] == 3
    kernels = {}
    for seed in (0, 3):
        other = FrameModel(model.encoder, model.classes, model.task, model.multi_label, seed=seed)
        kernels[seed] = np.array(other.head.kernel)
    np.testing.assert_array_equal(model.head.kernel, kernels[3])
    assert not np.array_equal(kernels[0], kernels[3])


@pytest.mark.parametrize(
    "parts", [("train", "validation"), ("train", "test"), ("validation", "test")]
)
@pytest.mark.parametrize(("video", "other"), [("video03", "video03"), ("video03", "VID03")])
def test_an_operation_in_two_splits_is_refused_whatever_its_names(tmp_path, parts, video, other):
    root = make_small_dataset(tmp_path / "data", videos=4, seconds=7)
    if other != video:  # the same operation under the name that another data set has for it
        for place in ("frames/video03", "phase_annotations/video03-phase.txt"):
            (root / place).rename(root / place.replace("video03", other))
        for file in (root / "frames" / other).iterdir():
            file.rename(file.with_name(file.name.replace("video03", other)))
        more = make_small_dataset(tmp_path / "more", videos=4, seconds=7)
        (more / "frames" / "video03").rename(root / "frames" / "video03")
        build_index(root)
    names = {"train": ["video01"], "validation": ["video02"], "test": ["video04"]}
    one, two = parts
    names[one], names[two] = [*names[one], video], [*names[two], other]
    with pytest.raises(InputError, match=f"video03.*: in {one}_videos and in {two}_videos"):
        select_splits([root], names, PHASES)


def test_every_setting_reaches_the_classifier_that_it_is_for(small_dataset, tmp_path, monkeypatch):
    calls = {}
    for name in ("fit_head", "fit_end_to_end", "fit_neighbours"):
        monkeypatch.setattr(
            fitting, name, lambda *args, name=name, **kwargs: calls.update({name: (args, kwargs)})
        )
    config = small_config(
        small_dataset,
        **{"epochs": 7, "batch_size": 5, "seed": 3, "label_smoothing": 0.25},
        **{"balance_classes": False, "optimizer__warmup": 0.125, "optimizer__layer_decay": 0.75},
        **{"optimizer__weight_decay": 0.5, "randaug__layers": 1, "randaug__magnitude": 2},
        **{"probe__learning_rates": (0.5, 0.25), "probe__weight_decays": (0.125,)},
    )
    config.augmentation = "randaug"
    shared = {"epochs": 7, "batch_size": 5, "seed": 3}
    shared |= {"label_smoothing": 0.25, "balance_classes": False}
    for mode, name in (("probe", "fit_head"), ("finetune", "fit_end_to_end")):
        config.mode, config.optimizer.name = mode, "momentum"
        fit_classifier(config, PHASES, None, tmp_path)
        arguments = calls[name][1]
        assert {key: arguments[key] for key in shared} == shared
        if mode == "probe":
            assert (arguments["optimizer"], arguments["warmup"]) == ("momentum", 0.125)
            assert tuple(arguments["learning_rates"]) == (0.5, 0.25)
            assert tuple(arguments["weight_decays"]) == (0.125,)
            assert arguments["score_name"] == "macro_f1"
        else:
            assert arguments["optimizer"] == config.optimizer.to_dict()
            augmentation = {"transformation": "randaug", "layers": 1, "magnitude": 2}
            assert arguments["augmentation"] == augmentation
            assert arguments["directory"] == tmp_path / "checkpoints"
    config.mode = "logistic"
    fit_classifier(config, PHASES, None, tmp_path)
    assert calls["fit_head"][1] == {"balance_classes": False}


@pytest.mark.parametrize("task, least", [(PHASES, 5), (CLASSES, 30)], ids=["video", "sequence"])
def test_what_is_few_is_counted_in_groups_not_in_frames(task, least):
    for groups in (1, least - 1, least):
        part = SimpleNamespace(video=np.repeat(np.arange(groups), 50))  # as an index has it
        chosen = task.choosing(part, None).score_name
        assert task.is_few(part) == (groups < least)
        assert chosen == ("log_likelihood" if groups < least else "macro_f1")
        assert task.choosing(part, "score") is task
        assert task.choosing(part, "likelihood").score_name == "log_likelihood"


def test_fine_tuning_does_not_change_its_choice_between_epochs(small_dataset, tmp_path):
    config = small_config(small_dataset, mode="finetune", epochs=1)
    frames = small_frames(config, without=("test",))
    fit_classifier(config, PHASES, frames, tmp_path)
    other = PHASES.choosing(frames.splits["validation"], None)
    with pytest.raises(InputError, match="compared by val_macro_f1, not val_log_likelihood"):
        fit_classifier(config, other, frames, tmp_path)
