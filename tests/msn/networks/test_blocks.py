import math

import numpy as np
import pytest
import tensorflow as tf

from msn.networks.blocks import (
    GELU,
    Attention,
    BatchNorm,
    Block,
    attention_weights,
    branch_scales,
)

SEEDS = np.random.default_rng(0)


def rows(count=10, width=8, seed=0):
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def tokens(images=2, seed=0):
    """[images, 5, 8]"""
    return rows(5 * images, seed=seed).reshape(images, 5, 8)


def large_weights(layer):
    """Weights that are large enough for mistakes to show."""
    seeds = np.random.default_rng(1)
    for variable in layer.trainable_variables:
        variable.assign(seeds.normal(size=variable.shape, scale=0.5))
    return layer


def create_block(dtype=None):
    return large_weights(Block(8, 2, 4, 1e-6, "erf", SEEDS, dtype=dtype))


def test_exact_gelu_is_x_times_the_normal_distribution():
    x = np.linspace(-8, 8, 401, dtype=np.float32)
    expected = [value * (1 + math.erf(value / math.sqrt(2))) / 2 for value in x.tolist()]
    np.testing.assert_allclose(GELU["erf"](x), expected, rtol=1e-6, atol=5e-7)
    half = tf.cast(x, tf.bfloat16)
    rounded = tf.cast(GELU["erf"](tf.cast(half, tf.float32)), tf.bfloat16)
    np.testing.assert_array_equal(GELU["erf"](half), rounded)  # nothing but the result is rounded


