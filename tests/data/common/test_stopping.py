"""Signals, sent to processes: what asks for the end, what does not, and what is said."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from data.common.stopping import SIGNALS, StoppedError, StopSignal, ended_by_signals
from tests.support.places import ROOT

# A command that waits, in steps that it saves, or with nothing to save; or in threads.
COMMAND = """
import time
from concurrent.futures import ThreadPoolExecutor
from data.common import cli
from data.common.stopping import StoppedError, StopSignal

def main(word):
    if word == "saving":
        with StopSignal() as stop:
            print("begun", flush=True)
            for step in range(3000):
                time.sleep(0.01)
                if stop.requested:
                    print("saved", flush=True)
                    raise StoppedError(f"stopped by {stop.requested} after a step")
    print("begun", flush=True)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda second: time.sleep(0.1), range(600)))

cli.run(main, (), positional="WORD", kept="the rest is kept")
"""


def start(folder, word, **arguments):
    script = folder / "command.py"
    script.write_text(COMMAND)
    arguments = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | arguments
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, script, word], env=environment, text=True, **arguments
    )
    if process.stdout:
        assert process.stdout.readline() == "begun\n"
    return process


@pytest.mark.parametrize("word", ["saving", "nothing"])
def test_each_signal_ends_a_command_in_one_line(tmp_path, word):
    processes = {number: start(tmp_path, word) for number in SIGNALS}
    for number, process in processes.items():
        process.send_signal(number)
    for number, process in processes.items():
        out, err = process.communicate(timeout=20)
        assert process.returncode == 75, err
        if word == "saving":
            assert out == "saved\n"
            note, last = err.strip().splitlines()
            assert note == f"{SIGNALS[number]}: stopping as soon as all is saved"
            assert last == f"stopped by {SIGNALS[number]} after a step"
        else:
            assert err == f"stopped by {SIGNALS[number]}: the rest is kept\n"


def test_what_is_ignored_stays_ignored(tmp_path):
    """As nohup does, and as shells do with Ctrl-C for what runs in the background."""

    def ignore():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    for word in ("saving", "nothing"):
        process = start(tmp_path, word, preexec_fn=ignore)
        for number in (signal.SIGHUP, signal.SIGINT):
            process.send_signal(number)
        time.sleep(0.5)
        assert process.poll() is None
        process.terminate()
        process.wait(20)
        assert process.returncode == 75


# Starts what follows on a terminal, and closes that as soon as something is written to it.
ON_A_TERMINAL = """
import os, pty, sys
ours, theirs = pty.openpty()
if not (pid := os.fork()):
    os.login_tty(theirs)
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
os.close(theirs)
os.read(ours, 1)
os.close(ours)  # the kernel sends SIGHUP
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
DRAWING = """
import os, pathlib, sys, time
from data.common.stopping import StopSignal, ended_by_signals
with ended_by_signals(""), StopSignal() as stop:
    for step in range(1000):
        time.sleep(0.01)
        print(step, flush=True)  # an error, on a closed terminal
        if stop.requested:
            pathlib.Path(sys.argv[1]).write_text(stop.requested)
            os._exit(75)
"""


def test_a_terminal_that_is_closed_does_not_keep_it_from_saving(tmp_path):
    command = [sys.executable, "-c", ON_A_TERMINAL, "-c", DRAWING, tmp_path / "saved"]
    assert subprocess.run(command, cwd=ROOT, timeout=60).returncode == 75
    assert (tmp_path / "saved").read_text() == "SIGHUP"


def test_ctrl_c_twice_ends_what_does_not_come_to_its_end():
    with ended_by_signals(""), StopSignal() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.requested == "Ctrl-C"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)  # batch systems send two


@pytest.fixture
def no_handlers():
    """Signals as Python starts with them, whatever another test has left in this process."""
    at_start = dict.fromkeys(SIGNALS, signal.SIG_DFL) | {signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in at_start.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_of_a_library_signals_are_the_callers_but_for_ctrl_c(no_handlers):
    def handlers():
        return {number: signal.getsignal(number) for number in SIGNALS}

    before, own = handlers(), lambda *_: None
    with StopSignal() as stop:
        assert {n for n, found in handlers().items() if found != before[n]} == {signal.SIGINT}
        signal.raise_signal(signal.SIGINT)
        assert stop.requested == "Ctrl-C"
    assert handlers() == before
    try:
        signal.signal(signal.SIGINT, own)
        with StopSignal():
            assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, before[signal.SIGINT])
    found = []

    def in_a_thread():
        with StopSignal():
            found.append(handlers())

    thread = threading.Thread(target=in_a_thread)
    thread.start()
    thread.join()
    assert found == [before]


def test_the_signal_that_follows_is_for_who_comes_after():
    """Contexts within one another, and the handlers that were there before."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    with pytest.raises(StoppedError, match="stopped by SIGUSR1: kept"), ended_by_signals("kept"):
        with StopSignal() as stop:
            signal.raise_signal(signal.SIGTERM)
        assert stop.requested == "SIGTERM"
        signal.raise_signal(signal.SIGUSR1)
    assert {number: signal.getsignal(number) for number in SIGNALS} == before


COMMANDS = [
    file.relative_to(ROOT)
    for package in (".", "data/views", "msn", "down_stream/*", "down_stream")
    for file in sorted(ROOT.glob(f"{package}/*.py"))
    if "__main__" in (text := file.read_text()) and "cli.run(" in text
]


@pytest.mark.parametrize("file", COMMANDS, ids=str)
def test_ctrl_c_while_a_command_imports_is_one_line(tmp_path, file):
    """Of the first package that is none of ours or Python's, one that takes its time stands in."""
    (tmp_path / "absl").mkdir()
    slow = "import time; print('importing', flush=True); time.sleep(30)"
    (tmp_path / "absl" / "__init__.py").write_text(slow)
    module = ".".join(file.with_suffix("").parts).removesuffix(".__main__")
    command = [file] if file.name in ("prepare.py", "inference.py", "main.py") else ["-m", module]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, **pipes)
    while process.stdout.readline() not in ("importing\n", ""):
        pass
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert err.splitlines()[-1:] == ["stopped by Ctrl-C: nothing was begun; start it again"]
    assert "Traceback" not in err
    assert process.returncode == 75


def test_all_commands_are_tried():
    assert len(COMMANDS) == 19, COMMANDS


def test_what_is_ignored_stays_ignored_while_a_command_imports(tmp_path):
    script = tmp_path / "command.py"
    script.write_text("""
from data.common import stopping
stopping.end_at_once()
import time
print("importing", flush=True)
time.sleep(1)
""")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, script],
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
        **pipes,
    )
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=20)
    assert (err, process.returncode) == ("", 0)


END = {
    "exit": "atexit.register(end)",
    "module": "kept = type('Kept', (), {'__del__': lambda self, end=end: end()})()",
}


@pytest.mark.parametrize("end", END)
@pytest.mark.parametrize("code", [0, 1])
def test_ctrl_c_after_its_work_changes_nothing_of_a_command(tmp_path, code, end):
    script = tmp_path / "command.py"
    script.write_text(f"""
from data.common import stopping
stopping.end_at_once()
import atexit, os, time
from data.common import cli

def end(write=os.write, sleep=time.sleep):
    write(1, b"ending\\n")
    sleep(2)

def main():
    global kept
    {END[end]}
    return {code}

cli.run(main, ())
""")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, script], env=environment, **pipes)
    assert process.stdout.readline() == "ending\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (err, process.returncode) == ("", code)
