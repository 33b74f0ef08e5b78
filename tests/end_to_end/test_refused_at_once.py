"""To import TensorFlow takes several seconds: what can be refused without it is."""

import os
import subprocess
import sys

import pytest

from tests.support.places import ROOT

TRAIN = ["-m", "msn.train", "--config=configs/msn_demo.py"]
EXPERIMENT = ["down_stream/main.py", "--config=configs/phase_demo.py"]
MISSING = "/nonexistent: no such dataset directory"


@pytest.mark.parametrize(
    "command, argument, named",
    [
        (TRAIN, "--config.views.size=65", "views.size is 65; expected a multiple of vitmicro8's"),
        (TRAIN, "--config.optimizer.learning_rate=-1.0", "optimizer.learning_rate is -1.0"),
        (TRAIN, "--config.data.root=/nonexistent", MISSING),
        (EXPERIMENT, "--config.data.root=/nonexistent", MISSING),
    ],
)
def test_without_tensorflow(tmp_path, command, argument, named):
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('imported')")
    result = subprocess.run(
        [sys.executable, *command, argument, f"--workdir={tmp_path / 'run'}"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {named}")
    assert not (tmp_path / "run").exists()
