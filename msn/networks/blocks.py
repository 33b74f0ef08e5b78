"""Transformer blocks, written with `keras.ops` alone.

Sources: Dosovitskiy et al., arXiv 2010.11929, equations 2 and 3; facebookresearch/msn for the
initialisation and the fused projection; Huang et al., arXiv 1603.09382 (stochastic depth).
"""

import functools
import math

import keras
import numpy as np
from keras import ops


class Block(keras.layers.Layer):
    """Pre-norm Transformer block.

    In mixed precision the residual stream and the norms stay in float32; products do not.

    Args:
      width, num_heads, mlp_ratio, epsilon, gelu: as of `msn.networks.vit.VisionTransformer`.
      seeds: numpy Generator of the initialisation.
      layer_scale: whether each branch is multiplied by learnt factors (arXiv 2103.17239).
      swiglu: whether the MLP is gated: silu(a) * b instead of gelu(a) (arXiv 2002.05202); then
        `fc1` gives a and b side by side.
    """

    def __init__(
        self,
        width,
        num_heads,
        mlp_ratio,
        epsilon,
        gelu,
        seeds,
        layer_scale=False,
        swiglu=False,
        name=None,
        dtype="float32",
    ):
        super().__init__(name=name, dtype=dtype, autocast=False)
        policy, exact = self.dtype_policy, self.variable_dtype
        hidden = int(width * mlp_ratio)
        self.swiglu = swiglu
        # Names that no other block has: PyTorch collects an encoder's parameters by them.
        with keras.name_scope(self.name):
            self.norm1 = keras.layers.LayerNormalization(epsilon=epsilon, name="norm1", dtype=exact)
            self.attention = Attention(width, num_heads, seeds, name="attention", dtype=policy)
            self.norm2 = keras.layers.LayerNormalization(epsilon=epsilon, name="norm2", dtype=exact)
            self.fc1 = dense(hidden * (1 + swiglu), seeds, "fc1", policy)
            self.activation = GELU[gelu]
            self.fc2 = dense(width, seeds, "fc2", policy)
            self.norm1.build((None, None, width))
            self.norm2.build((None, None, width))
            self.fc1.build((None, None, width))
            self.fc2.build((None, None, hidden))
        self.layer_scales = layer_scale and [
            self.add_weight(name=name, shape=(width,), initializer="ones", dtype=exact)
            for name in ("layer_scale1", "layer_scale2")
        ]
        self.built = True

    def call(self, tokens, branch_scales=None, rotation=None):
        """Tokens [images, tokens, width] -> the same shape.

        Args:
          branch_scales: None, or [2, images]: what the attention's and the MLP's output are
            multiplied by (stochastic depth).
          rotation: None, or that of `msn.networks.embedding.rotary_positions` for these tokens.
        """
        scales = self.scales(branch_scales)
        attended = self.attention(self.norm1(tokens), rotation)
        tokens = tokens + ops.cast(attended, tokens.dtype) * scales[0]
        return tokens + self.mlp(tokens) * scales[1]

    def represent(self, tokens, branch_scales=None, rotation=None):
        """What `call` gives for CLS, without the work for other tokens: [images, 1, width]."""
        scales = self.scales(branch_scales)
        attended = self.attention.of_cls(self.norm1(tokens), rotation)
        cls = tokens[:, :1] + ops.cast(attended, tokens.dtype) * scales[0]
        return cls + self.mlp(cls) * scales[1]

    def scales(self, branch_scales):
        """What the two branches are multiplied by: LayerScale and stochastic depth together."""
        scales = (1.0, 1.0) if branch_scales is None else branch_scales[:, :, None, None]
        factors = self.layer_scales or (1.0, 1.0)
        return [factors[branch] * scales[branch] for branch in (0, 1)]

    def mlp(self, tokens):
        """The second branch: norm, dense, GELU (or a gate), dense."""
        hidden = self.fc1(self.norm2(tokens))
        if self.swiglu:
            gate, values = ops.split(hidden, 2, axis=-1)
            hidden = ops.silu(gate) * values
        else:
            hidden = self.activation(hidden)
        return ops.cast(self.fc2(hidden), tokens.dtype)


