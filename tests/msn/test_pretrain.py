import json
import math
import shutil

import numpy as np
import pytest
import safetensors.numpy

import msn.pretrain
from data.common.errors import InputError
from msn import encoders
from msn.formats.reference_names import named_variables
from msn.networks.encoder import create_encoder
from msn.pretrain import pretrain
from msn.training import configuration
from msn.workdir import checkpoint_files
from tests.support.recorder import recorded
from tests.support.run_directories import metrics_in
from tests.support.small_msn import VARIANT, small_config

pytestmark = pytest.mark.usefixtures("eager")


def weights(workdir):
    return encoders.load_encoder(workdir / "encoder").get_weights()


def steps_of_checkpoints(workdir):
    return [
        checkpoint_files.step_of(path)
        for path in checkpoint_files.checkpoints(workdir / "checkpoints")
    ]


@pytest.fixture(scope="module")
def run(small_dataset, tmp_path_factory, eager):
    workdir = tmp_path_factory.mktemp("runs") / "msn"
    assert pretrain(small_config(small_dataset), workdir)
    return workdir


def test_what_a_run_leaves(run):
    names = {path.name for path in run.iterdir()}
    files = {"config.json", "metrics.jsonl", "videos.json"}
    assert names == files | {"checkpoints", "encoder", "events"}
    assert [line["step"] for line in metrics_in(run)] == [2, 4, 6]
    assert metrics_in(run)[-1].keys() == {
        *("step", "loss", "cross_entropy", "me_max", "entropy", "mean_entropy", "max_target"),
        *("learning_rate", "weight_decay", "momentum", "sharpening", "prototypes_used"),
        *("gradient_norm", "gradient_norm_first_block", "gradient_norm_last_block"),
        *("gradient_norm_prototypes", "embedding_std", "effective_rank"),
        *("images_per_second", "waiting_for_input"),
    }
    assert [path.stat().st_size > 0 for path in (run / "events").iterdir()] == [True]
    source = json.loads((run / "encoder" / "encoder.json").read_text())["source"]
    assert source["network"] == "target"
    assert source["step"] == 6


def test_the_logged_values_can_be_what_they_are_called(run):
    last = metrics_in(run)[-1]
    assert 0 <= last["entropy"] <= last["mean_entropy"] <= np.log(8) + 1e-5
    assert last["mean_entropy"] == pytest.approx(np.log(8) - last["me_max"], abs=1e-4)
    assert 1 <= last["effective_rank"] <= 7  # of 8 images, about their mean
    assert 0 < last["embedding_std"] <= 1
    assert 0 <= last["waiting_for_input"] <= 1


def test_the_target_network_is_exported(run):
    newest = checkpoint_files.checkpoints(run / "checkpoints")[-1]
    state = safetensors.numpy.load_file(newest)
    exported = named_variables(encoders.load_encoder(run / "encoder").backbone)
    for name, variable in exported.items():
        np.testing.assert_array_equal(variable, state[f"target/{name}"])
    assert any(not np.array_equal(v, state[f"anchor/{n}"]) for n, v in exported.items())


