import json
import shutil

import numpy as np
import pytest
import safetensors.numpy

from data.errors import InputError
from msn import checkpoint
from msn.formats import named_variables
from msn.pretrain import pretrain
from tests.small_msn import small_config


def weights(workdir):
    return checkpoint.load_encoder(workdir / "encoder").get_weights()


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def run(small_dataset, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "msn"
    assert pretrain(small_config(small_dataset), workdir)
    return workdir


def test_what_a_run_leaves(run):
    names = {path.name for path in run.iterdir()}
    assert names == {"config.json", "checkpoints", "encoder", "metrics.jsonl", "events"}
    assert [line["step"] for line in lines(run)] == [2, 4, 6]
    assert {"loss", "learning_rate", "momentum", "prototypes_used"} <= lines(run)[-1].keys()
    assert [path.stat().st_size > 0 for path in (run / "events").iterdir()] == [True]
    source = json.loads((run / "encoder" / "encoder.json").read_text())["source"]
    assert source["network"] == "target"
    assert source["step"] == 6


def test_the_target_network_is_exported(run):
    newest = checkpoint.checkpoints(run / "checkpoints")[-1]
    state = safetensors.numpy.load_file(newest)
    exported = named_variables(checkpoint.load_encoder(run / "encoder").backbone)
    for name, variable in exported.items():
        np.testing.assert_array_equal(variable, state[f"target/{name}"])
    assert any(not np.array_equal(v, state[f"anchor/{n}"]) for n, v in exported.items())


def test_a_damaged_checkpoint_falls_back_and_the_run_ends_as_if_nothing_was(
    run, small_dataset, tmp_path, caplog
):
    workdir = shutil.copytree(run, tmp_path / "msn")
    newest = checkpoint.checkpoints(workdir / "checkpoints")[-1]
    newest.write_bytes(newest.read_bytes()[:500])
    shutil.rmtree(workdir / "encoder")
    caplog.set_level("INFO")
    assert pretrain(small_config(small_dataset), workdir)
    assert "damaged" in caplog.text
    assert "from step 4" in caplog.text
    assert [line["step"] for line in lines(workdir)] == [2, 4, 6]
    for ours, theirs in zip(weights(workdir), weights(run), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_another_configuration_is_refused_with_the_difference(run, small_dataset):
    config = small_config(small_dataset, optimizer__learning_rate=0.5)
    with pytest.raises(InputError, match=r"optimizer\.learning_rate 0\.001 -> 0\.5"):
        pretrain(config, run)


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"views__focal_size": 12}, "focal_size is 12"),
        ({"model__variant": "vitmicro7"}, "patch size 7"),
        ({"patch_drop": 1.0}, "patch_drop"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 1000}, "56 frames"),
        ({"strategy": "many"}, "strategy"),
        ({"data__root": ("/nonexistent",)}, "nonexistent"),
        ({"data__exclude_videos": ("video01", "video02", "video03", "video04")}, "all of 4"),
        ({"data__source": "photos"}, "data.source is 'photos'"),
        ({"data__source": "records"}, "no record files"),
        ({"data__neighbour_seconds": -1.0}, "neighbour_seconds"),
        ({"precision": "float16"}, "precision is 'float16'"),
        ({"model__std": (0.2, 0.0, 0.2)}, "model.std has a 0"),
        ({"model__mean": (0.5,)}, "model.mean"),
        ({"loss__prior_exponent": 0.25}, "sinkhorn"),
        ({"steps": -1}, "steps"),
        ({"seed": -1}, "seed"),
        ({"model__hidden_dim": -5}, "hidden_dim"),
        ({"optimizer__clip_gradients": -1.0}, "clip_gradients"),
        ({"optimizer__learning_rate": float("nan")}, "learning_rate is nan"),
        ({"ema_start": 7.0}, "ema_start"),
        ({"views__scale": (0.3,)}, "views.scale"),
        ({"views__scale": (0.3, 5.0)}, "views.scale"),
        ({"data__exclude_videos": (3,)}, "exclude_videos"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_written(
    small_dataset, tmp_path, changes, named
):
    with pytest.raises(InputError, match=named):
        pretrain(small_config(small_dataset, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_strengths_of_the_views_reach_the_data(run, small_dataset, tmp_path):
    """Without augmentation the anchors are plain crops: the first logged losses differ."""
    plain = {f"views__{name}_probability": 0.0 for name in ("jitter", "grey", "blur", "flip")}
    assert pretrain(small_config(small_dataset, steps=2, **plain), tmp_path / "plain")
    assert lines(tmp_path / "plain")[0]["loss"] != lines(run)[0]["loss"]


def test_a_mistyped_exclusion_is_said(small_dataset, tmp_path, caplog):
    config = small_config(small_dataset, data__exclude_videos=("video1",), steps=0)
    assert pretrain(config, tmp_path / "run")
    assert "video1" in caplog.text


def test_a_file_in_the_way_is_said_before_anything_is_done(small_dataset, tmp_path):
    (tmp_path / "file").write_text("x")
    for workdir in (tmp_path / "file", tmp_path / "file" / "deeper", ""):
        with pytest.raises(InputError, match="workdir"):
            pretrain(small_config(small_dataset), workdir)


def test_frames_that_are_gone_end_the_run_with_one_line(small_dataset, tmp_path):
    root = shutil.copytree(small_dataset, tmp_path / "copy")
    shutil.rmtree(root / "frames")
    with pytest.raises(InputError, match="cannot be read"):
        pretrain(small_config(root), tmp_path / "run")
