"""MSN goes on from an encoder of every family: masking, views, positions work with its options."""

import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from msn import encoders
from msn.pretrain import pretrain
from msn.training.configuration import as_scalars, create_model
from msn.workdir import checkpoint_files, checkpoints
from tests.support.forked_commands import run_in_a_process
from tests.support.golden_families import ENCODERS, NAMES, given, opened
from tests.support.golden_files import relative_error
from tests.support.small_msn import small_config

SCHEDULE = {"learning_rate": 3e-4, "weight_decay": 0.04, "momentum": 0.99, "sharpening": 0.25}
KEPT = tf.constant([0, 3, 5, 6, 9, 12])  # of 16 patches
PREPROCESSING = ("mean", "std", "gelu", "layer_norm_epsilon", "interpolation")
OPTIONS = ("class_token", "num_registers", "layer_scale", "swiglu", "rope_theta", "pool_norm")


def config_for(name, root="unused", **changes):
    facts = {f"init_{fact}": value for fact, value in given(name).items()}
    return small_config(root, init=str(ENCODERS / name), **facts | changes)


def views_of(random):
    shapes = {"target": (8, 16, 16, 3), "anchor": (8, 16, 16, 3), "focal": (2, 8, 8, 8, 3)}
    coarse = {name: random.integers(0, 256, (*s[:-3], 2, 2, 3)) for name, s in shapes.items()}
    return {
        name: tf.constant(np.kron(values, np.ones((shapes[name][-2] // 2,) * 2 + (1,))), tf.float32)
        for name, values in coarse.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_steps_lower_the_loss_and_keep_what_the_encoder_is(name, eagerly):
    """Step by step: tracing a network of each family takes fifty times as long as its steps."""
    model, before = create_model(config_for(name)), opened(name)
    images = np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3)).astype(np.float32)
    assert relative_error(model.target_encoder(images)[0], before(images)[0]) <= 1e-5
    start = model.target_encoder.get_weights()
    views, schedule = views_of(np.random.default_rng(0)), as_scalars(SCHEDULE, "float32")
    losses = [float(model.train_step(views, KEPT, schedule)["loss"]) for _ in range(3)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] - 0.2, losses
    assert not any(map(np.array_equal, start, model.target_encoder.get_weights()))

    config, known = model.target_encoder.get_config(), before.get_config()
    for option in (*PREPROCESSING, *OPTIONS):
        assert config.get(option) == known.get(option), option
    assert model.target_encoder.features == before.features
    assert model.target_encoder.backbone.pooling == before.features  # what is trained


@pytest.mark.parametrize("name", ["hf-dinov2-registers", "timm-dinov3-gated", "timm-average"])
def test_masked_patches_alone_are_left_out(name):
    """Registers are no patches: never masked, in no mean; places are those of the kept patches."""
    backbone = opened(name).backbone
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32)
    tokens, pooled = backbone(images, kept_patches=KEPT)
    special = backbone.num_special
    assert tokens.shape == (2, special + len(KEPT), 24)
    everything = np.arange(16)
    same, _ = backbone(images, kept_patches=everything)
    assert relative_error(same, backbone(images)[0]) <= 1e-6
    # In another order, each patch with its own place, nothing is computed otherwise.
    turned, again = backbone(images, kept_patches=KEPT[::-1])
    assert relative_error(again, pooled) <= 1e-5
    assert relative_error(turned[:, special:], tokens[:, special:][:, ::-1]) <= 1e-5
    # And what is masked is not seen: other pixels there change nothing.
    changed = images.copy()
    changed[:, :4, 4:12] = 7.0  # patches 1 and 2
    assert relative_error(backbone(changed, kept_patches=KEPT)[1], pooled) == 0
    assert relative_error(backbone.represent(images, KEPT), pooled) <= 1e-5


@pytest.mark.parametrize("name", ["hf-dinov2-registers", "dinov2.pth", "hf-dinov3", "timm-average"])
def test_views_of_another_size_than_the_encoders(name):
    """Positions are resampled once, the family's way, rotary ones are of the new grid."""
    model = create_model(config_for(name, views__size=24, views__focal_size=12))
    images = np.random.default_rng(1).integers(0, 256, (2, 24, 24, 3)).astype(np.float32)
    assert model.anchor_encoder.image_size == 24
    assert model.anchor_encoder.backbone.grid == 6
    for ours, theirs in zip(model.anchor_encoder(images), opened(name)(images), strict=True):
        assert relative_error(ours, theirs) <= 1e-5


def test_positions_for_another_size_than_the_images(tmp_path):
    """As of DINOv2's published files, for 518 pixels with images of 224."""
    arguments = opened("hf-dinov2").get_config() | {"image_size": 24, "position_grid": 4}
    encoder = encoders.Encoder(**arguments)
    encoder.set_weights(opened("hf-dinov2").get_weights())
    path = encoders.save_encoder(encoder, tmp_path / "encoder", {})
    model = create_model(small_config("unused", init=str(path), views__size=24))
    images = np.random.default_rng(1).integers(0, 256, (2, 24, 24, 3)).astype(np.float32)
    assert relative_error(model.anchor_encoder(images)[0], encoder(images)[0]) <= 1e-5


def train(name, root, changes, workdir):
    os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"  # in half the time
    assert pretrain(config_for(name, root, **changes), workdir)


def test_a_run_that_was_interrupted_ends_with_the_same_bits(small_dataset, tmp_path):
    """Of an encoder with registers, LayerScale, rotary positions, SwiGLU and average pooling."""
    gated = ("timm-dinov3-gated", str(small_dataset))
    changes = {"compile_with_xla": True, "model__drop_path": 0.1}
    run_in_a_process(train, *gated, changes, tmp_path / "run")
    interrupted = shutil.copytree(tmp_path / "run", tmp_path / "interrupted")
    shutil.rmtree(interrupted / "encoder")
    *_, last = checkpoint_files.checkpoints(interrupted / "checkpoints")
    last.unlink()
    run_in_a_process(train, *gated, changes, interrupted)
    one, other = (
        encoders.load_encoder(run / "encoder").get_weights()
        for run in (tmp_path / "run", interrupted)
    )
    assert all(map(np.array_equal, one, other))

    # The file says what had to be given for the first one, and computes what the run ended with.
    exported = encoders.load_encoder(tmp_path / "run" / "encoder")
    model = create_model(config_for(*gated, **changes))
    checkpoints.restore_newest(tmp_path / "run" / "checkpoints", model)
    images = np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3)).astype(np.float32)
    for ours, theirs in zip(exported(images), model.target_encoder(images), strict=True):
        assert relative_error(ours, theirs) <= 1e-6
    assert exported.get_config() == model.target_encoder.get_config()
