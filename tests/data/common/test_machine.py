"""Where the user's cache is."""

import os
import subprocess
import sys

import pytest

from data.common.machine import user_cache
from tests.support.places import ROOT


def test_the_users_cache_is_in_no_relative_folder(tmp_path, monkeypatch):
    """https://specifications.freedesktop.org/basedir-spec: "should be ignored"."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    assert user_cache("clocks") == tmp_path / "mine" / "endoscopy-msn" / "clocks"
    for value in ("relative", "", "~/.cache"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert user_cache("clocks") == tmp_path / ".cache" / "endoscopy-msn" / "clocks"


def test_a_user_without_a_home_has_no_cache():
    """As in a container that is told to run as a number."""
    if os.geteuid():
        pytest.skip("root alone can become another user")
    code = (
        "import os; from data.common.machine import user_cache; os.setuid(54_321); "
        "print(user_cache('clocks'))"
    )
    variables = {name: os.environ[name] for name in os.environ if name != "HOME"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=variables | {"XDG_CACHE_HOME": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"{os.devnull}/")  # where nothing can be made
