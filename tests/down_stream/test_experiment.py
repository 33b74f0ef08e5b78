import json
import shutil

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.common.errors import InputError
from data.dataset.classes import CHOLEC80
from data.images.image_io import frame_to_input, read_image
from down_stream.classifiers.frame_model import load_frame_model
from down_stream.experiment import run
from down_stream.features.encoders import SplitFeatures
from down_stream.features.labelled_splits import labelled_videos, seen_by
from down_stream.metrics.phases import evaluate
from down_stream.metrics.predictions import read_predictions
from down_stream.tasks import phases
from down_stream.temporal.model import load_temporal
from down_stream.temporal.training import predict_temporal
from msn.encoders import save_encoder
from msn.networks.encoder import create_encoder
from tests.support.small_dataset import make_small_dataset
from tests.support.small_msn import VARIANT
from tests.support.small_phases import small_config, small_splits

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture(scope="module")
def probe(small_dataset, tmp_path_factory, eager):
    workdir = tmp_path_factory.mktemp("runs") / "probe"
    config = small_config(small_dataset, model__variant="vitmicro8", epochs=60)
    return workdir, run(config, workdir)


def test_what_an_experiment_leaves(probe):
    workdir, results = probe
    assert {path.name for path in workdir.iterdir()} == {
        "results.json",
        "predictions.csv",
        "report.html",
        "phase_timeline.png",
        "confusion_matrix.png",
        "per_phase.png",
        "history.png",
        "model",
    }
    assert json.loads((workdir / "results.json").read_text()) == json.loads(json.dumps(results))
    assert results["videos"] == {
        "train": ["video01", "video02"],
        "validation": ["video03"],
        "test": ["video04"],
    }
    assert results["frames"] == {"train": 28, "validation": 14, "test": 14}
    assert cv2.imread(str(workdir / "phase_timeline.png")).std() > 10


