"""Cells that are trained, that fail, and that other processes run."""

import json

import pytest

from data.common.errors import InputError
from data.storage.locking import locked
from down_stream import experiment
from down_stream.comparison.checks import check, give_to_modes
from down_stream.comparison.grid import run_comparison
from down_stream.comparison.page import text_table
from down_stream.tasks import phases
from msn.encoders import save_encoder
from msn.networks.encoder import Encoder
from msn.sweep import Shard
from tests.down_stream.comparison.test_grid import CHOLEC80, ORIGIN, TINY, comparison_config

pytestmark = pytest.mark.usefixtures("eager")
START = ["python", "down_stream/main.py", "--config=configs/encoder_comparison.py"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders")
    save_encoder(Encoder(**TINY, seed=0), folder / "encoder", ORIGIN)
    return folder


def trained_config(root, folder, **changes):
    """A comparison of two encoders whose cells are trained quickly."""
    encoders = (("ours", str(folder / "encoder")), ("random", ""))
    config = comparison_config(root, folder, encoders=encoders, fractions=(1.0,), seeds=(0,))
    config.update_from_flattened_dict(
        {
            "settings.finetune": {"batch_size": 14, "epochs": 1, "optimizer": {"name": "sgd"}},
            "tecno.epochs": 1,
            "tecno.num_layers": 2,
            "tecno.num_maps": 4,
        }
        | changes
    )
    return config


def compared(config, workdir, run=experiment.run, shard=None):
    task = phases(CHOLEC80)
    return run_comparison(config, workdir, run=run, task=task, start=START, shard=shard)


@pytest.fixture(scope="module")
def trained(small_dataset, folder, tmp_path_factory, eager):
    workdir = tmp_path_factory.mktemp("runs") / "trained"
    changes = {"modes": ("knn", "finetune"), "temporal": "tecno", "epochs": 9}
    return workdir, *compared(trained_config(small_dataset, folder, **changes), workdir)


def test_fine_tuning_and_the_temporal_model_are_compared(trained):
    workdir, summary, failed = trained
    assert not failed
    ways = {(row["way"], row["encoder"]) for row in summary["rows"]}
    every = ("knn", "frozen", "finetune", "finetuned")
    assert ways == {(way, name) for way in every for name in ("ours", "random")}
    assert all(0 <= row["score"] <= 1 for row in summary["rows"])
    page = (workdir / "comparison.html").read_text()
    for text in (
        "Fine-tuning",
        "Temporal model after fine-tuning",
        "Temporal model on frozen features",
    ):
        assert f">{text}</h2>" in page
    cell = json.loads((workdir / "cells/ours_finetune_2videos_seed0/results.json").read_text())
    assert cell["config"]["epochs"] == 1  # of the mode, not of all cells
    assert list(cell["temporal"]) == ["tecno"]


def test_what_costs_are_of_is_one_function(trained):
    _, summary, _ = trained
    assert summary["encoders"]["ours"]["gflop"] > 0
    assert summary["encoders"]["ours"]["frames_per_second"] > 0


def test_a_cell_that_diverges_is_named_and_the_others_go_on(small_dataset, folder, tmp_path):
    changes = {"modes": ("finetune", "knn"), "settings.finetune.optimizer.learning_rate": 1e30}
    encoders = (("ours", str(folder / "encoder")), ("random", "", {"optimizer.name": "adam"}))
    config = trained_config(small_dataset, folder, **changes)
    config.encoders = encoders
    summary, failed = compared(config, tmp_path)
    assert len(failed) == 2
    assert failed[0].startswith("ours_finetune_2videos_seed0: the loss is nan in epoch 1")
    assert summary["failed"] == failed
    scores = {(row["way"], row["encoder"]): row["score"] for row in summary["rows"]}
    assert scores["finetune", "ours"] is None
    assert scores["knn", "ours"] is not None
    reasons = {(row["way"], row["encoder"]): row["why"] for row in summary["rows"]}
    assert reasons["finetune", "ours"].startswith("no score: the loss is nan")
    assert f"failed: {failed[0]}" in text_table(summary)
    page = (tmp_path / "comparison.html").read_text()
    assert ">ours_finetune_2videos_seed0</th><td>the loss is nan in epoch 1" in page

    # Another shard knows of it, and does not wait; the same command tries again.
    def never(config, workdir):
        raise AssertionError(workdir)

    others = [cell["name"] for cell in summary["cells"] if "finetune" in cell["name"]]
    places = [place for place, cell in enumerate(summary["cells"]) if cell["name"] in others]
    assert places == [0, 2]
    found, again = compared(config, tmp_path, never, Shard(2, 2))  # cells 1 and 3
    assert again == failed
    assert found["rows"] == summary["rows"]
    tried = []

    def mended(config, workdir):
        tried.append(workdir.name)
        config.optimizer.learning_rate = 1e-3
        return experiment.run(config, workdir)

    summary, failed = compared(config, tmp_path, mended)
    assert sorted(tried) == sorted(others)
    assert not failed


def test_where_all_cells_fail_nothing_is_compared(small_dataset, folder, tmp_path):
    config = trained_config(small_dataset, folder)

    def failing(config, workdir):
        raise InputError("too bad")

    with pytest.raises(InputError, match=r"none of 2 cells could be run: .*: too bad; .*too bad$"):
        compared(config, tmp_path, failing)


def test_other_shards_that_are_still_running_are_said(small_dataset, folder, tmp_path, caplog):
    config = trained_config(small_dataset, folder)
    first = tmp_path / "cells" / "ours_knn_2videos_seed0"
    with locked(tmp_path, "lock.1of2"), locked(first):
        found, failed = compared(config, tmp_path)
    assert found is None
    assert not failed
    assert "shard 1/2 (process " in caplog.text
    assert "ours_knn_2videos_seed0: left to another process" in caplog.text
    caplog.clear()
    assert compared(config, tmp_path)[0]["rows"]
    assert "still running" not in caplog.text


def test_an_old_page_is_marked_until_the_new_one_is_there(small_dataset, folder, tmp_path):
    config = trained_config(small_dataset, folder)
    compared(config, tmp_path)
    page = tmp_path / "comparison.html"
    (tmp_path / "cells" / "ours_knn_2videos_seed0" / "results.json").unlink()

    def stopped(config, workdir):
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            compared(config, tmp_path, stopped)
        text = page.read_text()
        assert text.count("Out of date: 1 of 2 cells are missing or run again.") == 1
    compared(config, tmp_path)
    assert "Out of date" not in page.read_text()


def test_keys_that_the_user_sets_reach_the_modes(small_dataset, folder):
    config = trained_config(small_dataset, folder, modes=("finetune",))
    config.epochs, config.batch_size, config.optimizer.learning_rate = 7, 5, 0.5
    config.settings.finetune.optimizer.learning_rate = 0.1
    config.settings.finetune.batch_size = 3
    keys = ["epochs", "optimizer.learning_rate", "batch_size", "settings.finetune.batch_size"]
    give_to_modes(config, keys)
    found = config.settings.finetune
    assert (found.epochs, found.batch_size, found.optimizer.learning_rate) == (7, 3, 0.5)
    assert found.optimizer.name == "sgd"  # nobody has said another one
    check(config)
