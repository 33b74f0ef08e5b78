"""Runs on a real MLflow server, which is killed and started again (`make test-tracking`)."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from down_stream.experiment import experiment
from msn.pretrain import pretrain
from msn.tracking import following, sending
from msn.tracking.following import Following
from msn.tracking.record import Record
from msn.tracking.sending import COMPLETE, send_finished
from tests.support.mlflow_server import PROGRAM, MlflowServer
from tests.support.places import ROOT
from tests.support.run_directories import metrics_in
from tests.support.small_dataset import make_small_dataset
from tests.support.small_msn import small_config
from tests.support.small_phases import small_config as small_phases

pytestmark = pytest.mark.skipif(not PROGRAM.is_file(), reason="make test-tracking")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = MlflowServer(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def own_experiment(server, monkeypatch, request):
    """Each test has an experiment of its own."""
    if not server.runs:
        server.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.name)
    monkeypatch.setattr(following, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(following, "RETRY_SECONDS", 0.2)
    sending._silent.clear()


def client():
    from mlflow import MlflowClient

    return MlflowClient()


def runs():
    """All runs of this test's experiment."""
    found = client().get_experiment_by_name(os.environ["MLFLOW_EXPERIMENT_NAME"])
    return client().search_runs([found.experiment_id]) if found else []


def curve(run, name="loss"):
    return [(m.step, m.value) for m in client().get_metric_history(run.info.run_id, name)]


def artifacts(run, place=None):
    names = []
    for one in client().list_artifacts(run.info.run_id, place):
        names += artifacts(run, one.path) if one.is_dir else [one.path]
    return names


