"""Workers that come late, and one that never comes."""

import contextlib
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from data.common.errors import InputError
from msn.distribution.waiting import wait_for_workers
from tests.support.places import ROOT


def addresses(number):
    """HOST:PORT of ports that nothing listens at."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("", 0))) for _ in range(number)]
        return [f"localhost:{one.getsockname()[1]}" for one in sockets]


def start(places, own, delay):
    """What a worker does: comes, waits, and then has TensorFlow's server listen instead."""
    time.sleep(delay)
    wait_for_workers(places, own, 0.5)
    with socket.create_server(("", int(places[own].rpartition(":")[2]))):
        time.sleep(3)


def test_workers_that_come_late_are_waited_for():
    places = addresses(3)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=start, args=(places, n, d)) for n, d in enumerate((0, 1, 2))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]


def test_those_that_are_missing_are_named():
    places = addresses(3)
    other = socket.create_server(("", int(places[1].rpartition(":")[2])))
    with other, pytest.raises(InputError) as raised:
        wait_for_workers(places, 0, 0.01)
    assert f"worker 0 of 3 has waited 0.01 minutes: not there are {places[2]};" in str(raised.value)


def test_two_workers_with_one_address_are_said():
    with pytest.raises(InputError, match="a:1: the address of several workers"):
        wait_for_workers(["a:1", "b:2", "a:1"], 0, 0)


WITHOUT_A_PORT = ("localhost", "localhost:", ":2222", "a:b", "a:0", "a:123456", "a:" + "9" * 5000)
WITHOUT_A_NAME = ("a..b:2222", "a\0b:1", "a" * 64 + ":2222")


@pytest.mark.parametrize("wrong", [*WITHOUT_A_PORT, *WITHOUT_A_NAME])
def test_addresses_without_a_port_are_said(wrong):
    with pytest.raises(InputError, match="expected HOST:PORT"):
        wait_for_workers(["localhost:1", wrong], 0, 0)


def test_a_port_that_another_process_has_is_said():
    places = addresses(2)
    said = f"{places[0]}, this worker: address already in use"
    other = socket.create_server(("", int(places[0].rpartition(":")[2])))
    with other, pytest.raises(InputError, match=said):
        wait_for_workers(places, 0, 0)


def test_a_worker_that_never_comes_ends_the_command(small_dataset, tmp_path):
    """One of two is started: one line after the limit, nothing written."""
    process = train(1, small_dataset, tmp_path / "run", minutes=0.05)
    error = process.communicate(timeout=120)[1]
    assert process.returncode == 2, error
    assert "Traceback" not in error
    last = error.splitlines()[-1]
    assert "error: worker 1 of 2 has waited 0.05 minutes: not there are localhost:" in last
    assert not (tmp_path / "run").exists()


def test_a_signal_ends_the_waiting(small_dataset, tmp_path):
    process = train(0, small_dataset, tmp_path / "run", minutes=5)
    lines = []
    reading = threading.Thread(target=lambda: lines.extend(read_until(process, "waiting for all")))
    reading.start()
    reading.join(100)
    assert lines
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 75


def read_until(process, text):
    for line in process.stderr:
        if text in line:
            return [line]
    return []


def train(index, root, workdir, minutes):
    """python -m msn.train as one of two workers, the other of which nobody starts."""
    cluster = {"worker": addresses(2)}
    described = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
    command = [sys.executable, "-m", "msn.train", "--config=configs/msn_base.py"]
    command += [f"--workdir={workdir}", f"--config.data.root={root}", "--config.batch_size=8"]
    command += [f"--config.wait_minutes={minutes}"]
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"TF_CONFIG": described}, stderr=-1, text=True
    )
