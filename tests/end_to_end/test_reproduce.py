"""Every command of REPRODUCE.md, on miniature data sets and with miniature networks."""

import importlib
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags

from data.dataset.frame_index import load_index
from data.storage.paths import to_paths
from down_stream.experiment import run
from down_stream.features.labelled_splits import labelled_videos
from down_stream.low_shot.grid import run_grid
from down_stream.main import MODELS
from down_stream.tasks import open_task
from msn.pretrain import pretrain
from tests.benchmarks.pretrain_step import operations
from tests.support import documented
from tests.support.documented import shrink_experiment, shrink_pretraining
from tests.support.forked_commands import call
from tests.support.places import ROOT
from tests.support.small_dataset import make_small_dataset
from tests.support.small_polyps import BOX, write_frame

TEXT = (ROOT / "REPRODUCE.md").read_text()
COMMANDS = list(documented.commands(TEXT))
PROGRAMS = {"prepare.py": "prepare", "msn.train": "train", "down_stream/main.py": "main"}


def program(command):
    assert command[0] == "python"
    return PROGRAMS[command[2] if command[1] == "-m" else command[1]]


def arguments(command):
    return [word for word in command if word.startswith("--")]


def of(name):
    return [command for command in COMMANDS if program(command) == name]


def parse(command, monkeypatch):
    """The configuration and the other flags of a command, as the command itself reads them."""
    values = flags.FlagValues()
    holder = config_flags.DEFINE_config_file("config", flag_values=values, lock_config=True)
    flags.DEFINE_string("workdir", None, "", flag_values=values)
    flags.DEFINE_enum("model", None, list(MODELS), "", flag_values=values)
    argv = [re.sub("^--config=", f"--config={ROOT}/", word) for word in arguments(command)]
    monkeypatch.setattr(sys, "argv", [program(command), *argv])  # where it looks for overrides
    values(sys.argv)
    return holder.value, values


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder as it is after the first two commands, with data sets of few frames."""
    root = tmp_path_factory.mktemp("reproduce")
    make_small_dataset(root / "datasets" / "cholec80")
    for part, sequences in (("train2019", 4), ("val2019", 2), ("test2019", 2)):
        for sequence in range(1, sequences + 1):
            kind = "adenomatous" if sequence % 2 else "hyperplastic"
            for frame in range(1, 4):
                write_polyp(root / "PolypsSet" / part, sequence, frame, kind)
    shutil.make_archive(str(root / "PolypsSet"), "zip", root / "PolypsSet")
    return root


def test_costs_are_those_of_the_configurations():
    rows = re.findall(r"\| ViT-(\w)/16 \| (\d+) \| ([\d.]+) \| ([\d.]+) \|", TEXT)
    assert [size for size, *_ in rows] == ["S", "B", "L"]
    for size, *told in rows:
        config = importlib.import_module(f"configs.msn_vit{size.lower()}16").get_config()
        per_image = operations(config)
        hours = [100 * frames * per_image / 125e12 / 3600 for frames in (86_304, 28_773)]
        told = [float(number) for number in told]
        np.testing.assert_allclose(told, [per_image / 1e9, *hours], rtol=0.05, err_msg=size)
        assert told[0] == round(per_image / 1e9), size


def write_polyp(folder, sequence, frame, kind):
    """train2019 is flat and numbered through; the other parts have a folder per sequence."""
    flat = folder.name == "train2019"
    name = str(3 * (sequence - 1) + frame) if flat else f"{sequence}/{frame}"
    write_frame(folder, name, [(kind, BOX)], path=f"/data/{sequence}/{frame}.jpg", grey=60 + frame)


def test_the_page_has_a_command_for_every_number():
    for number in ("83.4", "82.6", "84.0", "78.5", "78.2", "80.4"):
        assert f": {number}" in TEXT
    assert len(of("prepare")) == 2 and len(of("train")) == 6 and len(of("main")) == 10


def test_data_are_prepared(place, monkeypatch):
    monkeypatch.chdir(place)
    cholec80, polyps = of("prepare")
    done = call("prepare.py", *arguments(polyps), cwd=place)
    assert done.returncode == 0, done.stderr
    assert set(load_index("datasets/polypsset").label.tolist()) == {0, 1}
    # The first would fetch 85 GB: rendered videos take their place, the other flags stay.
    kept = [flag for flag in arguments(cholec80) if flag != "--verify_checksum"]
    small = ["--synthetic", "--synthetic_videos=2", "--synthetic_seconds=14", "--name=rendered"]
    done = call("prepare.py", *kept, *small, cwd=place)
    assert done.returncode == 0, done.stderr
    assert len(load_index("datasets/rendered").videos) == 2


def test_encoders_are_trained_and_evaluated(place, monkeypatch, eager):
    """All but the sizes, which are checked against --model: the networks are tiny."""
    monkeypatch.chdir(place)
    if not Path("datasets/polypsset").exists():
        assert call("prepare.py", *arguments(of("prepare")[1]), cwd=place).returncode == 0
    trained = {}
    for command in of("train"):
        config, values = parse(command, monkeypatch)
        variant = config.model.variant
        trained[values.workdir] = variant
        assert Path(config.data.root[0]).is_dir()
        shrink_pretraining(config)
        assert pretrain(config, values.workdir)
    for command in of("main"):
        config, values = parse(command, monkeypatch)
        if "fractions" in config:
            continue
        assert config.mode == "finetune"
        assert trained[str(Path(config.encoder).parent)] == MODELS[values.model]
        shrink_experiment(config)
        results = run(config, config.workdir)
        assert Path(config.workdir, "results.json").is_file()
        keys = re.findall(rf"`metrics\.(\w+)\.(\w+)` in `{config.workdir}/", TEXT)
        ((protocol, score),) = keys
        assert 0 <= results["metrics"][protocol][score] <= 1

    for command in of("main"):
        config, _ = parse(command, monkeypatch)
        if "fractions" not in config:
            continue
        assert len(config.seeds) == 3 and 0.5 in config.fractions
        shrink_experiment(config)
        config.fractions, config.seeds = (0.5,), (0,)
        roots, videos = to_paths(config.data.root), config.train_videos
        task = open_task(config.task, roots)
        config.train_videos = labelled_videos(roots, "train", videos, task)
        summary = run_grid(config, config.workdir, run=run, score=task.chosen_by)
        assert set(summary["table"]) == {"msn", "random"}
