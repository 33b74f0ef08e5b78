import subprocess
import sys

import pytest

from tests.support.places import ROOT


@pytest.mark.parametrize(
    "argument, named",
    [
        ("--config.views.size=65", "views.size is 65; expected a multiple of vitmicro8's patch"),
        ("--config.data.root=/nonexistent", "/nonexistent: no such dataset directory"),
        ("--config.optimizer.learning_rate=-1.0", "optimizer.learning_rate is -1.0"),
    ],
)
def test_a_wrong_value_is_refused_without_tensorflow(tmp_path, argument, named):
    """To import it takes several seconds; where it may not be imported, nothing else is missed."""
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('imported')")
    code = (
        "import runpy, sys; sys.argv[0] = 'train'; runpy.run_module('msn.train', None, '__main__')"
    )
    workdir = f"--workdir={tmp_path / 'run'}"
    result = subprocess.run(
        [sys.executable, "-c", code, "--config=configs/msn_demo.py", workdir, argument],
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": "/usr/bin:/bin"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {named}")
    assert not (tmp_path / "run").exists()
