"""The four commands one after the other, as a newcomer calls them, on very small videos."""

import json
from pathlib import Path

import numpy as np
import pytest

from data.dataset.frame_index import load_index
from tests.data.common.test_cli import COMMANDS, call
from tests.support import forked_commands
from tests.support.documented import run_command
from tests.support.places import ROOT


def run(command, *arguments, by=call, **options):
    result = by(command, *arguments, **options)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    return result


def call_again(command, *arguments, **options):
    """As `call`, of a command whose start from nothing has been seen: it is forked."""
    return forked_commands.call(*COMMANDS[command], *arguments, **options)


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """Everything the commands write, in one folder; and what they printed."""
    root = tmp_path_factory.mktemp("chain")
    (root / "empty").mkdir()
    place = {"cwd": root / "empty", "environment": {"XDG_CACHE_HOME": str(root / "cache")}}
    configs = ROOT / "configs"
    data, printed = root / "data" / "cholec80", {}
    printed["prepare"] = run(
        "prepare",
        f"--data_rootdir={root / 'data'}",
        "--synthetic",
        "--synthetic_videos=4",
        "--synthetic_seconds=20",
        **place,
    )
    printed["train"] = run(
        "train",
        f"--config={configs}/msn_demo.py",
        f"--workdir={root / 'msn'}",
        f"--config.data.root={data}",
        "--config.data.exclude_videos=video04",
        "--config.steps=4",
        "--config.probe_every=2",
        "--config.probe.train_videos=('video01', 'video02')",
        "--config.probe.test_videos=video04",
        "--config.batch_size=8",
        "--config.views.size=32",
        "--config.views.focal_size=16",
        "--noconfig.compile_with_xla",
        **place,
    )
    for mode in ("probe", "finetune"):
        printed[mode] = run(
            "main",
            f"--config={configs}/phase_demo.py" + (":finetune" if mode == "finetune" else ""),
            f"--config.data.root={data}",
            f"--config.encoder={root / 'msn' / 'encoder'}",
            f"--config.workdir={root / mode}",
            "--config.train_videos=('video01', 'video02')",
            "--config.validation_videos=video03",
            "--config.test_videos=video04",
            "--config.epochs=2",
            "--optimizer=adam",
            "--learning_rate=1e-3",
            "--weight_decay=0",
            by=call_again if mode == "finetune" else call,
            **place,
        )
    printed["inference"] = run(
        "inference",
        f"--model_path={root / 'probe' / 'model'}",
        f"--image_path={data / 'frames' / 'video04'}",
        f"--output={root / 'embeddings.npz'}",
        **place,
    )
    return root, printed


def test_nothing_is_written_that_was_not_asked_for(chain, monkeypatch):
    """In the working directory; features are kept in the user's cache."""
    root, _ = chain
    assert list((root / "cache" / "endoscopy-msn" / "features").glob("*/*.npy"))
    monkeypatch.chdir(root / "empty")
    monkeypatch.setenv("XDG_CACHE_HOME", str(root / "cache"))
    probe, encoder = root / "probe", root / "msn" / "encoder"
    for words in (
        ["down_stream.compare", probe, root / "finetune"],
        ["down_stream.caches", root],
        ["down_stream.metrics", probe / "predictions.csv"],
        ["msn.curves", root / "msn", f"--output={root / 'curves.png'}"],
        ["msn.convert", f"--source={encoder}", f"--output={root / 'hugging_face'}"],
        ["data.views", f"--data_rootdir={root / 'data'}", f"--output={root / 'views.png'}"],
        ["msn.doctor"],
    ):
        assert run_command(["python", "-m", *map(str, words)], monkeypatch) in (0, 1), words[0]
    assert [*(root / "empty").iterdir()] == []


def test_videos_became_labelled_frames(chain):
    index = load_index(chain[0] / "data" / "cholec80")
    assert index.videos == ("video01", "video02", "video03", "video04")
    assert (index.phase >= 0).all()
    assert len(np.unique(index.phase)) == 7


