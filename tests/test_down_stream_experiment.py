import json
import shutil

import cv2
import numpy as np
import pytest

from data.errors import InputError
from down_stream.experiment import run
from down_stream.metrics import evaluate
from down_stream.model import load_phase_model
from down_stream.predictions import read_predictions
from msn.checkpoint import save_encoder
from msn.vit import create_encoder
from tests.small_dataset import make_small_dataset
from tests.small_phases import small_config


@pytest.fixture(scope="module")
def probe(small_dataset, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "probe"
    config = small_config(small_dataset, epochs=60)
    return workdir, run(config, workdir)


def test_what_an_experiment_leaves(probe):
    workdir, results = probe
    assert {path.name for path in workdir.iterdir()} == {
        "results.json",
        "predictions.csv",
        "phase_timeline.png",
        "confusion_matrix.png",
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


def test_the_model_directory_predicts_the_same(probe, small_dataset):
    workdir, _ = probe
    predictions = read_predictions(workdir / "predictions.csv")
    model = load_phase_model(workdir / "model")
    path = small_dataset / "frames" / "video04" / "video04_000005.png"
    image = cv2.resize(cv2.imread(str(path))[..., ::-1], (16, 16), interpolation=cv2.INTER_AREA)
    assert np.asarray(model(image[None])).argmax() in predictions.prediction  # opens and runs
    assert model.classes == predictions.classes


def test_fine_tuning_an_encoder_directory(small_dataset, tmp_path):
    encoder = create_encoder("vitmicro8", image_size=16, seed=5)
    path = save_encoder(encoder, tmp_path / "encoder", {})
    config = small_config(small_dataset, encoder=str(path), mode="finetune")
    results = run(config, tmp_path / "finetune")
    assert results["mode"] == "finetune"
    assert 0 <= results["metrics"]["video"]["f1"] <= 1
    tuned = load_phase_model(tmp_path / "finetune" / "model").encoder
    pairs = zip(tuned.get_weights(), encoder.get_weights(), strict=True)
    assert not all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"mode": "train"}, "mode is 'train'"),
        ({"optimizer__name": "lamb"}, "lamb"),
        ({"epochs": 0}, "epochs"),
        ({"optimizer__learning_rate": -1.0}, "learning_rate"),
        ({"model__variant": ""}, "no encoder"),
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


def test_an_encoder_of_another_architecture_is_refused(small_dataset, tmp_path):
    path = save_encoder(create_encoder("vitmicro8", image_size=16), tmp_path / "encoder", {})
    config = small_config(small_dataset, encoder=str(path), model__variant="vits16")
    with pytest.raises(InputError, match="width 96 instead of 384"):
        run(config, tmp_path / "run")


def test_unreadable_test_frames_are_counted_not_scored(small_dataset, tmp_path):
    root = shutil.copytree(small_dataset, tmp_path / "copy")
    for second in (3, 9):
        (root / "frames" / "video04" / f"video04_{second:06d}.png").write_bytes(b"")
    results = run(small_config(root), tmp_path / "run")
    assert results["unreadable_test_frames"] == 2
    assert "2 test frames" in results["warnings"][-1]
    seconds = read_predictions(tmp_path / "run" / "predictions.csv").second
    assert set(range(14)) - set(seconds.tolist()) == {2, 8}


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
