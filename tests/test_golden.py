"""Equality with the reference implementation, number by number.

Files and tolerances: tests/golden (or the folder named by MSN_GOLDEN) holds numbers computed with
facebookresearch/msn in PyTorch; every file carries its own sizes.

`make test` runs this under TensorFlow; `make test-backends` runs it under JAX and under PyTorch,
without the train step, which is TensorFlow's.
"""

import json

import keras
import numpy as np
import pytest
from keras import ops

from msn.encoders import load_encoder
from msn.formats.reference_names import load_msn_state, msn_state
from msn.method import losses, schedules
from msn.method.heads import ProjectionHead
from msn.networks.vit import VisionTransformer
from tests.support.golden_files import (
    encoder_arguments,
    load,
    me_max_error,
    rate_and_decay,
    relative_error,
    subset,
)
from tests.support.gradients import BACKEND, JIT, outputs_and_gradients
from tests.support.places import GOLDEN

needs_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="this is TensorFlow's")


@pytest.fixture(scope="module")
def vit():
    golden = load("vit.npz")
    config = json.loads(str(golden["config"]))
    backbone = VisionTransformer(**encoder_arguments(config))
    load_msn_state(subset(golden, "w/"), backbone)
    return golden, backbone


def test_vit_cls(vit):
    golden, backbone = vit
    assert relative_error(backbone(golden["image"])[1], golden["cls"]) <= 1e-5


def test_vit_smaller_image_interpolates_positions(vit):
    golden, backbone = vit
    assert relative_error(backbone(golden["focal_image"])[1], golden["focal_cls"]) <= 1e-5


def test_vit_masked(vit):
    golden, backbone = vit
    _, cls = backbone(golden["image"], kept_patches=golden["kept_patches"])
    assert relative_error(cls, golden["masked_cls"]) <= 1e-5


def test_vit_last_two_blocks(vit):
    golden, backbone = vit
    outputs = backbone.last_blocks(golden["image"], 2, normalised=False)
    cls = ops.concatenate([tokens[:, 0] for tokens in outputs], axis=-1)
    assert relative_error(cls, golden["last2_blocks_cls"]) <= 1e-5


def test_vit_last_block_cls_and_mean_patch(vit):
    golden, backbone = vit
    (tokens,) = backbone.last_blocks(golden["image"], 1)
    both = ops.concatenate([tokens[:, 0], ops.mean(tokens[:, 1:], axis=1)], axis=-1)
    assert relative_error(both, golden["last_block_cls_and_mean_patch"]) <= 1e-5


def test_vit_last_attention(vit):
    golden, backbone = vit
    assert (
        relative_error(backbone.last_attention(golden["image"]), golden["last_attention"]) <= 1e-5
    )


def test_vit_represent(vit):
    """What training runs: CLS alone in the last block, of masked views and of smaller ones."""
    golden, backbone = vit
    masked_cls = backbone.represent(golden["image"], golden["kept_patches"])
    assert relative_error(masked_cls, golden["masked_cls"]) <= 1e-5
    assert relative_error(backbone.represent(golden["focal_image"]), golden["focal_cls"]) <= 1e-5


CLS = {
    "call": lambda backbone, images: backbone(images)[1],
    "represent": lambda backbone, images: backbone.represent(images),
    "recompute": lambda backbone, images: backbone.represent(images, recompute=True),
}


@pytest.mark.parametrize("way", CLS)
def test_vit_gradients(vit, way):
    golden, backbone = vit

    def weighted_sum():
        cls = CLS[way](backbone, golden["image"])
        return ops.sum(ops.multiply(cls, golden["cotangent"])), cls

    variables = backbone.trainable_variables
    cls, gradients = outputs_and_gradients(weighted_sum, variables)
    assert relative_error(cls, golden["cls"]) <= 1e-5
    weights = msn_state(backbone)
    for variable, gradient in zip(variables, gradients, strict=True):
        variable.assign(gradient)
    ours, reference = msn_state(backbone), subset(golden, "grad/")
    load_msn_state(weights, backbone)
    assert ours.keys() == reference.keys()
    for name, gradient in reference.items():
        assert relative_error(ours[name], gradient) <= 1e-4, name


def test_checkpoint_of_the_reference():
    golden = load("msn-reference-expected.npz")
    num_heads = json.loads(str(golden["config"]))["heads"]
    encoder = load_encoder(GOLDEN / "msn-reference.pth.tar", num_heads=num_heads)
    assert relative_error(encoder.backbone(golden["image"])[1], golden["target_cls"]) <= 1e-5
    assert encoder.trainable_variables


def test_hugging_face_directory():
    golden = load("hf-vit-msn/expected.npz")
    encoder = load_encoder(GOLDEN / "hf-vit-msn")
    tokens, cls = encoder.backbone(golden["image"])
    assert relative_error(tokens, golden["last_hidden_state"]) <= 1e-5
    assert relative_error(cls, golden["last_hidden_state"][:, 0]) <= 1e-5
    assert encoder.trainable_variables


def test_flax_checkpoint():
    golden = load("endossl-released/expected.npz")
    encoder = load_encoder(GOLDEN / "endossl-released" / "checkpoint_0")
    tokens, cls = encoder(golden["image"])  # raw, 0..255
    assert relative_error(tokens, golden["tokens"]) <= 1e-5
    assert relative_error(cls, golden["cls"]) <= 1e-5
    assert encoder.trainable_variables


