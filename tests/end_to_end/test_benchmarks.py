import subprocess
import sys

import pytest

from tests.benchmarks import report


@pytest.mark.parametrize("name", ["inference", "pretrain_step", "scaling", "views"])
def test_help_explains_a_benchmark_and_does_not_run_it(name):
    command = [sys.executable, "-m", f"tests.benchmarks.{name}", "--help"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)  # it takes minutes
    assert ended.returncode == 0
    assert f"usage: python -m tests.benchmarks.{name}" in ended.stdout
    assert "Speed" in ended.stdout or "sends" in ended.stdout


def test_a_benchmark_takes_no_other_arguments(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["scaling", "--rounds=1"])
    with pytest.raises(SystemExit) as ended:
        report.run("scaling", lambda: pytest.fail("it was run"))
    assert ended.value.code == 2
    assert "--rounds=1" in capsys.readouterr().err
