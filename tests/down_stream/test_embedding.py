"""`embed`, `pretrain` and `experiment` in Python: what the commands do, without their ways."""

import logging
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from data.common.errors import InputError
from down_stream.embedding import embed
from down_stream.experiment import experiment
from msn.checkpoint import load_encoder
from msn.pretrain import pretrain
from tests.support import small_msn
from tests.support.forked_commands import call
from tests.support.places import ROOT
from tests.support.small_phases import small_config
from tests.support.small_videos import write_video


@pytest.fixture(scope="module")
def encoder(small_dataset, tmp_path_factory, eager):
    config = small_msn.small_config("nowhere", steps=2)
    workdir = tmp_path_factory.mktemp("msn") / "run"
    overrides = {"data.root": small_dataset, "data.exclude_videos": ["video04"], "log_every": 1}
    path = pretrain(config, workdir, overrides=overrides)
    assert path == workdir / "encoder" and load_encoder(path).image_size == 16
    assert config.data.root == ("nowhere",), "what was passed stays as it is"
    return path


def handlers():
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


def test_videos_and_datasets_become_tables_silently(
    encoder, small_dataset, tmp_path, capfd, monkeypatch
):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    before = handlers()
    video = write_video(tmp_path / "Aufnahmen" / "op 1.mp4", frames=60)
    capfd.readouterr()
    made = embed(encoder, tmp_path / "a.npz", video_path=video.parent, map=tmp_path / "map.html")
    assert (made.shape, made.videos, made.faults) == ((3, 12), ["op 1"], [])
    with np.load(tmp_path / "a.npz") as table:
        assert table["embeddings"].dtype == np.float32 and table["second"].tolist() == [0, 1, 2]
    address = video.as_uri().replace("%20", " ")  # file://
    several = embed(encoder, tmp_path / "b.npz", video_path=[address], fps=2.0)
    assert several.shape == (5, 12)
    parent, name = small_dataset.parent, small_dataset.name
    assert embed(encoder, tmp_path / "c.parquet", data_rootdir=parent, name=name).shape[0] == 56
    again = embed(encoder, tmp_path / "a.npz", video_path=video.parent, map=tmp_path / "map.html")
    assert (again.new, again.before) == ([], 3)
    assert capfd.readouterr() == ("", "")
    assert handlers() == before


def test_an_experiment_of_a_file_and_overrides(encoder, small_dataset, tmp_path, capfd, eager):
    parts = {"train_videos": ["video01", "video02"], "test_videos": ["video04"]}
    parts |= {"validation_videos": "video03"}
    overrides = {"data.root": [small_dataset], "encoder": encoder, "mode": "knn", **parts}
    overrides |= {"model.variant": "", "feature_cache": "off", "batch_size": 4}
    results = experiment("configs/phase_probe.py", tmp_path / "run", overrides=overrides)
    assert results["videos"]["test"] == ["video04"]
    assert 0 <= results["metrics"]["video"]["accuracy"] <= 1
    assert (tmp_path / "run" / "report.html").is_file()
    folds = experiment(
        small_config(small_dataset, mode="knn", workdir=str(tmp_path / "folds")),
        overrides={"folds": 2},
    )
    assert len(folds["folds"]) == 2 and (tmp_path / "folds" / "fold2").is_dir()
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        {"image_path": "/nonexistent"},
        {"video_path": "/nonexistent"},
        {"data_rootdir": "/nonexistent"},
        {"image_path": "x", "join_parts": True},
        {"image_path": "x", "min_seconds": 1.0},
        {"image_path": "x", "output": "x.csv"},
    ],
)
def test_wrong_input_raises_the_line_that_the_command_prints(encoder, arguments, tmp_path):
    arguments = {"output": str(tmp_path / "a.npz")} | arguments
    with pytest.raises(InputError) as raised:
        embed(encoder, **arguments)
    words = [f"--{name}={value}" for name, value in arguments.items()]
    done = call("inference.py", f"--model_path={encoder}", *words)
    assert (done.returncode, done.stderr) == (2, f"error: {raised.value}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"video_path": "y"}, "input: --image_path and --video_path; expected one of --image_path"),
        ({"features": "all"}, "features is 'all'; expected"),
        ({"gone": "away"}, "gone is 'away'; expected drop, keep"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"annotations": "x", "annotation_format": "xml"}, "annotation_format is 'xml'; expected"),
        ({"annotations": "x", "min_seconds": -1.0}, "min_seconds is -1.0"),
    ],
)
def test_what_flags_refuse_themselves_is_refused(encoder, arguments, said, tmp_path):
    with pytest.raises(InputError, match=said):
        embed(encoder, tmp_path / "a.npz", image_path="x", **arguments)


@pytest.mark.parametrize(
    ("config", "overrides", "said"),
    [
        ("configs/nothing.py", None, "nothing.py: no such file"),
        ("configs/phase_demo.py", None, "phase_demo.py: no key .*; expected all keys of "),
        ("configs/msn_demo.py", {"batchsize": 1}, "batchsize: unknown key 'batchsize'; did you"),
        ("configs/msn_demo.py", {"batch_size": "x"}, "overrides: batch_size is 'x'; "),
        ("configs/msn_demo.py", {"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_wrong_configurations_raise(config, overrides, said, tmp_path):
    with pytest.raises(InputError, match=said):
        pretrain(config, tmp_path / "run", overrides=overrides)
    assert list(tmp_path.iterdir()) == []


SCRIPT = """
import sys
from data.common.cli import import_tensorflow
import_tensorflow()
from tests.support.small_msn import small_config
from msn.pretrain import pretrain
from down_stream.embedding import embed
pretrain(small_config(sys.argv[1], steps=2, track=""), sys.argv[2])
embed(sys.argv[2] + "/encoder", sys.argv[2] + "/a.npz", image_path=sys.argv[1] + "/frames")
"""


def test_a_script_without_logging_says_nothing(small_dataset, tmp_path):
    """Not even that a video to leave out is not there, though saving an encoder says something."""
    script = SCRIPT.replace('track=""', 'track="", data__exclude_videos=("no such",)')
    done = subprocess.run(
        [sys.executable, "-c", script, small_dataset, tmp_path / "run"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