def test_pre_training_saw_the_training_videos_alone(chain):
    root, printed = chain
    index = load_index(root / "data" / "cholec80")
    frames = len(index.select(exclude=("video04",)))
    assert f"on {frames} frames of 3 videos (1 excluded): 4 steps" in printed["train"].stderr
    assert json.loads((root / "msn" / "config.json").read_text())["steps"] == 4


@pytest.mark.parametrize("mode", ["probe", "finetune"])
def test_the_held_out_video_was_scored_with_the_flags_given(chain, mode):
    results = json.loads((chain[0] / mode / "results.json").read_text())
    assert results["mode"] == mode
    assert results["videos"]["test"] == ["video04"]
    assert results["config"]["optimizer"]["name"] == "adam"
    assert results["config"]["optimizer"]["weight_decay"] == 0
    assert 0 <= results["metrics"]["video"]["accuracy"] <= 1
    assert "video          f1" in chain[1][mode].stdout


def test_embeddings_and_probabilities_of_every_frame(chain):
    root, printed = chain
    index = load_index(root / "data" / "cholec80").select(videos=("video04",))
    with np.load(root / "embeddings.npz", allow_pickle=False) as table:
        assert table["embeddings"].shape == (len(index), 96)
        assert np.isfinite(table["embeddings"]).all()
        assert table["embeddings"].std(axis=0).max() > 1e-3
        assert table["probabilities"].shape == (len(index), 7)
        paths = table["path"].tolist()
    assert paths == index.paths(np.arange(len(index)))
    assert str(len(index)) in printed["inference"].stdout


def test_inference_predicts_what_the_experiment_did(chain):
    """The same frames, model and preprocessing: the same phases."""
    root, _ = chain
    lines = (root / "probe" / "predictions.csv").read_text().splitlines()
    column = lines[0].split(",").index("prediction")
    predictions = [int(line.split(",")[column]) for line in lines[1:]]
    with np.load(root / "embeddings.npz") as table:
        assert table["probabilities"].argmax(axis=1).tolist() == predictions


def test_nothing_but_what_is_of_use_is_printed(chain):
    for name, result in chain[1].items():
        for noise in ("oneDNN", "cuda", "InitializeLog", "WARNING", "Sharding"):
            assert noise not in result.stderr + result.stdout, name


def test_experiments_side_by_side(chain):
    root, _ = chain
    table = run("compare", root / "probe", root / "finetune", by=call_again).stdout
    lines = table.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["name", "probe", "finetune"]
    assert (
        "finetune differs from probe in" in lines[-1] and "mode (finetune, not probe)" in lines[-1]
    )


def test_a_second_run_does_nothing_twice(chain):
    root, _ = chain
    frames = root / "data" / "cholec80" / "frames"
    before = {path: path.stat().st_mtime_ns for path in frames.rglob("*.jpg")}
    run(
        "prepare",
        f"--data_rootdir={root / 'data'}",
        "--synthetic",
        "--synthetic_videos=4",
        "--synthetic_seconds=20",
        by=call_again,
    )
    assert before == {path: path.stat().st_mtime_ns for path in frames.rglob("*.jpg")}


def test_an_empty_folder_is_no_data_set(tmp_path):
    (tmp_path / "empty").mkdir()
    for command, arguments in {
        "prepare": (f"--videos={tmp_path / 'empty'}", f"--data_rootdir={tmp_path / 'out'}"),
        "train": (f"--workdir={tmp_path / 'out'}", f"--config.data.root={tmp_path / 'empty'}"),
    }.items():
        result = call(command, *arguments)
        assert result.returncode == 2, command
        assert len(result.stderr.splitlines()) == 1, result.stderr
        assert "empty" in result.stderr
    assert [Path(path).name for path in tmp_path.iterdir()] == ["empty"]