def test_predictions_are_of_the_test_videos_alone_and_give_the_metrics(probe):
    workdir, results = probe
    predictions = read_predictions(workdir / "predictions.csv")
    assert predictions.videos == ["video04"]
    np.testing.assert_array_equal(predictions.second, np.arange(14))
    np.testing.assert_array_equal(predictions.label, np.arange(14) * 7 // 14)
    assert evaluate(predictions)["video"]["f1"] == pytest.approx(results["metrics"]["video"]["f1"])


def test_stripes_are_recognised_in_a_video_that_was_not_seen(probe):
    """Chance is 1 in 7; the patterns are plain enough for a random encoder's features."""
    assert probe[1]["metrics"]["video"]["accuracy"] > 0.4


def test_the_best_epoch_is_chosen_on_the_validation_video(probe, small_dataset):
    """Scored again from the saved model, video03 gives the best value in the history."""
    workdir, results = probe
    task, model = phases(CHOLEC80), load_frame_model(workdir / "model")
    splits = small_splits(small_config(small_dataset), task)
    frames = SplitFeatures(model.encoder, splits, 14, None)
    scores = {}
    for name in ("validation", "test"):
        features, index = frames(name)
        scores[name] = task.scorer(index)(np.asarray(model.probabilities(features)))
    best = max(results["history"]["val_macro_f1"])
    assert best == results["history"]["val_macro_f1"][results["best_epoch"]]
    assert best == max(point["score"] for point in results["chosen"]["grid"])
    assert best == pytest.approx(scores["validation"], abs=1e-6)
    assert scores["validation"] != pytest.approx(scores["test"], abs=1e-3)
    assert scores["test"] == pytest.approx(results["metrics"]["video"]["f1"], abs=1e-6)


def test_the_model_directory_predicts_the_same(probe, small_dataset):
    workdir, _ = probe
    predictions = read_predictions(workdir / "predictions.csv")
    model = load_frame_model(workdir / "model")
    for second in range(14):
        path = small_dataset / "frames" / "video04" / f"video04_{second + 1:06d}.png"
        image = frame_to_input(read_image(path), 16)
        assert np.asarray(model(image[None])).argmax() == predictions.prediction[second]
    assert model.classes == predictions.classes


def test_fine_tuning_an_encoder_directory(small_dataset, tmp_path):
    encoder = create_encoder(VARIANT, image_size=16, seed=5)
    path = save_encoder(encoder, tmp_path / "encoder", {})
    config = small_config(small_dataset, encoder=str(path), mode="finetune")
    results = run(config, tmp_path / "finetune")
    assert results["mode"] == "finetune"
    assert 0 <= results["metrics"]["video"]["f1"] <= 1
    tuned = load_frame_model(tmp_path / "finetune" / "model").encoder
    pairs = zip(tuned.get_weights(), encoder.get_weights(), strict=True)
    assert not all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("mode", ["logistic", "knn"])
def test_other_classifiers_recognise_the_stripes_too(small_dataset, tmp_path, mode):
    config = small_config(small_dataset, model__variant="vitmicro8", mode=mode)
    results = run(config, tmp_path / mode)
    assert results["metrics"]["video"]["accuracy"] > 0.3
    assert results["history"] == {} and results["best_epoch"] is None
    assert (tmp_path / mode / "report.html").is_file()
    assert (tmp_path / mode / "model").is_dir() == (mode == "logistic")


def test_a_temporal_model_comes_after_the_frame_model(small_dataset, tmp_path):
    config = small_config(small_dataset, temporal="tecno", tecno__epochs=3, tecno__num_maps=4)
    results = run(config, tmp_path / "run")
    table = read_predictions(tmp_path / "run" / "predictions_tecno.csv")
    found = results["temporal"]["tecno"]
    assert evaluate(table)["video"]["f1"] == pytest.approx(found["metrics"]["video"]["f1"])
    assert len(found["history"]["val_macro_f1"]) == 3
    opened = load_temporal(tmp_path / "run" / "model" / "temporal")
    frames = SplitFeatures(
        load_frame_model(tmp_path / "run" / "model").encoder,
        small_splits(config, phases(CHOLEC80)),
        14,
        None,
    )
    for part in ("validation", "test"):
        features, index = frames(part)
        probabilities = predict_temporal(opened, features, index.video, index.second)
        if part == "validation":  # by which the epoch was chosen
            score = phases(CHOLEC80).scorer(index)(probabilities)
            assert score == pytest.approx(max(found["history"]["val_macro_f1"]), abs=1e-6)
    np.testing.assert_allclose(probabilities, table.probabilities, atol=1e-5)


def test_tools_are_a_task_of_the_same_experiment(small_dataset, tmp_path):
    """The tool annotations of tests/support/small_dataset.py have a grasper all the time."""
    results = run(small_config(small_dataset, task="tools"), tmp_path / "run")
    per_class = results["metrics"]["tool"]["per_class"]
    assert per_class["Grasper"]["average_precision"] == pytest.approx(1)
    assert per_class["Hook"]["average_precision"] is None
    assert load_frame_model(tmp_path / "run" / "model").multi_label
    with pytest.raises(InputError, match="tools have no order in time"):
        run(small_config(small_dataset, task="tools", temporal="tecno"), tmp_path / "temporal")


def test_patterns_name_videos(small_dataset, tmp_path):
    config = small_config(small_dataset, train_videos=("video0[12]",), test_videos=("*4",))
    assert run(config, tmp_path / "run")["videos"]["train"] == ["video01", "video02"]
    with pytest.raises(InputError, match=r"train_videos: no video has a name like op\*"):
        run(small_config(small_dataset, train_videos=("op*",)), tmp_path / "other")


def test_few_labels_are_drawn_from_videos_that_have_labels(small_dataset, tmp_path):
    root = shutil.copytree(small_dataset, tmp_path / "data")
    table = pq.read_table(root / "index.parquet")
    phase = table["phase"].to_numpy().copy()
    phase[np.array(table["video"].to_pylist()) == "video02"] = -1
    column = table.schema.get_field_index("phase")
    table = table.set_column(column, table.schema.field("phase"), pa.array(phase))
    pq.write_table(table, root / "index.parquet")
    config = small_config(root, train_videos=("video0[1-3]",))
    assert labelled_videos([root], "train", config.train_videos, phases(CHOLEC80)) == (
        "video01",
        "video03",
    )


def test_splits_may_come_from_the_manifest_of_the_data(small_dataset, tmp_path):
    root = shutil.copytree(small_dataset, tmp_path / "data")
    names = dict.fromkeys(("train_videos", "validation_videos", "test_videos"), ("splits.json",))
    with pytest.raises(InputError, match=r"splits\.json: not there"):
        run(small_config(root, **names), tmp_path / "run")
    parts = {"train": ["video02", "video04"], "validation": ["video01"], "test": ["video03"]}
    protocol = {part: {"videos": videos} for part, videos in parts.items()}
    (root / "splits.json").write_text(
        json.dumps({"default": "ours", "protocols": {"ours": protocol}})
    )
    assert run(small_config(root, **names), tmp_path / "run")["videos"] == parts


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"task": "organs"}, "task is 'organs'"),
        ({"task": "classes"}, r"classes\.json"),
        ({"task": "classes", "data__root": ()}, "data.root is empty"),
        ({"probe__learning_rates": ("a",)}, "learning_rates is 'a'"),
        ({"feature_cache": "gs://bucket/features"}, "feature_cache=gs"),
        ({"resnet_weights": "imagenet"}, "resnet_weights"),
        ({"temporal": "lstm"}, "temporal is 'lstm'"),
        ({"augmentation": "cutmix"}, "augmentation is 'cutmix'"),
        ({"probe__learning_rates": ()}, "probe.learning_rates is empty"),
        ({"optimizer__layer_decay": 1.5}, "layer_decay"),
        ({"mode": "train"}, "mode is 'train'"),
        ({"optimizer__name": "lamb"}, "lamb"),
        ({"epochs": 0}, "epochs"),
        ({"seed": -1}, "seed"),
        ({"optimizer__learning_rate": float("nan")}, "learning_rate"),
        ({"train_videos": ("video01", 3)}, "train_videos: found 3"),
        ({"optimizer__learning_rate": -1.0}, "learning_rate"),
        ({"model__variant": ""}, "no encoder"),
        ({"encoder": "a", "model__like": "b"}, "model.like is 'b' with encoder 'a'"),
        ({"model__variant": "vit"}, "vits16"),
        ({"encoder": "/nonexistent"}, "nonexistent"),
        ({"test_videos": ("video01",)}, "video01: in train_videos and in test_videos"),
        ({"test_videos": ("video77",)}, "video77"),
        ({"test_videos": ()}, "test_videos"),
        ({"data__root": ("/nonexistent",)}, "nonexistent"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_written(
    small_dataset, tmp_path, changes, named
):
    with pytest.raises(InputError, match=named):
        run(small_config(small_dataset, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_from_scratch_like_an_encoder(small_dataset, tmp_path):
    """Its architecture, image size and preprocessing, with weights of the seed."""
    facts = {"mean": (0.1, 0.2, 0.3), "std": (0.2, 0.2, 0.2), "resample": "bicubic"}
    encoder = create_encoder("vitmicro8", image_size=24, seed=5, **facts)
    path = save_encoder(encoder, tmp_path / "encoder", {})
    settings = {"model__variant": "", "mode": "knn"}
    known = run(small_config(small_dataset, encoder=str(path), **settings), tmp_path / "known")
    config = small_config(small_dataset, model__like=str(path), **settings)
    scratch = run(config, tmp_path / "scratch")
    assert (
        scratch["network"]
        == known["network"]
        == {
            **{"image_size": 24, "patch_size": 8, "resample": "bicubic"},
            **{"mean": [0.1, 0.2, 0.3], "std": [0.2, 0.2, 0.2]},
        }
    )
    assert scratch["encoder"] == f"as {path}, from scratch"
    assert scratch["encoder_fingerprint"] != known["encoder_fingerprint"]
    config.seed, again = 1, tmp_path / "again"
    assert run(config, again)["encoder_fingerprint"] != scratch["encoder_fingerprint"]
    config.model.like = str(path / "saved_model")
    with pytest.raises(InputError, match="a frozen SavedModel does not say"):
        run(config, tmp_path / "frozen")


def test_an_encoder_of_another_architecture_is_refused(small_dataset, tmp_path):
    path = save_encoder(create_encoder(VARIANT, image_size=16), tmp_path / "encoder", {})
    config = small_config(small_dataset, encoder=str(path), model__variant="vits16")
    with pytest.raises(InputError, match="width 12 instead of 384"):
        run(config, tmp_path / "run")


@pytest.mark.parametrize("mode", ["probe", "finetune"])
def test_unreadable_frames_are_counted_not_scored(small_dataset, tmp_path, mode):
    root = shutil.copytree(small_dataset, tmp_path / "copy")
    for video, second in ((1, 4), (2, 1), (2, 2), (3, 5), (4, 3), (4, 9)):
        (root / f"frames/video{video:02d}/video{video:02d}_{second:06d}.png").write_bytes(b"")
    results = run(small_config(root, mode=mode), tmp_path / "run")
    assert results["unreadable_frames"] == {"train": 3, "validation": 1, "test": 2}
    assert "3 train frames, 1 validation frames, 2 test frames" in results["warnings"][-1]
    seconds = read_predictions(tmp_path / "run" / "predictions.csv").second
    assert set(range(14)) - set(seconds.tolist()) == {2, 8}


def test_a_test_video_that_pre_training_has_seen_is_reported(small_dataset, tmp_path):
    encoder = create_encoder(VARIANT, image_size=16)
    path = save_encoder(encoder, tmp_path / "encoder", {"videos": ["video01", "VID04"]})
    results = run(small_config(small_dataset, encoder=str(path)), tmp_path / "run")
    assert any("seen test videos: video04 (VID04)" in warning for warning in results["warnings"])


def test_one_phase_alone_cannot_be_learnt(tmp_path):
    root = make_small_dataset(tmp_path / "cholec80", phases=1)
    with pytest.raises(InputError, match="fewer than two phases"):
        run(small_config(root), tmp_path / "run")


def test_missing_phases_and_missing_validation_are_recorded(tmp_path):
    root = make_small_dataset(tmp_path / "cholec80", phases=2)
    results = run(small_config(root, validation_videos=()), tmp_path / "run")
    assert any("GallbladderRetraction" in warning for warning in results["warnings"])
    assert any("no validation videos" in warning for warning in results["warnings"])
    assert results["best_epoch"] == 1


def test_several_labels_by_logistic_regression(small_dataset, tmp_path):
    """A tool that is there all the time, or never, has nothing to be fitted."""
    results = run(small_config(small_dataset, task="tools", mode="logistic"), tmp_path / "run")
    assert results["metrics"]["tool"]["per_class"]["Grasper"]["average_precision"] == 1


def test_what_fine_tuning_has_seen_stays_known(small_dataset, tmp_path):
    encoder = create_encoder(VARIANT, image_size=16)
    path = save_encoder(encoder, tmp_path / "encoder", {"videos": ["video09"]})
    config = small_config(small_dataset, encoder=str(path), mode="finetune", epochs=1)
    run(config, tmp_path / "first")
    tuned = tmp_path / "first" / "model" / "encoder"
    for encoder in (tuned, tuned / "saved_model"):
        assert sorted(seen_by(encoder).videos) == ["video01", "video02", "video09"]


def test_another_run_in_the_folder_leaves_nothing_of_the_first(small_dataset, tmp_path):
    run(small_config(small_dataset), tmp_path)
    assert (tmp_path / "model").is_dir() and (tmp_path / "history.png").is_file()
    run(small_config(small_dataset, mode="knn"), tmp_path)
    assert not (tmp_path / "model").exists() and not (tmp_path / "history.png").exists()


def test_a_validation_score_that_is_undefined_is_said(small_dataset, tmp_path):
    root = shutil.copytree(small_dataset, tmp_path / "data")
    table = pq.read_table(root / "index.parquet")
    absent = [
        0 if video == "video03" else value
        for video, value in zip(
            table["video"].to_pylist(), table["Grasper"].to_pylist(), strict=True
        )
    ]
    place = table.schema.get_field_index("Grasper")
    table = table.set_column(place, table.schema.field(place), pa.array(absent, pa.int8()))
    pq.write_table(table, root / "index.parquet")
    results = run(small_config(root, task="tools"), tmp_path / "run")
    assert results["best_epoch"] == 1
    assert any("undefined in every epoch" in warning for warning in results["warnings"])
    text = (tmp_path / "run" / "results.json").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize("mode", ["probe", "finetune"])
def test_an_experiment_says_its_features_and_its_model_makes_them(small_dataset, tmp_path, mode):
    config = small_config(
        small_dataset, model__variant="vitmicro8", mode=mode, features="cls+mean", epochs=1
    )
    results = run(config, tmp_path / "run")
    assert results["features"] == "cls+mean"
    assert "features: cls+mean" in (tmp_path / "run" / "report.html").read_text()
    model = load_frame_model(tmp_path / "run" / "model")
    assert model.features == "cls+mean"
    path = small_dataset / "frames" / "video04" / "video04_000001.png"
    tokens, cls = model.encoder(frame_to_input(read_image(path), 16)[None])
    features = np.concatenate([cls, np.asarray(tokens)[:, 1:].mean(1)], axis=1)
    probabilities = np.asarray(model.probabilities(features))[0]
    table = read_predictions(tmp_path / "run" / "predictions.csv")
    np.testing.assert_allclose(table.probabilities[0], probabilities, atol=1e-4)
