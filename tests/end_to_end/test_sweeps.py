"""--sweep: a file of overrides, one experiment or one run a line."""

import json
import os
import subprocess
import sys

import pytest

from data.common.configurations import ROOT
from tests.support.forked_commands import call

DATA = ("train_videos=('video01','video02')", "validation_videos=('video03',)")
DATA += ("test_videos=('video04',)", "model.variant=vitmicro8", "model.image_size=16")


def start(command, *arguments):
    found = call(*command, *arguments)
    assert "Traceback" not in found.stderr, found.stderr
    return found


@pytest.fixture(scope="module")
def experiments(small_dataset):
    command = ["down_stream/main.py", "--config=configs/phase_probe.py"]
    command += [f"--config.{text}" for text in DATA]
    return [*command, f"--config.data.root={small_dataset}", "--config.mode=knn"]


def test_experiments_of_a_sweep(experiments, tmp_path):
    file = tmp_path / "cells.txt"
    file.write_text("seed=0\nmode=probe epochs=1  # trained\nseed=1 task=phases\n")
    asked = [f"--sweep={file}", f"--workdir={tmp_path / 'runs'}"]
    first = start(experiments, *asked, "--shard=1/2")  # the first and the third
    assert first.returncode == 0, first.stderr
    assert "1 of 3 cells are left to other processes" in first.stdout
    second = start(experiments, *asked)
    assert second.returncode == 0, second.stderr
    assert "1 of 1: mode=probe_epochs=1: f1" in second.stderr  # what is done is not done again
    names = ["seed=0", "mode=probe_epochs=1", "seed=1_task=phases"]
    rows = [line.split()[0] for line in second.stdout.splitlines()]
    assert rows[:4] == ["name", *names]
    assert "to seed=0" in second.stdout
    results = json.loads((tmp_path / "runs" / names[1] / "results.json").read_text())
    assert (results["config"]["mode"], results["config"]["epochs"]) == ("probe", 1)


@pytest.mark.parametrize(
    "row, found",
    [
        ("mode=magic", "cell mode=magic: mode is 'magic'"),
        ("task=tools", "task: found phases and tools; expected one for all cells"),
        ("test_videos=nope", "test_videos is 'nope'"),
        ("encoder=/nonexistent", "cell encoder=-nonexistent: /nonexistent: no such file"),
    ],
)
def test_all_experiments_are_checked_first(experiments, tmp_path, row, found):
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('imported')")
    (tmp_path / "cells.txt").write_text(f"seed=0\n{row}\n")
    command = [sys.executable, *experiments, f"--sweep={tmp_path / 'cells.txt'}"]
    result = subprocess.run(
        [*command, f"--workdir={tmp_path / 'runs'}"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert found in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_runs_of_a_sweep(small_dataset, tmp_path):
    file = tmp_path / "rates.txt"
    rates = "optimizer.start_learning_rate={0} optimizer.learning_rate={0}"
    file.write_text(f"steps=3 {rates.format('1e30')}\nsteps=2\n")
    command = ["-m", "msn.train", "--config=configs/msn_demo.py", f"--workdir={tmp_path / 'runs'}"]
    command += [f"--config.data.root=('{small_dataset}',)", "--config.batch_size=2"]
    command += ["--config.views.size=16", "--config.views.focal_size=8", "--config.log_every=1"]
    command += ["--config.compile_with_xla=False", "--config.steps=2", f"--sweep={file}"]
    command += ["--config.probe_every=0", "--config.checkpoint_every=1"]
    found = start(command)
    assert found.returncode == 1, found.stderr
    diverged = "steps=3_optimizer.start_learning_rate=1e30_optimizer.learning_rate=1e30"
    assert f"failed: {diverged}: " in found.stdout
    assert (tmp_path / "runs" / "steps=2" / "encoder" / "encoder.json").is_file()
    lines = found.stdout.splitlines()
    assert lines[0].split()[:3] == ["run", "step", "loss"]
    assert lines[2].split()[:2] == ["steps=2", "2"]
    again = start(command, "--shard=2/2")  # it is done
    assert again.returncode == 0, again.stderr
    assert "2 of 2: steps=2" in again.stderr