def test_attention_is_the_textbook_formula():
    layer = large_weights(Attention(8, 2, SEEDS))
    x = tokens()
    qkv = x @ np.asarray(layer.qkv.kernel) + np.asarray(layer.qkv.bias)
    heads, weights = [], []
    for head in range(2):
        q, k, v = (qkv[..., 8 * i + 4 * head : 8 * i + 4 * head + 4] for i in range(3))
        scores = np.exp(q @ k.transpose(0, 2, 1) / 2.0)  # sqrt of the head's width
        weights.append(scores / scores.sum(-1, keepdims=True))
        heads.append(weights[-1] @ v)
    expected = np.concatenate(heads, -1) @ np.asarray(layer.out.kernel) + np.asarray(layer.out.bias)
    np.testing.assert_allclose(layer(x), expected, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(layer.weights_of(x), np.stack(weights, 1), rtol=2e-4, atol=2e-5)


def test_tokens_are_treated_alike_wherever_they_stand():
    block = create_block()
    order = np.array([3, 0, 4, 1, 2])
    np.testing.assert_allclose(
        block(tokens()[:, order]), np.asarray(block(tokens()))[:, order], atol=1e-5
    )


def test_images_do_not_see_each_other():
    block = create_block()
    np.testing.assert_allclose(block(tokens())[1:], block(tokens()[1:]), atol=1e-5)


@pytest.mark.parametrize("scaled", [False, True])
def test_represent_is_what_call_gives_for_cls(scaled):
    """Outputs, and the gradients of tokens and weights, in float64."""
    block = create_block("float64")
    x = tf.constant(tokens(), tf.float64)
    scales = tf.constant(rows(2, 2, seed=2), tf.float64) if scaled else None
    towards = tf.constant(rows(2, seed=3), tf.float64)
    variables = [variable.value for variable in block.trainable_variables]
    results = []
    for run in (
        lambda x: block(x, branch_scales=scales)[:, 0],
        lambda x: block.represent(x, scales)[:, 0],
    ):
        with tf.GradientTape() as tape:
            tape.watch(x)
            cls = run(x)
            loss = tf.reduce_sum(cls * towards)
        results.append([cls, *tape.gradient(loss, [x, *variables])])
    for called, represented in zip(*results, strict=True):
        assert np.abs(called).max() > 1e-3
        np.testing.assert_allclose(represented, called, rtol=1e-9, atol=1e-10)


def test_a_block_with_zero_outputs_is_the_identity():
    block = Block(8, 2, 4, 1e-6, "erf", SEEDS)
    for layer in (block.attention.out, block.fc2):
        layer.kernel.assign(np.zeros(layer.kernel.shape))
    np.testing.assert_array_equal(block(tokens()), tokens())


def test_branches_are_scaled_image_by_image():
    block, x = create_block(), tokens()
    #                          attention   MLP, of image 0 and 1
    scales = tf.constant([[3.0, 0.0], [0.0, 0.0]])
    out = np.asarray(block(x, branch_scales=scales))
    np.testing.assert_array_equal(out[1], x[1])
    attended = np.asarray(block.attention(block.norm1(x)))
    np.testing.assert_allclose(out[0], x[0] + 3 * attended[0], rtol=1e-5, atol=1e-5)
    scales = tf.constant([[0.0, 1.0], [2.0, 1.0]])
    out = np.asarray(block(x, branch_scales=scales))
    np.testing.assert_allclose(out[1], np.asarray(block(x))[1], rtol=1e-5, atol=1e-5)
    mlp = np.asarray(block.mlp(x))
    np.testing.assert_allclose(out[0], x[0] + 2 * mlp[0], rtol=1e-5, atol=1e-5)


def test_stochastic_depth_skips_the_right_share_of_images():
    uniform = np.random.default_rng(0).uniform(size=(5, 2, 20_000)).astype(np.float32)
    scales = np.asarray(branch_scales(uniform, 0.4))
    for block, skipped in enumerate([0, 0.1, 0.2, 0.3, 0.4]):  # linear
        kept = scales[block][scales[block] > 0]
        np.testing.assert_allclose(kept, 1 / (1 - skipped), rtol=1e-6)
        # Five standard deviations of a share of 40,000.
        share = 1 - kept.size / scales[block].size
        assert abs(share - skipped) <= 5 * np.sqrt(skipped * (1 - skipped) / 40_000)
    assert abs(scales.mean() - 1) < 0.01
    np.testing.assert_array_equal(branch_scales(uniform, 0.0), np.ones_like(uniform))


def test_attention_weights_keep_their_precision():
    queries, keys = (tf.cast(rows(40, 8, s).reshape(1, 2, 20, 8), tf.bfloat16) for s in (0, 1))
    weights = attention_weights(queries, keys)
    assert weights.dtype == tf.bfloat16
    exact = attention_weights(*(tf.cast(x, tf.float64) for x in (queries, keys)))
    # Scores and weights are rounded to eight bits once.
    np.testing.assert_allclose(tf.cast(weights, tf.float64), exact, rtol=0.03)
    np.testing.assert_allclose(tf.reduce_sum(tf.cast(weights, tf.float32), -1), 1, atol=0.01)


@pytest.mark.parametrize("shape", [(6, 4), (2, 3, 5, 4)])
def test_batch_norm_standardises_each_feature_over_all_the_rest(shape):
    layer, x = BatchNorm(4), 2 + 3 * rows(np.prod(shape) // 4, 4).reshape(shape)
    out, flat = np.asarray(layer(x, training=True)).reshape(-1, 4), x.reshape(-1, 4)
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(out.std(axis=0), 1, atol=1e-4)
    # PyTorch's conventions: momentum 0.1, and the unbiased variance.
    np.testing.assert_allclose(layer.running_mean, 0.1 * flat.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(
        layer.running_variance, 0.9 + 0.1 * flat.var(axis=0, ddof=1), rtol=1e-5
    )


def test_running_statistics_are_used_and_stay_without_training():
    layer, x = BatchNorm(4), rows(6, 4)
    layer.running_mean.assign(np.full(4, 2.0))
    layer.running_variance.assign(np.full(4, 9.0))
    np.testing.assert_allclose(layer(x), (x - 2) / np.sqrt(9 + 1e-5), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(layer.running_mean, np.full(4, 2.0))
    np.testing.assert_array_equal(layer.running_variance, np.full(4, 9.0))


def test_batch_statistics_of_half_precision_are_single():
    """A mean of 4096 numbers in bfloat16 would stop at 256."""
    layer, x = BatchNorm(4, dtype="mixed_bfloat16"), tf.cast(1 + rows(4096, 4), tf.bfloat16)
    assert layer(x, training=True).dtype == tf.bfloat16
    exact = np.asarray(tf.cast(x, tf.float64))
    assert layer.running_mean.dtype == layer.running_variance.dtype == "float32"
    np.testing.assert_allclose(layer.running_mean, 0.1 * exact.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(
        layer.running_variance, 0.9 + 0.1 * exact.var(axis=0, ddof=1), rtol=1e-5
    )


def test_the_two_gelus_differ_as_known():
    x = np.linspace(-4, 4, 101).astype(np.float32)
    erf, tanh = (np.asarray(GELU[name](x)) for name in ("erf", "tanh"))
    assert 1e-4 < np.abs(erf - tanh).max() < 1e-3  # Hendrycks and Gimpel, arXiv 1606.08415
    np.testing.assert_allclose(erf[75], 2.0 * 0.9772499, rtol=1e-5)
