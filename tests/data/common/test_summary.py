"""What commands tell machines, of real processes: a command with all that can happen to one."""

import json
import os
import signal
import subprocess
import sys
from datetime import datetime

import pytest

from data.common.summary import key_of, version
from tests.data.common.test_cli import call
from tests.support.places import ROOT

COMMAND = """
import resource, sys, time
from pathlib import Path
from absl import flags
from data.common import cli, summary
from data.common.errors import InputError
from data.storage.locking import locked

WAY = flags.DEFINE_string("way", "done", "how it ends")
BROKEN = flags.DEFINE_multi_string("broken", [], "what cannot be used")
summary.define_summary()

def main():
    summary.note(inputs=["in"], outputs=["out"])
    if WAY.value == "wrong":
        raise InputError("in: empty; expected a file")
    if WAY.value == "locks":
        with locked(Path("place")):
            print("begun", flush=True)
            time.sleep(60)
    if WAY.value == "locked":
        with locked(Path("place")):
            raise AssertionError
    if WAY.value == "missing":
        open("/nowhere/file")
    if WAY.value == "mistake":
        1 / 0
    if WAY.value == "waits":
        print("begun", flush=True)
        time.sleep(60)
    summary.note([f"{name}: damaged" for name in BROKEN.value], done=["a", "b"], new=["b"])
    if WAY.value == "late mistake":
        1 / 0
    if WAY.value.startswith("full"):  # as a full disk: nothing can be written from here on
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if WAY.value == "full, wrong":
        raise InputError("in: empty; expected a file")
    return cli.DONE_IN_PART if BROKEN.value else cli.DONE

cli.run(main, (InputError,), kept="all is kept")
"""


@pytest.fixture
def run(tmp_path):
    """Runs the command; returns its process, of which "told" is its summary."""
    (tmp_path / "command.py").write_text(COMMAND)

    def run(*arguments, wait=True):
        command = [sys.executable, "command.py", "--summary=deep/s.json", *arguments]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if wait:
            process.out, process.err = process.communicate(timeout=60)
            process.told = told(tmp_path)
        return process

    return run


def told(folder):
    return json.loads((folder / "deep" / "s.json").read_text())


def test_what_was_done_and_what_could_not_be_used(run, tmp_path):
    process = run("--broken=c", "--broken=d")
    assert process.returncode == process.told["exit_code"] == 1
    assert process.told["command"][1:] == ["--summary=deep/s.json", "--broken=c", "--broken=d"]
    assert process.told["version"] == version()
    begun, ended = (datetime.fromisoformat(process.told[name]) for name in ("started", "ended"))
    assert begun.tzinfo and begun <= ended
    lists = {name: process.told[name] for name in ("inputs", "done", "new", "gone", "outputs")}
    assert lists == {
        **{"inputs": ["in"], "done": ["a", "b"], "new": ["b"], "gone": [], "outputs": ["out"]},
    }
    assert process.told["not_used"] == [
        {"key": key_of(line), "reason": line} for line in ("c: damaged", "d: damaged")
    ]
    assert process.told["error"] is None
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["s.json"]


def test_known_problems_are_no_failure_and_new_ones_are(run, tmp_path):
    every_night = "--known_problems=deep/s.json"
    assert run("--broken=c", every_night).returncode == 1  # the first night knows none
    second = run("--broken=c", every_night)
    assert (second.returncode, second.told["exit_code"]) == (0, 0)
    assert second.told["not_used"]
    assert second.told["new_problems"] == []
    knows = "problems are those that --known_problems=deep/s.json knows"
    assert second.err == f"1 of 1 {knows}: no failure, exit code 0\n"
    third = run("--broken=c", "--broken=d", every_night)
    assert third.returncode == 1
    assert third.err == f"1 of 2 {knows}\n"
    assert third.told["new_problems"] == [key_of("d: damaged")]
    # A night that fails, or is killed, forgets nothing.
    assert run("--way=wrong", every_night).returncode == 2
    for way in ("mistake", "late mistake"):
        failed = run(f"--way={way}", "--broken=c", every_night)
        assert failed.returncode == failed.told["exit_code"] == 1
        assert failed.told["error"] == "division by zero"
    process = run("--way=waits", every_night, wait=False)
    assert process.stdout.readline() == "begun\n"
    process.kill()
    process.wait()
    assert told(tmp_path)["ended"] is told(tmp_path)["exit_code"] is None
    assert run("--broken=c", "--broken=d", every_night).returncode == 0
    # What was mended and breaks again is new.
    assert run("--broken=c", every_night).returncode == 0
    assert run("--broken=c", "--broken=d", every_night).returncode == 1


