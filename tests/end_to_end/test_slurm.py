"""The batch files of docs/slurm, with a stand-in for Slurm (tests/support/slurm.py)."""

import json
import time

import pytest

from tests.support import slurm
from tests.support.places import ROOT
from tests.support.small_dataset import make_small_dataset

FILES = sorted((ROOT / "docs" / "slurm").glob("*.sh"))
SMALL = ["--config=configs/msn_base.py", "--config.model.variant=vitmicro8"]
SMALL += ["--config.views.size=16"]
SMALL += ["--config.views.focal_size=8", "--config.views.focal_views=1", "--config.batch_size=8"]
SMALL += ["--config.model.hidden_dim=16", "--config.model.output_dim=8", "--config.log_every=1"]
SMALL += ["--config.model.num_prototypes=8", "--config.compile_with_xla=False"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_small_dataset(tmp_path_factory.mktemp("slurm") / "data")


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch):
    monkeypatch.chdir(ROOT)


def steps(workdir):
    path = workdir / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line)["step"] for line in lines]


@pytest.mark.parametrize(
    ("file", "tasks", "count"), [("one_gpu.sh", 1, 150), ("several_nodes.sh", 2, 60)]
)
def test_a_job_whose_time_is_over_goes_on(file, tasks, count, root, tmp_path):
    """After so many steps (`count`) that a signal after the third comes before the last."""
    script, workdir, queue = ROOT / "docs" / "slurm" / file, tmp_path / "run", tmp_path / "slurm"
    command = ["-m", "msn.train", *SMALL, f"--config.steps={count}", f"--config.data.root={root}"]
    command += [f"--workdir={workdir}"]
    job = slurm.sbatch(queue, script, *command, ntasks=tasks)
    until = time.monotonic() + 240
    while len(steps(workdir)) < 3:
        assert job.poll() is None, "it ended before its signal"
        assert time.monotonic() < until
        time.sleep(0.02)
    slurm.send_signal(queue)
    assert job.wait(60) == 75
    assert slurm.queued_again(queue) == ["requeue 40123"]
    assert not (workdir / "encoder").exists()
    assert slurm.sbatch(queue, script, *command, ntasks=tasks).wait(240) == 0
    assert steps(workdir) == list(range(1, count + 1))
    assert (workdir / "encoder" / "encoder.json").is_file()
    assert slurm.queued_again(queue) == ["requeue 40123"]  # what is complete is not


def test_the_tasks_of_an_array_share_the_cells(root, tmp_path):
    command = ["down_stream/main.py", "--config=configs/encoder_comparison.py"]
    command += [f"--config.data.root={root}", f"--workdir={tmp_path / 'compared'}"]
    command += ["--config.encoders=(('a',''),('b',''))", "--config.baseline=a"]
    command += ["--config.modes=knn", "--config.fractions=(1.0,)", "--config.seeds=(0,)"]
    command += ["--config.temporal=", "--config.model.variant=vitmicro8"]
    command += ["--config.model.image_size=16", "--config.train_videos=('video01','video02')"]
    command += ["--config.validation_videos=video03", "--config.test_videos=video04"]
    variables = {"SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_JOB_ID": "40123"}
    for task in ("1", "2"):
        job = slurm.sbatch(
            tmp_path / "slurm",
            ROOT / "docs" / "slurm" / "cells.sh",
            *command,
            SLURM_ARRAY_TASK_ID=task,
            **variables,
        )
        assert job.wait(240) == 0
        assert (tmp_path / "compared" / "comparison.html").exists() == (task == "2")
    assert slurm.queued_again(tmp_path / "slurm") == []


@pytest.mark.parametrize("script", FILES, ids=lambda path: path.name)
def test_what_every_file_asks_for(script, root, tmp_path):
    """The signal, the queue, and a failure that is no reason to try again."""
    asked = slurm.options(script)
    assert asked["signal"] == "USR1@180"
    assert {"requeue", "open-mode", "time", "nodes"} <= set(asked)
    variables = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "1"}
    wrong = ["-c", "import sys; sys.exit(2)"]
    assert slurm.sbatch(tmp_path, script, *wrong, ntasks=1, **variables).wait(60) == 2
    assert slurm.queued_again(tmp_path) == []
    stopped = ["-c", "import sys; sys.exit(75)"]
    variables |= {"SLURM_ARRAY_JOB_ID": "40123"}
    assert slurm.sbatch(tmp_path, script, *stopped, ntasks=1, **variables).wait(60) == 75
    job = "40123_1" if script.name == "cells.sh" else "40123"
    assert slurm.queued_again(tmp_path) == [f"requeue {job}"]
