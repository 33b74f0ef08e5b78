"""A machine for which XLA cannot compile, as one with a GPU that it does not know.

No such GPU is needed: a flag that XLA does not know ends the process in which it compiles, too.
"""

import json
import os
import subprocess
import sys

from tests.support.places import ROOT

BROKEN = {"XLA_FLAGS": "--xla_no_such_flag=1"}
WARNING = (
    "XLA does not compile here (Unknown flag in XLA_FLAGS: --xla_no_such_flag=1); "
    "everything runs without it"
)


def start(*command):
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=os.environ | BROKEN,
        capture_output=True,
        text=True,
    )


def pretrain(root, workdir, *settings):
    command = ["-m", "msn.train", "--config=configs/msn_demo.py", f"--workdir={workdir}"]
    command += [f"--config.data.root=('{root}',)", "--config.batch_size=2", "--config.steps=2"]
    command += ["--config.views.size=16", "--config.views.focal_size=8", "--config.probe_every=2"]
    command += [
        "--config.probe.train_videos=('video01',)",
        "--config.probe.test_videos=('video04',)",
    ]
    command += ["--config.data.exclude_videos=('video04',)"]
    return start(*command, *settings)


def test_commands_go_on_without_it(small_dataset, tmp_path):
    result = pretrain(small_dataset, tmp_path / "msn")
    assert result.returncode == 0, result.stderr
    assert result.stderr.count(WARNING) == 1
    assert json.loads((tmp_path / "msn/config.json").read_text())["compile_with_xla"] == "auto"

    command = ["down_stream/main.py", "--config=configs/phase_probe.py", "--config.epochs=1"]
    command += [f"--config.encoder={tmp_path}/msn/encoder", f"--config.data.root={small_dataset}"]
    command += ["--config.train_videos=('video01',)", "--config.validation_videos=('video03',)"]
    command += ["--config.test_videos=('video04',)"]
    result = start(*command, f"--config.workdir={tmp_path}/probe")
    assert result.returncode == 0, result.stderr
    assert result.stderr.count(WARNING) == 1

    result = start(
        *("inference.py", f"--model_path={tmp_path}/msn/encoder"),
        *(f"--image_path={small_dataset}/frames/video01", f"--output={tmp_path}/embeddings.npz"),
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.count(WARNING) == 1


def test_a_run_that_must_have_it_is_refused(small_dataset, tmp_path):
    result = pretrain(small_dataset, tmp_path / "msn", "--config.compile_with_xla=True")
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        WARNING,
        'error: compile_with_xla is True: XLA cannot compile here; expected "auto" or False',
    ]
    assert not (tmp_path / "msn").exists()
