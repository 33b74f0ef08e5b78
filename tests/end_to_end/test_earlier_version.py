"""What earlier versions wrote still opens and goes on: see tests/earlier_version/README.md."""

import csv
import json
import shutil

import numpy as np
import pytest
import safetensors.numpy

from data.dataset.frame_index import load_index
from down_stream.classifiers.frame_model import load_frame_model
from down_stream.experiment import run
from down_stream.features import cache
from msn.checkpoint import load_encoder
from msn.pretrain import pretrain
from msn.training.configuration import create_model
from msn.workdir import checkpoints
from tests.support import small_msn, small_phases
from tests.support.places import ROOT

FOLDER = ROOT / "tests" / "earlier_version"

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture
def earlier(tmp_path, monkeypatch):
    """A copy of the folder, which is the working directory: its configurations name it so."""
    shutil.copytree(FOLDER, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture(scope="module")
def expected():
    return np.load(FOLDER / "expected.npz")


def probabilities_of(path):
    with path.open() as file:
        rows = list(csv.reader(file))[1:]
    return np.array([row[4:] for row in rows], float)


def experiment(**changes):
    config = small_phases.small_config(FOLDER, encoder="msn/encoder", feature_cache="features")
    config.data.root = ("cholec80",)
    for key, value in changes.items():
        config[key] = value
    return config


@pytest.mark.parametrize("path", ["encoder", "encoder/saved_model"])
def test_encoder_directory(expected, path):
    tokens, cls = load_encoder(FOLDER / "msn" / path)(expected["images"])
    np.testing.assert_allclose(tokens, expected["tokens"], atol=1e-5)
    np.testing.assert_allclose(cls, expected["cls"], atol=1e-5)


def test_frame_model_directory(expected):
    model = load_frame_model(FOLDER / "probe" / "model")
    probabilities = model.probabilities(model.encoder.represent(expected["images"]))
    np.testing.assert_allclose(probabilities, expected["probabilities"], atol=1e-5)


def test_dataset_and_experiment(earlier):
    """The same experiment as then gives the same predictions."""
    run(experiment(), "again")
    np.testing.assert_allclose(
        probabilities_of(earlier / "again" / "predictions.csv"),
        probabilities_of(FOLDER / "probe" / "predictions.csv"),
        atol=1e-4,
    )


def test_pre_training_goes_on_from_its_checkpoint(earlier, expected):
    """The last two of six steps end where that version's run ended."""
    shutil.rmtree(earlier / "msn" / "encoder")
    pretrain(small_msn.small_config("cholec80", checkpoint_every=2, seed=3), "msn")
    lines = (earlier / "msn" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4, 6]
    before = (FOLDER / "msn" / "metrics.jsonl").read_text().splitlines()[-1]
    assert json.loads(lines[-1])["loss"] == pytest.approx(json.loads(before)["loss"], rel=1e-5)
    _, cls = load_encoder("msn/encoder")(expected["images"])
    np.testing.assert_allclose(cls, expected["cls"], atol=1e-4)


def test_kernels_that_were_the_other_way_round_are_turned_with_their_moments(earlier):
    """The second ones of the MLPs; nothing else in a checkpoint is."""
    path = FOLDER / "msn" / "checkpoints" / "step_00000004.safetensors"
    model = create_model(small_msn.small_config("cholec80"))
    assert checkpoints.restore_checkpoint(path, model) == (4, ())
    state, turned = safetensors.numpy.load_file(path), set()
    for name, variable in checkpoints.run_state(model).items():
        if state[name].shape != variable.shape:
            assert "mlp.fc2.weight" in name
            assert state[name].shape == (12, 48)
            state[name] = state[name].T
            turned.add(name.split("blocks")[0])
        np.testing.assert_array_equal(variable, state[name])
    assert turned == {"anchor/", "target/", "optimizer/first/", "optimizer/second/"}


def test_fine_tuning_goes_on_from_its_checkpoint(earlier, caplog):
    caplog.set_level("INFO")
    run(experiment(mode="finetune", epochs=4, augmentation="resize"), "finetune")
    assert "8 of 8 steps, 4 of them before" in caplog.text
    np.testing.assert_allclose(
        probabilities_of(earlier / "finetune" / "predictions.csv"),
        probabilities_of(FOLDER / "finetune" / "predictions.csv"),
        atol=1e-4,
    )


def test_feature_cache(earlier, monkeypatch):
    """Entries are found under the names of then; times and absolute paths are this copy's."""
    assert cache.entry_name("video01", ["/nowhere/a.png", "/nowhere/b.png"], 16) == (
        "video01-44272f117a681fbb1fbd2dba6fdc5468.npy"
    )
    encoder, index = load_encoder("msn/encoder"), load_index("cholec80")
    (folder,) = (earlier / "features").iterdir()
    for number, video in enumerate(index.videos):
        (entry,) = folder.glob(f"{video}-*")
        paths = index.paths(np.flatnonzero(index.video == number))
        entry.rename(folder / cache.entry_name(video, paths, 16))
    monkeypatch.setattr(cache, "batches_of_features", lambda *_: pytest.fail("computed again"))
    features, rows = cache.cached_features(
        encoder,
        index,
        features="cls",
        folder="features",
        image_size=16,
        batch_size=14,
        description="",
    )
    assert features.shape == (56, 12) and rows.tolist() == list(range(56))
