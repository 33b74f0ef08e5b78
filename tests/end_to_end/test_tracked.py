"""Experiments, folds and grids that are sent to a tracker: Weights & Biases, offline."""

import os

import pytest

from configs import encoder_comparison, phase_base, phase_low_shot
from data.storage.paths import to_paths
from down_stream.comparison.grid import run_comparison
from down_stream.experiment import experiment, run
from down_stream.low_shot.grid import run_grid
from down_stream.tasks import open_task
from msn.tracking import wandb_files
from tests.support.small_dataset import make_small_dataset
from tests.support.small_phases import small_config


@pytest.fixture(autouse=True)
def nobody_is_logged_in(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def sent(workdir):
    """(name of the run, what it belongs to, kind, names of its files), and its scores."""
    (run,) = wandb_files.messages_of(workdir / "trackers", "run")
    artifacts = wandb_files.messages_of(workdir / "trackers", "artifact")
    files = {entry.path for artifact in artifacts for entry in artifact.manifest.contents}
    updates = wandb_files.messages_of(workdir / "trackers", "summary")
    scores = {i.key or "/".join(i.nested_key): i.value_json for u in updates for i in u.update}
    return (run.display_name, run.run_group, run.job_type, files), scores


def grid_config(root, base):
    """A configuration of a grid with small experiments."""
    config, kept = small_config(root, mode="knn", track="wandb"), base.get_config()
    with config.unlocked():
        for key in set(kept) - set(phase_base.get_config()):
            config[key] = kept[key]
    config.encoders, config.baseline = (("random", ""), ("other", "")), "random"
    config.fractions, config.seeds = (1.0,), (0,)
    return config


def test_experiments_folds_and_grids(tmp_path):
    root = make_small_dataset(tmp_path / "data")
    task = open_task("phases", to_paths((str(root),)), None)

    results = run(small_config(root, track="wandb", mode="probe"), tmp_path / "probe")
    about, scores = sent(tmp_path / "probe")
    assert about[:3] == ("probe", "", "experiment")
    assert {"report.html", "results.json", "confusion_matrix.png"} <= about[3]
    assert {"model/encoder/encoder.json", "model/encoder/README.md"} <= about[3]
    assert not any("predictions" in name for name in about[3])
    assert float(scores["test/video/f1"]) == results["metrics"]["video"]["f1"]

    experiment(small_config(root, track="wandb", mode="knn", folds=2), tmp_path / "folds")
    about, _ = sent(tmp_path / "folds")
    assert about[:3] == ("folds", "", "experiment")
    assert sent(tmp_path / "folds" / "fold1")[0][:2] == ("folds/fold1", "folds")

    run_grid(grid_config(root, phase_low_shot), tmp_path / "few", run=run)
    about, _ = sent(tmp_path / "few")
    assert about[:3] == ("few", "", "comparison")
    assert {"low_shot.png", "low_shot.csv", "low_shot.json"} <= about[3]
    (cell,) = (tmp_path / "few").glob("other_*")
    assert sent(cell)[0][:2] == (f"few/{cell.name}", "few")

    config = grid_config(root, encoder_comparison)
    config.modes, config.temporal = ("knn",), ""
    run_comparison(config, tmp_path / "compared", run=run, task=task, start=["command"])
    about, scores = sent(tmp_path / "compared")
    assert about[:3] == ("compared", "", "comparison")
    assert {"comparison.html", "comparison.csv"} <= about[3]
    assert {name.rpartition("/")[2] for name in scores} >= {"random", "other"}