def test_a_damaged_checkpoint_falls_back_and_the_run_ends_as_if_nothing_was(
    run, small_dataset, tmp_path, caplog
):
    workdir = shutil.copytree(run, tmp_path / "msn")
    newest = checkpoint_files.checkpoints(workdir / "checkpoints")[-1]
    newest.write_bytes(newest.read_bytes()[:500])
    shutil.rmtree(workdir / "encoder")
    caplog.set_level("INFO")
    assert pretrain(small_config(small_dataset), workdir)
    assert "damaged" in caplog.text
    assert "from step 4" in caplog.text
    assert [line["step"] for line in metrics_in(workdir)] == [2, 4, 6]
    for ours, theirs in zip(weights(workdir), weights(run), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_another_configuration_is_refused_with_the_difference(run, small_dataset):
    config = small_config(small_dataset, optimizer__learning_rate=0.5)
    with pytest.raises(InputError, match=r"optimizer\.learning_rate 0\.001 -> 0\.5"):
        pretrain(config, run)


class Sharpening:
    """The schedule of a run, with a sharpening of NaN wherever `step` is it."""

    def __init__(self, *steps):
        self.steps, self.calls = steps, []

    def __call__(self, config, step, *arguments):
        self.calls.append(step)
        schedule = configuration.schedule_of_step(config, step, *arguments)
        return schedule | ({"sharpening": math.nan} if step in self.steps else {})


def test_a_loss_that_is_not_finite_stops_the_run_or_is_skipped(
    small_dataset, tmp_path, monkeypatch, caplog
):
    """Steps 1 and 4 (counted from 1, as in messages and metrics) are not finite."""
    workdir, schedule = tmp_path / "msn", Sharpening(0, 3)
    monkeypatch.setattr("msn.pretrain.schedule_of_step", schedule)
    datasets, masks = (
        recorded(monkeypatch, msn.pretrain, n) for n in ("pretraining_dataset", "kept_patches")
    )

    with pytest.raises(InputError, match=r"not finite at step 1: cross_entropy.*on_nan=rollback"):
        pretrain(small_config(small_dataset), workdir)
    assert schedule.calls == [0, 1]
    assert steps_of_checkpoints(workdir) == []

    # It may skip one batch: to do so it goes back to the beginning. The second is too many.
    schedule.calls.clear()
    with pytest.raises(InputError, match=r"not finite at step 4: .*1 batches were skipped already"):
        pretrain(small_config(small_dataset, on_nan="rollback", max_rollbacks=1), workdir)
    assert schedule.calls == [0, 1, 1, 2, 3]
    assert "going back" in caplog.text
    assert steps_of_checkpoints(workdir) == [0, 2]

    # With two it goes on, and remembers the first.
    for calls in (schedule.calls, datasets.calls, masks.calls):
        calls.clear()
    assert pretrain(small_config(small_dataset, on_nan="rollback", max_rollbacks=2), workdir)
    assert schedule.calls == [2, 3, 2, 4, 5]
    # From step 2, where the run goes on, and again after it went back; masks are of the same steps.
    assert datasets.named("first_step") == [2, 2]
    assert [step for (*_, step), _ in masks.calls] == schedule.calls
    newest = checkpoint_files.checkpoints(workdir / "checkpoints")[-1]
    with checkpoint_files.open_state(newest) as file:
        assert file.metadata()["skipped"] == "[0, 3]"
    assert [line["step"] for line in metrics_in(workdir)] == [2, 6]
    state = safetensors.numpy.load_file(newest)
    assert all(np.isfinite(value).all() for value in state.values())
    assert state["optimizer/steps"] == 4


def test_what_a_step_sees_is_of_the_configuration(small_dataset, tmp_path, monkeypatch):
    """Without a number of steps, it is that of the epochs: two of three batches."""
    datasets, masks = (
        recorded(monkeypatch, msn.pretrain, n) for n in ("pretraining_dataset", "kept_patches")
    )
    config = small_config(
        small_dataset,
        **{"epochs": 2, "batch_size": 18, "seed": 5, "patch_drop": 0.5, "views__size": 24},
        **{"data__neighbour_seconds": 2.0, "data__balance_videos": True},
        **{"log_every": 1, "checkpoint_every": 100, "ema_start": 0.5},
        **{"optimizer__warmup_epochs": 0.7, "optimizer__start_learning_rate": 1e-4},
    )
    with config.unlocked():
        del config.steps
        config.steps = None
    assert pretrain(config, tmp_path)
    (((source,), arguments),) = [((args[0],), kwargs) for args, kwargs in datasets.calls]
    assert len(source) == 56
    assert arguments.pop("sources").tolist() == [0, 0, 0, 0]
    assert arguments == {
        **{"batch_size": 18, "seed": 5, "first_step": 0, "last_step": 6},
        **{"neighbour_seconds": 2.0, "balance_videos": True, "worker": 0, "workers": 1},
        **{"balance_sources": False, "one_source_per_batch": False},
    }
    assert [args for args, _ in masks.calls] == [(9, 0.5, 5, step) for step in range(6)]
    for step, line in enumerate(metrics_in(tmp_path)):
        assert line["step"] == step + 1
        expected = configuration.schedule_of_step(config, step, 6, 3)
        assert {name: line[name] for name in expected} == expected


def test_what_the_initial_weights_have_seen_is_no_test_of_the_probe(small_dataset, tmp_path):
    encoder = create_encoder(VARIANT, image_size=16)
    path = encoders.save_encoder(encoder, tmp_path / "encoder", {"videos": ["VID04"]})
    probe = {"probe__train_videos": ("video01",), "probe__test_videos": ("video04",)}
    config = small_config(
        small_dataset, init=str(path), data__exclude_videos=("video04",), probe_every=1, **probe
    )
    with pytest.raises(InputError, match="VID04 also in pre-training"):
        pretrain(config, tmp_path / "run")


def test_the_probe_is_logged(small_dataset, tmp_path):
    config = small_config(
        small_dataset,
        steps=2,
        data__exclude_videos=("video04",),
        probe_every=1,
        probe__train_videos=("video01", "video02"),
        probe__test_videos=("video04",),
    )
    assert pretrain(config, tmp_path)
    assert [line["step"] for line in metrics_in(tmp_path)] == [1, 2]
    for name in ("knn_macro_f1", "source_knn"):
        assert all(0 <= line[name] <= 1 for line in metrics_in(tmp_path))


def test_of_frames_without_labels_the_source_is_probed(small_dataset, tmp_path):
    assert pretrain(small_config(small_dataset, steps=2, probe_every=2), tmp_path)
    assert metrics_in(tmp_path)[-1]["source_knn"] >= 0
    assert "knn_macro_f1" not in metrics_in(tmp_path)[-1]


PROBED = {
    "probe__train_videos": ("video01",),
    "probe__test_videos": ("video04",),
    "data__exclude_videos": ("video04",),
}


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"views__focal_size": 12}, "focal_size is 12"),
        ({"model__variant": "vitmicro7"}, "patch size 7"),
        ({"patch_drop": 1.0}, "patch_drop"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 1000}, "56 frames"),
        ({"strategy": "many"}, "strategy"),
        ({"strategy": "mirrored"}, "one CPU"),
        ({"accumulation": 3}, "batch_size is 8; expected a multiple of 3"),
        ({"accumulation": 0}, "accumulation"),
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
        ({"on_nan": "ignore"}, "on_nan is 'ignore'"),
        ({"keep_every": 1, "steps": 10**9}, "MB needed for 1000000004 checkpoints"),
        ({"init": "/nonexistent"}, "init=/nonexistent"),
        ({"probe_every": 1, "probe__train_videos": ("video01",)}, "probe.test_videos is empty"),
        ({"probe_every": 1, "probe__task": "organs", **PROBED}, "expected one of phases, tools"),
        ({"probe_every": 1, "probe__test_videos": ("video01",)}, "video01 also in pre-training"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_written(
    small_dataset, tmp_path, changes, named
):
    with pytest.raises(InputError, match=named):
        pretrain(small_config(small_dataset, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_video_has_no_sources_to_tell_apart(small_dataset, tmp_path, caplog):
    excluded = ("video01", "video02", "video03")
    config = small_config(small_dataset, probe_every=1, steps=2, data__exclude_videos=excluded)
    assert pretrain(config, tmp_path)
    assert (
        "probe_every=1: no source_knn: found one data set, and in it 1 video with two"
        in caplog.text
    )
    assert all("source_knn" not in line for line in metrics_in(tmp_path))


def test_the_strengths_of_the_views_reach_the_data(run, small_dataset, tmp_path):
    """Without augmentation the anchors are plain crops: the first logged losses differ."""
    plain = {f"views__{name}_probability": 0.0 for name in ("jitter", "grey", "blur", "flip")}
    assert pretrain(small_config(small_dataset, steps=2, **plain), tmp_path / "plain")
    assert metrics_in(tmp_path / "plain")[0]["loss"] != metrics_in(run)[0]["loss"]


def test_a_mistyped_exclusion_is_said(small_dataset, tmp_path, caplog):
    config = small_config(small_dataset, data__exclude_videos=("video1",), steps=0)
    assert pretrain(config, tmp_path / "run")
    advice = "not in the data: video1; nothing is left out, of what scores are measured on, either"
    assert f"data.exclude_videos: {advice}" in caplog.text
    caplog.clear()
    config.data.exclude_videos = ("video1", "video04")
    assert pretrain(config, tmp_path / "other")
    assert "not in the data: video1" in caplog.text and "nothing is left out" not in caplog.text


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
