"""What the golden files do not hold, under each Keras backend: see `make test-backends`."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from data.common.errors import InputError
from msn.encoders import load_encoder
from msn.method.heads import ProjectionHead
from msn.networks.blocks import branch_scales
from msn.networks.encoder import Encoder
from msn.networks.vit import VisionTransformer
from tests.support.golden_encoders import ENCODERS, FOLDER
from tests.support.golden_files import relative_error
from tests.support.gradients import BACKEND, JIT, outputs_and_gradients
from tests.support.places import GOLDEN

TINY = {"image_size": 16, "patch_size": 4, "width": 12, "depth": 3, "num_heads": 3, "seed": 1}


def images(size, count=2):
    random = np.random.default_rng(size)
    return random.normal(size=(count, size, size, 3)).astype(np.float32)


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_directory_opens_with_the_numbers_it_had(name):
    encoder = load_encoder(FOLDER / name)
    with np.load(FOLDER / name / "expected.npz") as expected:
        tokens, cls = encoder(expected["images"])
        assert relative_error(tokens, expected["tokens"]) <= 1e-5
        assert relative_error(cls, expected["cls"]) <= 1e-5
        assert relative_error(encoder.represent(expected["images"]), expected["cls"]) <= 1e-5
    assert encoder.trainable_variables


@pytest.mark.skipif(BACKEND == "tensorflow", reason="it opens there")
def test_a_saved_model_says_which_backend_it_needs():
    with pytest.raises(InputError, match=f"KERAS_BACKEND=tensorflow, not {BACKEND}"):
        load_encoder(GOLDEN / "endossl-released" / "saved_model_inference")


def textbook_head(x, weights):
    """[n, width] -> [n, outputs] in float64, batch statistics in the norms."""
    gelu = np.vectorize(lambda v: v * (1 + math.erf(v / math.sqrt(2))) / 2)
    for fc, bn in (("fc1", "bn1"), ("fc2", "bn2")):
        x = x @ weights[f"{fc}/kernel"] + weights[f"{fc}/bias"]
        x = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
        x = gelu(x * weights[f"{bn}/gamma"] + weights[f"{bn}/beta"])
    return x @ weights["fc3/kernel"] + weights["fc3/bias"]


def test_head_is_the_textbook_formula_and_its_gradients_the_differences():
    random = np.random.default_rng(0)
    head = ProjectionHead(5, 7, 3)
    variables = {
        f"{layer}/{part}": getattr(getattr(head, layer), part)
        for layers, parts in (
            (("fc1", "fc2", "fc3"), ("kernel", "bias")),
            (("bn1", "bn2"), ("gamma", "beta")),
        )
        for layer in layers
        for part in parts
    }
    for variable in variables.values():
        variable.assign(random.normal(size=variable.shape))
    weights = {name: np.float64(ops.convert_to_numpy(v)) for name, v in variables.items()}
    x, cotangent = (random.normal(size=(6, n)).astype(np.float32) for n in (5, 3))

    def weighted_sum():
        out = head(x, training=True)
        return ops.sum(ops.multiply(out, cotangent)), out

    out, gradients = outputs_and_gradients(weighted_sum, list(variables.values()))
    assert relative_error(out, textbook_head(x, weights)) <= 1e-5
    for name, gradient in zip(variables, gradients, strict=True):
        if name in ("fc1/bias", "fc2/bias"):  # none: the norm takes the mean away
            continue
        direction = random.normal(size=gradient.shape)
        ahead, behind = (
            np.sum(textbook_head(x, weights | {name: weights[name] + step * direction}) * cotangent)
            for step in (1e-5, -1e-5)
        )
        # Of the gradient's length, not of the sum: signs may cancel in that.
        error = np.sum(gradient * direction) - (ahead - behind) / 2e-5
        assert abs(error) <= 1e-4 * np.linalg.norm(gradient), name


def test_running_statistics_move():
    head, x = ProjectionHead(5, 7, 3, seed=0), images(5).reshape(-1, 5)[:8]
    hidden = ops.convert_to_numpy(head.fc1(x))
    head(x, training=True)
    assert relative_error(head.bn1.running_mean, 0.1 * hidden.mean(0)) <= 1e-5
    assert relative_error(head.bn1.running_variance, 0.9 + 0.1 * hidden.var(0, ddof=1)) <= 1e-5


def test_branch_scales_are_zero_or_make_up_for_the_zeros():
    uniform = np.random.default_rng(0).uniform(size=(3, 2, 50)).astype(np.float32)
    kept = np.array([1, 0.8, 0.6])[:, None, None]
    expected = np.where(uniform < kept, 1 / kept, 0)
    assert 0 < np.mean(expected == 0) < 0.3
    scales = branch_scales(ops.convert_to_tensor(uniform), 0.4)
    assert relative_error(scales, expected) <= 1e-6


@pytest.mark.parametrize("jit", JIT, ids=lambda jit: "xla" if jit else "plain")
@pytest.mark.parametrize("recompute", [False, True], ids=["keep", "recompute"])
def test_stochastic_depth(recompute, jit):
    """CLS alone in the last block = block by block."""
    backbone = VisionTransformer(**TINY)
    uniform = np.random.default_rng(5).uniform(size=(3, 2, 5)).astype(np.float32)
    scales = branch_scales(ops.convert_to_tensor(uniform), 0.6)
    kept = np.array([0, 3, 4, 9])
    cotangent = np.random.default_rng(6).normal(size=(5, 12)).astype(np.float32)

    def cls_alone():
        cls = backbone.represent(images(16, 5), kept, branch_scales=scales, recompute=recompute)
        return ops.sum(ops.multiply(cls, cotangent)), cls

    def block_by_block():
        tokens = backbone.embed(images(16, 5), kept)
        for index, block in enumerate(backbone.blocks):
            tokens = block(tokens, branch_scales=scales[index])
        cls = backbone.norm(tokens)[:, 0]
        return ops.sum(ops.multiply(cls, cotangent)), cls

    variables = backbone.trainable_variables
    cls, gradients = outputs_and_gradients(cls_alone, variables, jit)
    expected, reference = outputs_and_gradients(block_by_block, variables, jit)
    assert relative_error(cls, expected) <= 1e-5
    for variable, ours, theirs in zip(variables, gradients, reference, strict=True):
        assert relative_error(ours, theirs) <= 1e-4, variable.path


def test_an_image_that_skips_every_branch_is_its_embedding():
    backbone = VisionTransformer(**TINY)
    scales = np.ones((3, 2, 2), np.float32)
    scales[:, :, 0] = 0
    scales = ops.convert_to_tensor(scales)
    cls = backbone.represent(images(16), branch_scales=scales)
    alone = backbone.norm(backbone.cls_token[:, 0] + backbone.positions[:, 0])
    assert relative_error(cls[:1], alone) <= 1e-5
    assert relative_error(cls[1:], backbone(images(16))[1][1:]) <= 1e-5


def test_bfloat16_agrees_with_float32():
    exact = Encoder(**TINY)
    half = Encoder(**TINY, dtype="mixed_bfloat16")
    half.set_weights(exact.get_weights())
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    _, cls = half(pixels)
    assert half.backbone.blocks[0].compute_dtype == "bfloat16"
    assert keras.backend.standardize_dtype(cls.dtype) == "float32"
    assert 0 < relative_error(cls, exact(pixels)[1]) <= 0.02


def test_every_weight_has_a_name_of_its_own():
    """Under PyTorch, Keras collects what `parameters()` gives by these names."""
    encoder = Encoder(**TINY)
    assert len({variable.path for variable in encoder.variables}) == len(encoder.variables)
    if BACKEND == "torch":
        parameters = {id(parameter) for parameter in encoder.parameters()}
        assert parameters == {id(variable.value) for variable in encoder.trainable_variables}
