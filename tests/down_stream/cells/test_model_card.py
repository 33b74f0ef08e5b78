"""The cards of models that experiments leave, read as Hugging Face reads them."""

import copy
import json
import shutil

import numpy as np
import pytest
import yaml

from data.storage.cards import head_of
from down_stream.cells.model_card import write_model_card
from down_stream.classifiers.frame_model import load_frame_model
from down_stream.experiment import run
from tests.support.small_dataset import make_small_dataset
from tests.support.small_phases import small_config

SHORT = {"tecno__epochs": 1, "tecno__num_maps": 4, "tecno__num_layers": 2}
pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory, eager):
    """(Its directory, its results): an experiment in folders that tell whose videos they are."""
    folder = tmp_path_factory.mktemp("Klinikum Berlin")
    root = make_small_dataset(folder / "Meier")
    config = small_config(root, model__variant="vitmicro8", epochs=2)
    run(config, folder / "run of Meier")
    workdir = folder / "run of Meier"
    return workdir, json.loads((workdir / "results.json").read_text())


def test_its_scores_are_those_of_the_experiment(experiment):
    workdir, results = experiment
    text = (workdir / "model" / "README.md").read_text()
    values = yaml.safe_load(head_of(text))
    assert (values["license"], values["pipeline_tag"]) == ("unknown", "image-classification")
    (index,) = values["model-index"]
    scores = {told["metrics"][0]["name"]: told["metrics"][0] for told in index["results"]}
    video = results["metrics"]["video"]
    assert scores["accuracy, probe, protocol video"] == {
        **{"type": "accuracy", "value": round(video["accuracy"], 4)},
        "name": "accuracy, probe, protocol video",
    }
    assert f"| probe | video | f1 | {100 * video['f1']:.1f} % |" in text
    assert "| test | 1 video, 14 frames |" in text
    assert video["rule"][:60] in text
    assert "labelled_frames" not in text


def test_the_client_of_hugging_face_reads_the_same_scores(experiment):
    client = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    workdir, results = experiment
    told = client.ModelCard.load(workdir / "model" / "README.md").data.eval_results
    (accuracy,) = [one for one in told if one.metric_name == "accuracy, probe, protocol video"]
    assert accuracy.metric_value == round(results["metrics"]["video"]["accuracy"], 4)
    assert (accuracy.task_type, accuracy.dataset_split) == ("image-classification", "test")


def test_it_names_no_video_and_no_path(experiment):
    cards = list(experiment[0].rglob("README.md"))
    assert len(cards) == 2  # that of the model, and of its encoder
    for card in cards:
        text = card.read_text()
        assert not [n for n in ("Meier", "Berlin", "video01", "video04", "/tmp") if n in text]


@pytest.mark.parametrize("mode", ["probe", "finetune"])
def test_it_says_what_to_change_before_the_model_leaves_the_house(experiment, tmp_path, mode):
    """Files that name somebody are those that the card names; without `source` they name nobody."""
    root = experiment[0].parent / "Meier"
    config = small_config(root, mode=mode, epochs=1, temporal="tecno", **SHORT)
    run(config, experiment[0].parent / f"{mode} of Meier")
    model = shutil.copytree(experiment[0].parent / f"{mode} of Meier" / "model", tmp_path / "model")

    def naming():
        telling = (b"Meier", b"Berlin", b"video0", b"/tmp", b"/home")
        files = [path for path in model.rglob("*") if path.is_file()]
        return {
            path.relative_to(model).as_posix()
            for path in files
            if any(name in path.read_bytes() for name in telling)
        }

    assert naming() == {"frame_model.json", "encoder/encoder.json"}
    card = (model / "README.md").read_text()
    for name in naming():
        assert f"`{name}`" in card
        told = json.loads((model / name).read_text())
        (model / name).write_text(json.dumps(told | {"source": {}}))
    assert naming() == set()
    frames = np.zeros((1, 16, 16, 3), np.float32)
    assert load_frame_model(model).predict(frames, verbose=0).shape[0] == 1


def test_scores_of_what_was_seen_enter_no_ranking(experiment, tmp_path):
    results = copy.deepcopy(experiment[1])
    results["encoder_seen"] = {"videos": ["video04", "Meier"], "data": [], "is_all": True}
    write_model_card(tmp_path, results, "mit")
    text = (tmp_path / "README.md").read_text()
    values = yaml.safe_load(head_of(text))
    assert values["license"] == "mit"
    assert not {"model-index", "metrics"} & set(values)
    assert "Pre-training has seen 1 of the test videos." in text
    assert "Meier" not in text