@pytest.mark.parametrize(
    ("way", "code", "error"),
    [
        ("wrong", 2, "in: empty; expected a file"),
        ("missing", 2, "no such file or directory: /nowhere/file"),
        ("mistake", 1, "division by zero"),
    ],
)
def test_a_command_that_fails_says_so(run, way, code, error):
    process = run(f"--way={way}")
    assert process.returncode == process.told["exit_code"] == code
    assert process.told["error"] == error
    assert process.told["inputs"] == ["in"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--way=full"], 0, []),
        (["--way=full", "--broken=c"], 1, []),
        (["--way=full, wrong"], 2, ["error: in: empty; expected a file"]),
    ],
)
def test_an_end_that_cannot_be_written_is_a_line_beside_the_commands_own(
    run, arguments, code, said
):
    process = run(*arguments)
    line = "--summary=deep/s.json: the end is not written: file too large"
    assert process.err.splitlines() == [*said, line]
    assert process.returncode == code
    assert process.told["ended"] is process.told["exit_code"] is None


def test_a_signal_is_told(run, tmp_path):
    process = run("--way=waits", wait=False)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 75
    assert told(tmp_path)["exit_code"] == 75
    assert told(tmp_path)["error"] == "stopped by SIGTERM: all is kept"


def test_where_another_process_is_at_work_is_to_be_tried_again(run):
    other = run("--way=locks", wait=False)
    try:
        assert other.stdout.readline() == "begun\n"
        process = run("--way=locked")
    finally:
        other.kill()
        other.communicate()
    assert process.returncode == process.told["exit_code"] == 75
    assert "place: another run is writing here" in process.told["error"]
    assert process.err == f"error: {process.told['error']}\n"


def test_a_summary_that_is_none_is_wrong_input(run, tmp_path):
    (tmp_path / "known.json").write_text("[]")
    command = [sys.executable, "command.py", "--known_problems=known.json"]
    run()
    result = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: --known_problems=known.json: not a summary; expected")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--summary=folder"], "--summary=folder: a folder; expected a file to write"),
        (["--summary=file/s.json"], "--summary=file/s.json: cannot be written: file exists"),
        (["--known_problems=folder"], "--known_problems=folder: cannot be read: is a directory"),
    ],
)
def test_a_place_that_cannot_be_used_is_said_with_its_flag(run, tmp_path, arguments, said):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    process = run(*arguments, wait=False)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (2, f"error: {said}\n")
    assert not [*tmp_path.rglob(".part-*")]


@pytest.mark.parametrize("command", ["prepare", "train", "main", "inference"])
def test_all_commands_have_it(command, tmp_path):
    arguments = {
        "prepare": [f"--data_rootdir={tmp_path}", "--videos=nowhere"],
        "train": [f"--workdir={tmp_path / 'run'}", "--config.data.root=nowhere"],
        "main": [f"--config.workdir={tmp_path / 'run'}", "--config.data.root=nowhere"],
        "inference": ["--model_path=nowhere", "--video_path=nowhere"],
    }
    file = tmp_path / "s.json"
    result = call(command, f"--summary={file}", *arguments[command], cwd=ROOT)
    assert result.returncode == 2, result.stderr
    said = json.loads(file.read_text())
    assert said["exit_code"] == 2
    assert "nowhere" in said["error"]
    assert result.stderr.splitlines()[-1] == f"error: {said['error']}"
    assert any("nowhere" in given for given in said["inputs"])
    assert "--summary" in call(command, "--help").stdout
