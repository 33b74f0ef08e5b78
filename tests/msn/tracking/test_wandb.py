"""Runs that the client of Weights & Biases writes offline, read back from its files."""

import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from msn.pretrain import pretrain
from msn.tracking import wandb_files
from msn.tracking.sending import send_finished
from msn.tracking.trackers import tracker_names
from tests.support.places import ROOT
from tests.support.run_directories import metrics_in
from tests.support.small_dataset import make_small_dataset
from tests.support.small_msn import small_config


@pytest.fixture(autouse=True)
def nobody_is_logged_in(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def steps(workdir):
    return [row["_step"] for row in wandb_files.rows(workdir / "trackers") if "loss" in row]


def test_a_run_of_pretraining(tmp_path):
    root, workdir = make_small_dataset(tmp_path / "data"), tmp_path / "run"
    assert pretrain(small_config(root, track="wandb", steps=6, log_every=2), workdir)
    rows = [row for row in wandb_files.rows(workdir / "trackers") if "loss" in row]
    written = metrics_in(workdir)
    assert [row["_step"] for row in rows] == [row["step"] for row in written] == [2, 4, 6]
    for name in ("loss", "learning_rate", "effective_rank"):
        assert [row[name] for row in rows] == [row[name] for row in written]
    (run,) = wandb_files.messages_of(workdir / "trackers", "run")
    assert (run.display_name, run.project) == ("run", "endoscopy-msn")
    values = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert values["batch_size"] == 8
    models = [
        a for a in wandb_files.messages_of(workdir / "trackers", "artifact") if a.type == "model"
    ]
    names = {entry.path for entry in models[0].manifest.contents}
    assert {"encoder/encoder.json", "encoder/encoder.weights.h5", "encoder/README.md"} <= names
    (ended,) = wandb_files.messages_of(workdir / "trackers", "exit")
    assert ended.exit_code == 0
    assert pretrain(small_config(root, track="wandb", steps=6, log_every=2), workdir)
    assert steps(workdir) == [2, 4, 6]  # it is complete: nothing twice


def test_a_run_that_is_killed_goes_on_in_the_same_curve(tmp_path):
    """Real processes: the second has the first one's run, and none of its steps again."""
    root, workdir = make_small_dataset(tmp_path / "data"), tmp_path / "run"
    script = (
        "import sys, msn.tracking.following as f; f.POLL_SECONDS = 0.05\n"
        "from tests.support.small_msn import small_config\n"
        "from msn.pretrain import pretrain\n"
        "pretrain(small_config(sys.argv[1], track='wandb', steps=60, log_every=1,"
        " checkpoint_every=5), sys.argv[2])"
    )
    command = [sys.executable, "-c", script, str(root), str(workdir)]
    # Not this process's own service, which would outlive the first one.
    environment = {name: v for name, v in os.environ.items() if name != "WANDB_SERVICE"}
    first = subprocess.Popen(command, cwd=ROOT, env=environment)
    record, until = workdir / "trackers" / "wandb.json", time.monotonic() + 120
    while not (record.exists() and json.loads(record.read_text())["step"] > 8):
        assert time.monotonic() < until
        assert first.poll() is None
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    subprocess.run(command, cwd=ROOT, check=True, env=environment)
    assert len({run.run_id for run in wandb_files.messages_of(workdir / "trackers", "run")}) == 1
    assert steps(workdir) == list(range(1, 61))


def experiment(folder, **changes):
    """What an experiment leaves, as far as a tracker takes it."""
    folder.mkdir(parents=True)
    metrics = {
        "video": {"rule": "words", "f1": 0.5, "jaccard": None, "per_video": {"a": {"f1": 1}}}
    }
    results = {"config": {"mode": "finetune", "optimizer": {"name": "adamw"}}, "metrics": metrics}
    results |= {"history": {"loss": [2.0, 1.0], "val_macro_f1": [0.1, 0.2]}, "temporal": {}}
    (folder / "results.json").write_text(json.dumps(results | changes))
    cv2.imwrite(str(folder / "confusion_matrix.png"), np.full((8, 8, 3), 90, np.uint8))
    (folder / "report.html").write_text("<p>report</p>")
    (folder / "predictions.csv").write_text("video,second\n")
    return folder


def test_an_experiment(tmp_path):
    temporal = {"tecno": {"metrics": {"video": {"f1": 0.6}}}}
    folder = experiment(tmp_path / "comparison" / "cells" / "msn_probe", temporal=temporal)
    assert send_finished(folder, "wandb")
    rows = wandb_files.rows(folder / "trackers")
    curve = [(row["_step"], row["loss"], row["val_macro_f1"]) for row in rows if "loss" in row]
    assert curve == [(1, 2.0, 0.1), (2, 1.0, 0.2)]
    (run,) = wandb_files.messages_of(folder / "trackers", "run")
    assert (run.display_name, run.run_group) == ("comparison/msn_probe", "comparison")
    summaries = wandb_files.messages_of(folder / "trackers", "summary")
    values = {i.key or "/".join(i.nested_key): i.value_json for s in summaries for i in s.update}
    assert (values["test/video/f1"], values["tecno/video/f1"]) == ("0.5", "0.6")
    assert "test/video/jaccard" not in values
    media = {name for row in rows for name in row if name.startswith(("confusion", "report"))}
    assert {name.partition("/")[0] for name in media} == {"confusion_matrix.png", "report.html"}
    (artifact,) = wandb_files.messages_of(folder / "trackers", "artifact")
    names = {entry.path for entry in artifact.manifest.contents}
    assert names == {"results.json", "confusion_matrix.png", "report.html"}  # no predictions
    assert send_finished(folder, "wandb")
    assert len(wandb_files.messages_of(folder / "trackers", "run")) == 1  # all of it is there


@pytest.mark.parametrize(
    ("track", "message"),
    [
        ("neptune", "track: 'neptune'; expected mlflow or wandb, or both, as a,b"),
        ("wandb,mlflow", "track=mlflow: MLFLOW_TRACKING_URI is not set; expected the address"),
    ],
)
def test_what_cannot_be_tracked(monkeypatch, track, message):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(InputError, match=message):
        tracker_names(track)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install -r requirements-tracking\.txt"):
        tracker_names("wandb")


def test_a_tracker_that_is_away_ends_nothing(tmp_path, monkeypatch, caplog):
    """Nobody listens at the address; `msn.track` says so, and a later call sends all."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    folder = experiment(tmp_path / "probe")
    assert not send_finished(folder, "mlflow,wandb")
    assert f"python -m msn.track {folder} sends what is missing" in caplog.text
    assert len(wandb_files.messages_of(folder / "trackers", "run")) == 1  # the other has it
    told = subprocess.run(
        [sys.executable, "-m", "msn.track", str(folder), "--track=mlflow"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert told.returncode == 1
    (line,) = told.stderr.splitlines()
    assert line.startswith("mlflow: nothing can be sent (")
    told = subprocess.run(
        [sys.executable, "-m", "msn.track", str(tmp_path), str(folder), "--track=wandb"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert told.returncode == 1
    assert told.stderr == (
        f"not sent: {tmp_path}: not a run; expected the workdir of pre-training, an experiment or "
        "a comparison\n"
    )
    assert told.stdout == f"{folder}: wandb has all of it\n"  # which the first does not keep away


def test_what_a_client_refuses_ends_nothing_and_logs_have_no_passwords(
    tmp_path, monkeypatch, caplog
):
    folder = experiment(tmp_path / "probe")
    monkeypatch.setenv("WANDB_MODE", "magic")
    assert not send_finished(folder, "wandb")
    assert "wandb: nothing can be sent (" in caplog.text
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    assert not send_finished(folder, "mlflow")
    assert "mlflow: nothing can be sent (API request to http://127.0.0.1:9/" in caplog.text
    assert "secret" not in caplog.text
