import json
import shutil

import numpy as np
import pytest
import safetensors.numpy

from data.errors import InputError
from msn import checkpoint
from msn.formats import named_variables
from msn.pretrain import pretrain, schedule_of_step
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
        ({"data__exclude_videos": ("video01", "video02", "video03", "video04")}, "0 frames"),
        ({"steps": -1}, "steps"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_written(
    small_dataset, tmp_path, changes, named
):
    with pytest.raises(InputError, match=named):
        pretrain(small_config(small_dataset, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_frames_that_are_gone_end_the_run_with_one_line(small_dataset, tmp_path):
    root = shutil.copytree(small_dataset, tmp_path / "copy")
    shutil.rmtree(root / "frames")
    with pytest.raises(InputError, match="cannot be read"):
        pretrain(small_config(root), tmp_path / "run")


def test_schedules_are_those_of_the_configuration(small_dataset):
    config = small_config(small_dataset, ema_start=0.5, loss__final_sharpening=0.05)
    first, last = (schedule_of_step(config, step, 6, steps_per_epoch=4) for step in (0, 5))
    assert first["momentum"] == 0.5 < last["momentum"] < 1
    assert first["sharpening"] == 0.25 > last["sharpening"] > 0.05
    assert first["weight_decay"] < last["weight_decay"] < 0.4