def write_rows(folder, first, last):
    """Rows of a run, as pre-training writes them."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"seed": 0, "data": {"root": ["a", "b"]}}))
    with (folder / "metrics.jsonl").open("a") as file:
        for step in range(first, last + 1):
            file.write(json.dumps({"step": step, "loss": 1 / step, "rank": float(step)}) + "\n")


def wait_until(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_run_of_pretraining(tmp_path):
    root = make_small_dataset(tmp_path / "data")
    workdir = tmp_path / "run"
    assert pretrain(small_config(root, track="mlflow", steps=6, log_every=2), workdir)
    (run,) = runs()
    assert run.info.run_name == "run"
    assert run.info.status == "FINISHED"
    assert run.data.params["batch_size"] == "8"
    assert run.data.params["model.variant"] == "vitnano8"
    written = metrics_in(workdir)
    for name in ("loss", "learning_rate", "effective_rank"):
        assert curve(run, name) == [(row["step"], row[name]) for row in written]
    assert {"encoder/encoder.json", "encoder/encoder.weights.h5", "encoder/README.md"} <= set(
        artifacts(run)
    )
    assert pretrain(small_config(root, track="mlflow", steps=6, log_every=2), workdir)
    assert [len(curve(run)) for run in runs()] == [3]  # it is complete: nothing twice


def test_a_server_that_is_killed_and_started_again(tmp_path, server, caplog):
    caplog.set_level(logging.INFO)
    write_rows(tmp_path / "run", 1, 5)
    with Following(tmp_path / "run", "mlflow") as one:
        wait_until(lambda: runs() and len(curve(runs()[0])) == 5)
        server.kill()
        write_rows(tmp_path / "run", 6, 30)
        wait_until(lambda: "nothing can be sent" in caplog.text)
        time.sleep(1)  # several tries, which are not said
        server.start()
        wait_until(lambda: "reached again" in caplog.text)
        write_rows(tmp_path / "run", 31, 33)
        one.status = COMPLETE
    (run,) = runs()
    assert curve(run) == [(step, 1 / step) for step in range(1, 34)]
    assert curve(run, "rank") == [(step, step) for step in range(1, 34)]
    assert run.info.status == "FINISHED"
    assert caplog.text.count("nothing can be sent") == 1


def test_a_start_that_has_waited_for_another_is_the_same_run(tmp_path, caplog):
    write_rows(tmp_path / "run", 1, 5)
    waiting = Following(tmp_path / "run", "mlflow")  # its lock is another's
    assert send_finished(tmp_path / "run", "mlflow")
    write_rows(tmp_path / "run", 6, 7)
    with waiting:
        waiting.status = COMPLETE
    (run,) = runs()
    assert curve(run) == [(step, 1 / step) for step in range(1, 8)]

    record = tmp_path / "run" / "trackers" / "mlflow.json"
    record.rename(record.with_name("away"))
    record.mkdir()  # it cannot be read
    with pytest.raises(OSError):
        Record.of(tmp_path / "run", "mlflow")
    assert not send_finished(tmp_path / "run", "mlflow")
    assert "nothing can be sent" in caplog.text
    record.rmdir()
    record.with_name("away").rename(record)
    assert send_finished(tmp_path / "run", "mlflow")
    assert len(runs()) == 1


def test_an_experiment_does_not_wait_for_a_server_that_says_nothing(
    tmp_path, server, caplog, monkeypatch
):
    """A stopped process takes connections and answers none, as a server behind a bad network."""
    monkeypatch.setattr(sending, "ANSWERING_SECONDS", 1)
    write_rows(tmp_path / "run", 1, 3)
    root, probe = make_small_dataset(tmp_path / "data"), tmp_path / "probe"
    with server.paused():
        assert experiment(small_phases(root, mode="knn", track="mlflow"), probe)["metrics"]
        monkeypatch.setattr(sending, "ANSWERING_SECONDS", 60)  # the first one said it for all
        began = time.monotonic()
        with Following(tmp_path / "run", "mlflow") as one:
            one.status = COMPLETE
        assert time.monotonic() - began < 25  # the client would wait for half a minute, twice
        assert not send_finished(tmp_path / "run", "mlflow")
        assert time.monotonic() - began < 25
    assert [line for line in caplog.messages if "mlflow:" in line] == [
        "mlflow: no answer within 1 seconds; runs that end in the next 10 minutes do not wait for "
        f"it; python -m msn.track {probe} sends what is missing"
    ]
    for thread in threading.enumerate():
        if thread.name == "to mlflow":
            thread.join()
    for folder in (probe, tmp_path / "run"):
        assert send_finished(folder, "mlflow", is_patient=True)
    assert sorted(run.info.run_name for run in runs()) == ["probe", "run"]
    assert len([line for line in caplog.messages if "mlflow:" in line and "no" in line]) == 1
    assert sending.may_answer("mlflow")  # it has


@pytest.mark.parametrize("last", ["last_step", "log", "set_status"])
def test_a_server_that_falls_silent(tmp_path, server, caplog, monkeypatch, last):
    """It has answered until it is asked for the last; then it takes connections alone."""
    from msn.tracking.mlflow_run import MlflowRun

    monkeypatch.setattr(sending, "ANSWERING_SECONDS", 1)
    write_rows(tmp_path / "run", 1, 3)
    original, is_asked = getattr(MlflowRun, last), threading.Event()
    with contextlib.ExitStack() as silence:

        def ask(*arguments):
            if not is_asked.is_set():
                silence.enter_context(server.paused())
                is_asked.set()
            return original(*arguments)

        monkeypatch.setattr(MlflowRun, last, ask)
        with Following(tmp_path / "run", "mlflow") as one:
            assert is_asked.wait(30)
            one.status, began = COMPLETE, time.monotonic()
        assert time.monotonic() - began < 5  # the client would wait for half a minute
    (said,) = [line for line in caplog.messages if "mlflow:" in line]
    assert "no answer within 1 seconds" in said
    for thread in threading.enumerate():
        if thread.name == "to mlflow":
            thread.join()
    assert send_finished(tmp_path / "run", "mlflow", is_patient=True)
    (run,) = runs()
    assert curve(run) == [(step, 1 / step) for step in range(1, 4)]


def test_an_experiment_ends_at_once_where_there_is_no_server(tmp_path, server, caplog):
    root, workdir = make_small_dataset(tmp_path / "data"), tmp_path / "probe"
    server.kill()
    assert experiment(small_phases(root, mode="knn", track="mlflow"), workdir)["metrics"]
    (said,) = [line for line in caplog.messages if "mlflow:" in line]
    assert "nothing can be sent" in said
    assert said.endswith(f"python -m msn.track {workdir} sends what is missing")
    server.start()
    assert send_finished(workdir, "mlflow")
    assert [run.info.run_name for run in runs()] == ["probe"]


def test_an_answer_that_is_lost(tmp_path):
    """The server has rows of which the run does not know that they were sent."""
    write_rows(tmp_path / "run", 1, 5)
    assert send_finished(tmp_path / "run", "mlflow")
    record = tmp_path / "run" / "trackers" / "mlflow.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"step": 2}))
    write_rows(tmp_path / "run", 6, 7)
    assert send_finished(tmp_path / "run", "mlflow")
    (run,) = runs()
    assert curve(run) == [(step, 1 / step) for step in range(1, 8)]
    assert run.info.status == "KILLED"  # there is no encoder: it was stopped


def test_a_run_that_is_deleted_is_sent_anew(tmp_path):
    write_rows(tmp_path / "run", 1, 3)
    assert send_finished(tmp_path / "run", "mlflow")
    client().delete_run(runs()[0].info.run_id)
    write_rows(tmp_path / "run", 4, 4)
    assert send_finished(tmp_path / "run", "mlflow")
    (run,) = runs()
    assert [step for step, _ in curve(run)] == [1, 2, 3, 4]


def test_a_run_that_is_killed_goes_on_in_the_same_curve(tmp_path, server):
    """Real processes; the second one, and `msn.track`, find the run of the first."""
    root = make_small_dataset(tmp_path / "data")
    script = (
        "import sys, msn.tracking.following as f; f.POLL_SECONDS = 0.05\n"
        "from tests.support.small_msn import small_config\n"
        "from msn.pretrain import pretrain\n"
        "pretrain(small_config(sys.argv[1], track='mlflow', steps=60, log_every=1,"
        " checkpoint_every=5), sys.argv[2])"
    )
    command = [sys.executable, "-c", script, str(root), str(tmp_path / "run")]
    first = subprocess.Popen(command, cwd=ROOT)
    try:
        wait_until(lambda: runs() and len(curve(runs()[0])) > 8, seconds=120)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    subprocess.run(command, cwd=ROOT, check=True)
    (run,) = runs()
    assert [step for step, _ in curve(run)] == list(range(1, 61))
    again = [sys.executable, "-m", "msn.track", str(tmp_path / "run"), "--track=mlflow"]
    told = subprocess.run(again, cwd=ROOT, capture_output=True, text=True)
    assert (told.returncode, told.stdout) == (0, f"{tmp_path / 'run'}: mlflow has all of it\n")
    server.kill()
    (tmp_path / "run" / "trackers" / "mlflow.json").unlink()
    told = subprocess.run(again, cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 1
    assert "mlflow: nothing can be sent" in told.stderr
    assert len(told.stderr.splitlines()) == 1
