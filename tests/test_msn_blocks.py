import numpy as np

from msn.blocks import GELU, Attention, Block

SEEDS = np.random.default_rng(0)


def tokens(shape=(2, 5, 8)):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_attention_is_the_textbook_formula():
    layer = Attention(8, 2, SEEDS)
    for variable in layer.trainable_variables:
        variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    x = tokens()
    qkv = x @ np.asarray(layer.qkv.kernel) + np.asarray(layer.qkv.bias)
    heads = []
    for head in range(2):
        q, k, v = (qkv[..., 8 * i + 4 * head : 8 * i + 4 * head + 4] for i in range(3))
        scores = np.exp(q @ k.transpose(0, 2, 1) / 2.0)  # sqrt of the head's width
        heads.append(scores / scores.sum(-1, keepdims=True) @ v)
    expected = np.concatenate(heads, -1) @ np.asarray(layer.out.kernel) + np.asarray(layer.out.bias)
    np.testing.assert_allclose(layer(x), expected, rtol=2e-4, atol=2e-4)


def test_tokens_are_treated_alike_wherever_they_stand():
    block = Block(8, 2, 4, 1e-6, "erf", SEEDS)
    order = np.array([3, 0, 4, 1, 2])
    np.testing.assert_allclose(
        block(tokens()[:, order]), np.asarray(block(tokens()))[:, order], atol=1e-5
    )


def test_a_block_with_zero_outputs_is_the_identity():
    block = Block(8, 2, 4, 1e-6, "erf", SEEDS)
    for layer in (block.attention.out, block.fc2):
        layer.kernel.assign(np.zeros(layer.kernel.shape))
    np.testing.assert_array_equal(block(tokens()), tokens())


def test_the_two_gelus_differ_as_known():
    x = np.linspace(-4, 4, 101).astype(np.float32)
    erf, tanh = (np.asarray(GELU[name](x)) for name in ("erf", "tanh"))
    assert 1e-4 < np.abs(erf - tanh).max() < 1e-3  # Hendrycks and Gimpel, arXiv 1606.08415
    np.testing.assert_allclose(erf[75], 2.0 * 0.9772499, rtol=1e-5)
