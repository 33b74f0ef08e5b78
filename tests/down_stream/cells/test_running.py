import shlex
import sys

import pytest
from absl import flags
from ml_collections import config_flags

from configs import encoder_comparison
from data.common.configurations import ROOT
from data.common.errors import InputError
from down_stream.cells.cell import command, make_cell
from down_stream.cells.opening import Encoders
from down_stream.cells.running import run_cells
from msn.sweep import Shard, read_shard
from msn.workdir.run_directory import plain

SCORE = ("video", "f1")


def make_cells(folder, number=7):
    config = encoder_comparison.get_config()
    return [
        make_cell(config, {"seed": seed, "model.variant": "vits16"}, {"seed": seed}, folder / name)
        for seed, name in enumerate(f"cell{seed}" for seed in range(number))
    ]


def run(config, directory):
    directory.mkdir(parents=True)
    return {"metrics": {"video": {"f1": config.seed / 10}}, "warnings": []}


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_every_cell_is_one_shard_s(tmp_path, count):
    cells = make_cells(tmp_path)
    seeds = []
    for number in range(1, count + 1):
        shard = read_shard(f"{number}/{count}")
        found = run_cells(cells, [None] * 7, run, SCORE, Encoders(), shard)
        own = [place for place, one in enumerate(found) if one is not None]
        assert own == list(range(number - 1, 7, count))
        seeds += own
    assert sorted(seeds) == list(range(7))


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/2/3", "-1/2", ""])
def test_what_is_no_shard(text):
    with pytest.raises(InputError, match="expected I/N"):
        read_shard(text)
    assert read_shard(None) == Shard(1, 1)


def test_the_command_of_a_cell_makes_its_configuration(tmp_path, monkeypatch):
    file = f"{ROOT}/configs/encoder_comparison.py:tools"
    start = ["python", "down_stream/main.py", f"--config={file}", "--shard=1/2"]
    start += ["--workdir=elsewhere", "--config.epochs=3"]
    start += ["--shard", "1/2", "-workdir", "elsewhere", "-shard=1/2", "--config.mode", "probe"]
    start += ["--config.encoders=(('a','b'),)", "--config.seeds=(0,)", "--config.modes=('knn',)"]
    start += ["--config.train_videos=('video01','video09')", "--config.model.like=a"]
    start += ["--config.settings.finetune.epochs=4", "--config.train_videos[0]=video03"]
    start += ["--optimizer=sgd", "--config.optimizer.learning_rate=1.0"]
    config = encoder_comparison.get_config("tools")
    config.epochs = 3
    overrides = {
        "model.like": None,
        "optimizer.name": "adam",
        "encoder": "a folder/it's",
        "encoder_mean": (0.1, 0.2, 0.3),
        "features": None,
        "train_videos": ("video01", "a b"),
        "optimizer.learning_rate": 1e-7,
        "mode": "knn",
    }
    cell = make_cell(config, overrides, {}, tmp_path / "cells" / "one")
    words = shlex.split(command(start, cell))
    assert words[:2] == ["python", "down_stream/main.py"]
    assert [word for word in words if "workdir" in word] == [f"--workdir={cell.directory}"]
    values = flags.FlagValues()
    holder = config_flags.DEFINE_config_file("config", None, "", values, lock_config=True)
    parsed = [word for word in words[1:] if not word.startswith("--workdir")]
    monkeypatch.setattr(sys, "argv", parsed)  # where ml_collections looks
    values(parsed)
    got = plain(holder.value)
    assert got["encoders"] == []
    assert not [word for word in words if "optimizer=sgd" in word]
    expected = plain(cell.config) | {"workdir": got["workdir"]}
    assert {key: got[key] for key in expected} == expected