class Attention(keras.layers.Layer):
    """Multi-head self-attention with one fused projection to queries, keys and values."""

    def __init__(self, width, num_heads, seeds, name=None, dtype="float32"):
        super().__init__(name=name, dtype=dtype)
        self.num_heads = num_heads
        self.width = width
        self.qkv = dense(3 * width, seeds, "qkv", self.dtype_policy)
        self.out = dense(width, seeds, "out", self.dtype_policy)
        self.qkv.build((None, None, width))
        self.out.build((None, None, width))
        self.built = True

    def call(self, tokens, rotation=None):
        """Tokens [images, tokens, width] -> the same shape; each image attends to itself."""
        queries, keys, values = self.heads(self.qkv(tokens), 3)
        weights = attention_weights(rotate(queries, rotation), rotate(keys, rotation))
        return self.out(mix(weights, values))

    def of_cls(self, tokens, rotation=None):
        """What `call` gives for CLS: tokens [images, tokens, width] -> [images, 1, width]."""
        tokens, kernel, bias = (
            ops.cast(part, self.compute_dtype) for part in (tokens, self.qkv.kernel, self.qkv.bias)
        )
        width = self.width
        (queries,) = self.heads(ops.matmul(tokens[:, :1], kernel[:, :width]) + bias[:width], 1)
        keys, values = self.heads(ops.matmul(tokens, kernel[:, width:]) + bias[width:], 2)
        # The rotation of CLS, which has no place in the image, is none.
        return self.out(mix(attention_weights(queries, rotate(keys, rotation)), values))

    def weights_of(self, tokens, rotation=None):
        """Attention [images, heads, tokens, tokens], rows sum to 1."""
        queries, keys, _ = self.heads(self.qkv(tokens), 3)
        return attention_weights(rotate(queries, rotation), rotate(keys, rotation))

    def heads(self, projected, count):
        """[images, tokens, count * width] -> `count` of [images, heads, tokens, width / heads]."""
        head_width = self.width // self.num_heads
        parts = ops.reshape(projected, (-1, projected.shape[1], count, self.num_heads, head_width))
        return ops.unstack(ops.transpose(parts, (2, 0, 3, 1, 4)), count, axis=0)


def rotate(heads, rotation):
    """Queries or keys [images, heads, tokens, head width], turned by their places (RoPE).

    Args:
      rotation: None (they are returned as they are), or (cosines, sines), each [tokens, head
        width]; the number at place i of a head is turned with that at place i + half.
    """
    if rotation is None:
        return heads
    cosines, sines = rotation
    values = at_least_float32(heads)
    first, second = ops.split(values, 2, axis=-1)
    turned = values * cosines + ops.concatenate([-second, first], axis=-1) * sines
    return ops.cast(turned, heads.dtype)


def attention_weights(queries, keys):
    """softmax(q k^T / sqrt(head width)) in float32 or better, in the dtype of the queries.

    [images, heads, n, head width] and [images, heads, m, head width] -> [images, heads, n, m].
    """
    scores = ops.matmul(queries * queries.shape[-1] ** -0.5, ops.transpose(keys, (0, 1, 3, 2)))
    return ops.cast(ops.softmax(at_least_float32(scores), axis=-1), queries.dtype)


def mix(weights, values):
    """Weighted sums of values, heads side by side: -> [images, n, width]."""
    mixed = ops.transpose(ops.matmul(weights, values), (0, 2, 1, 3))
    return ops.reshape(mixed, (-1, mixed.shape[1], mixed.shape[2] * mixed.shape[3]))