@needs_tensorflow
@pytest.mark.parametrize("jit", [False, True], ids=["plain", "xla"])
def test_saved_model(jit):
    import tensorflow as tf

    golden = load("endossl-released/expected.npz")
    encoder = load_encoder(GOLDEN / "endossl-released" / "saved_model_inference")
    tokens, cls = tf.function(encoder, jit_compile=jit)(tf.constant(golden["image"]))
    assert relative_error(tokens, golden["tokens"]) <= 1e-4
    assert relative_error(cls, golden["cls"]) <= 1e-4
    assert not encoder.trainable_variables


def loss_cases():
    return json.loads(str(load("loss.npz")["cases"]))


@pytest.mark.parametrize("case", loss_cases(), ids=lambda case: f"case{case['case']}")
@pytest.mark.parametrize("jit", JIT, ids=lambda jit: "xla" if jit else "plain")
def test_loss(case, jit):
    golden = subset(load("loss.npz"), f"{case['case']}/")
    anchors, prototypes = (keras.Variable(golden[name]) for name in ("anchors", "prototypes"))

    def loss():
        parts = losses.msn_loss(
            anchors,
            golden["targets"],
            prototypes,
            temperature=case["tau"],
            sharpening=case["sharpen"],
            use_sinkhorn=case["sinkhorn"],
        )
        return parts["cross_entropy"] + parts["me_max"] + 0.5 * parts["entropy"], parts

    parts, (anchor_gradient, prototype_gradient) = outputs_and_gradients(
        loss, [anchors, prototypes], jit
    )
    assert relative_error(parts["cross_entropy"], golden["loss"]) <= 1e-5
    assert me_max_error(parts["me_max"], golden["me_max"], prototypes.shape[0]) <= 1e-5
    assert relative_error(parts["entropy"], golden["entropy"]) <= 1e-5
    assignments = np.tile(parts["targets"], (case["num_views"], 1))
    assert relative_error(assignments, golden["assignments"]) <= 1e-5
    assert relative_error(anchor_gradient, golden["grad_anchors"]) <= 1e-4
    assert relative_error(prototype_gradient, golden["grad_prototypes"]) <= 1e-4


def schedule_runs():
    return sorted({name.partition("/")[0] for name in load("schedules.npz")})


@pytest.mark.parametrize("run", schedule_runs())
def test_schedules(run):
    golden = subset(load("schedules.npz"), f"{run}/")
    config = json.loads(str(golden["config"]))
    total = config["ipe"] * config["epochs"]
    for step in range(len(golden["lr"])):
        rate, decay = rate_and_decay(config, step)
        ours = {
            "lr": rate,
            "wd": decay,
            "momentum": schedules.linear(step, start=0.996, final=1.0, total_steps=total),
            "sharpen": schedules.linear(
                step, start=config["T0"], final=config["T1"], total_steps=total
            ),
        }
        for name, value in ours.items():
            assert abs(value - golden[name][step]) <= 1e-7 * abs(golden[name][step]), (name, step)


def test_first_losses_of_the_trajectory():
    """Encoder, head and loss, put together by hand as the train step puts them together."""
    golden = load("trajectory.npz")
    config, inputs = json.loads(str(golden["config"])), subset(golden, "step0/")
    backbone = VisionTransformer(**encoder_arguments(config))
    head = ProjectionHead(config["dim"], config["hidden"], config["out"])
    load_msn_state(subset(golden, "start/"), backbone, head)
    focal = inputs["focal"].reshape(-1, *inputs["focal"].shape[2:])
    views = (
        backbone.represent(inputs["anchor"], inputs["kept_patches"]),
        backbone.represent(focal),
    )
    parts = losses.msn_loss(
        ops.concatenate([head(cls, training=True) for cls in views]),
        head(backbone(inputs["target"])[1], training=True),
        golden["start_prototypes"],
        temperature=config["tau"],
        sharpening=config["sharpen"],
        use_sinkhorn=config["sinkhorn"],
    )
    assert relative_error(parts["cross_entropy"], golden["log/loss"][0]) <= 1e-5
    assert me_max_error(parts["me_max"], golden["log/me_max"][0], config["proto"]) <= 1e-5


@needs_tensorflow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("jit", [False, True], ids=["plain", "xla"])
def test_trajectory_of_ten_steps(jit, dtype):
    """Ten steps of the product's own train step end where the reference ends.

    In float64 one run shows it: what differs is the reference's own rounding. Float32 is chaotic
    here (a last bit of the start weights moves me-max at single steps by up to 4e-3, with XLA and
    without it, and in the reference as well; which bit it is depends on the processor), so float32
    is judged by the median of runs that start a rounding apart, and me-max by twice the bound.
    """
    from tests.support.golden_trajectory import trajectory_runs

    errors = trajectory_runs(jit, dtype, seeds=[None] if dtype == "float64" else range(7))
    for name in errors[0]:
        bound = 5e-4 if name.startswith("cross_entropy") else 2e-3
        if name.startswith("me_max") and dtype == "float32":
            bound *= 2
        assert np.median([run[name] for run in errors]) <= bound, (name, errors)
