import os
import subprocess
import sys

import pytest

from tests.support.places import ROOT


def diagnose(**environment):
    command = [sys.executable, "-m", "msn.doctor"]
    return subprocess.run(
        command, env=os.environ | environment, cwd=ROOT, capture_output=True, text=True
    )


def line_of(output, what):
    (line,) = [line for line in output.splitlines() if line.startswith(f"  {what} ")]
    return " ".join(line.split())


def test_this_machine_is_well(tmp_path):
    result = diagnose(MSN_PROGRAMS=str(tmp_path / "programs"))
    assert (result.returncode, result.stderr) == (0, "")
    for what in ("Python", "memory", "tensorflow", "av", "videos", "images", "CPU:0"):
        assert line_of(result.stdout, what).endswith(" OK"), what
    assert "h264, hevc, mpeg2video" in line_of(result.stdout, "videos")
    assert str(tmp_path / "programs") in line_of(result.stdout, "compiled programs")
    assert result.stdout.endswith("\nall is well\n")


def test_what_is_wrong_says_what_to_do(tmp_path):
    """Another version than the one that was tested, and a folder that nobody may write to."""
    info = tmp_path / "tqdm-1.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tqdm\nVersion: 1.0.0\n")
    result = diagnose(PYTHONPATH=str(tmp_path), MSN_PROGRAMS="/proc/programs")
    assert result.returncode == 1
    assert "1.0.0" in (line := line_of(result.stdout, "tqdm")) and line.endswith("make setup")
    assert "expected" in line_of(result.stdout, "compiled programs")
    assert "2 lines say what to do" in result.stdout


@pytest.mark.parametrize(
    "package, line, others", [("av", "videos", "images"), ("cv2", "images", "videos")]
)
def test_a_broken_package_ends_its_own_part_alone(tmp_path, package, line, others):
    (tmp_path / f"{package}.py").write_text("raise ImportError('libx.so.1: cannot open')")
    result = diagnose(PYTHONPATH=str(tmp_path))
    assert (result.returncode, result.stderr) == (1, "")
    found = line_of(result.stdout, line)
    assert found.endswith("ImportError: libx.so.1: cannot open remove .venv, then make setup")
    assert line_of(result.stdout, others).endswith(" OK")
    assert line_of(result.stdout, "CPU:0").endswith(" OK")
    assert result.stdout.endswith("\n1 line says what to do\n")


def test_half_a_package_is_not_one_that_is_missing(tmp_path):
    """As where an installation was ended: `make setup` takes it for whole."""
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text("import tensorflow.python\n")
    result = diagnose(PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    found = line_of(result.stdout, "devices")
    assert found.endswith("'tensorflow.python' remove .venv, then make setup")


def test_another_backend_of_keras_is_a_line():
    result = diagnose(KERAS_BACKEND="jax")
    assert (result.returncode, result.stderr) == (1, "")
    assert "expected tensorflow, or the variable unset" in line_of(result.stdout, "devices")


def test_a_python_without_any_package():
    """As where somebody forgets .venv/bin/."""
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r});"]
    command[-1] += "from msn.doctor import run; run()"
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (1, "")
    assert line_of(result.stdout, "numpy").endswith("make setup")
    assert line_of(result.stdout, "temporary files").endswith(" OK")
    assert line_of(result.stdout, "devices").endswith("No module named 'absl' make setup")


@pytest.mark.parametrize("value, said", [("off", "switched off"), ("~/x", "/x, ")])
def test_the_folder_of_kept_programs_is_the_users(value, said, monkeypatch):
    from data.common.compiled_programs import VARIABLE
    from msn import doctor

    assert VARIABLE in doctor.VARIABLES
    monkeypatch.setenv(VARIABLE, value)
    (found,) = [found for what, found, _ in doctor.programs()]
    assert said in found and "~" not in found