def exact_gelu(x):
    """x times the standard normal distribution's cumulative function, in the dtype of x."""
    # Keras goes through erfc, which keeps the relative precision of results near 0, left of x = -5,
    # and takes 1.6 times as long. In half precision 1 + erf would lose results that count.
    values = at_least_float32(x)
    return ops.cast(0.5 * values * (1 + ops.erf(values * math.sqrt(0.5))), x.dtype)


GELU = {
    "erf": exact_gelu,
    "tanh": functools.partial(keras.activations.gelu, approximate=True),
}


def branch_scales(uniform, rate: float):
    """Stochastic depth (arXiv 1603.09382): what the branches of each image are multiplied by.

    Args:
      uniform: random numbers in 0..1, float [depth, 2, images].
      rate: share of images that skip a branch of the last block; it grows linearly from 0 at the
        first (facebookresearch/msn, src/deit.py).

    Returns:
      The same shape: 0 where a branch is skipped, else 1 / (share that is kept).
    """
    kept = ops.cast(1 - np.linspace(0, rate, uniform.shape[0])[:, None, None], uniform.dtype)
    return ops.cast(uniform < kept, uniform.dtype) / kept


class BatchNorm(keras.layers.Layer):
    """Batch normalisation with PyTorch's conventions, [..., features] -> the same shape.

    Keras' own layer keeps a running average of the biased variance; the reference (and therefore
    every checkpoint of it) keeps the unbiased one.
    """

    def __init__(self, features, momentum=0.1, epsilon=1e-5, name=None, dtype="float32"):
        # Statistics are never in half precision: nothing is cast behind our back. (The layer's
        # own `autocast` covers inputs, and weights only where another layer calls this one.)
        super().__init__(name=name, dtype=dtype, autocast=False)
        self.momentum = momentum
        self.epsilon = epsilon
        add = functools.partial(self.add_weight, shape=(features,), autocast=False)
        self.gamma = add(name="gamma", initializer="ones")
        self.beta = add(name="beta", initializer="zeros")
        self.running_mean = add(name="running_mean", initializer="zeros", trainable=False)
        self.running_variance = add(name="running_variance", initializer="ones", trainable=False)
        self.built = True

    def call(self, inputs, training=False):
        values = ops.cast(inputs, self.variable_dtype)
        if training:
            axes = tuple(range(len(inputs.shape) - 1))
            mean = ops.mean(values, axis=axes)
            variance = ops.mean(ops.square(values - mean), axis=axes)
            self.update(mean, variance, ops.size(values) // inputs.shape[-1])
        else:
            mean, variance = self.running_mean, self.running_variance
        scale = self.gamma * ops.rsqrt(variance + self.epsilon)
        return ops.cast((values - mean) * scale + self.beta, inputs.dtype)

    def update(self, mean, variance, count):
        """Moves the running statistics towards those of a batch of `count` rows."""
        count = ops.cast(count, self.variable_dtype)
        unbiased = variance * count / ops.maximum(count - 1, 1)
        for running, new in ((self.running_mean, mean), (self.running_variance, unbiased)):
            running.assign(running + self.momentum * (new - running))


def at_least_float32(x):
    """Half precision to float32, others as they are."""
    x = ops.convert_to_tensor(x)
    half = keras.backend.standardize_dtype(x.dtype) in ("float16", "bfloat16")
    return ops.cast(x, "float32") if half else x


def draw_seed(seeds: np.random.Generator) -> int:
    """An int seed for one initialiser."""
    return int(seeds.integers(2**31))


def small_normal(seeds):
    """Initialiser of every weight matrix, of CLS and of the positions."""
    # The reference truncates at +-2 absolute, a hundred standard deviations out: plain normal.
    return keras.initializers.RandomNormal(stddev=0.02, seed=draw_seed(seeds))


def dense(units, seeds, name, dtype="float32"):
    """A dense layer with the reference's initialisation: small normal kernel, zero bias."""
    return keras.layers.Dense(units, kernel_initializer=small_normal(seeds), name=name, dtype=dtype)
