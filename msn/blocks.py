"""Transformer blocks, written with `keras.ops` alone.

Blocks work on the tokens of all images as one matrix, [rows, width], whatever number of tokens an
image has: dense layers and norms take one matrix product for views of every size, and attention
alone splits the rows again. `Layout` says which rows belong together.

Sources: Dosovitskiy et al., arXiv 2010.11929, equations 2 and 3; facebookresearch/msn for the
initialisation and the fused projection; Huang et al., arXiv 1603.09382 (stochastic depth).
"""

import functools

import keras
import numpy as np
from keras import ops

GELU = {
    "erf": functools.partial(keras.activations.gelu, approximate=False),
    "tanh": functools.partial(keras.activations.gelu, approximate=True),
}


class Layout:
    """How rows of tokens divide into groups of images, each with its number of tokens.

    Args:
      groups: list of (images, tokens of each); `images` may be None when there is one group.
    """

    def __init__(self, groups):
        self.groups = list(groups)

    def split(self, rows, per_image=True):
        """[rows, width] -> list of [images, tokens, width], a group each.

        With `per_image=False` there is one row an image: [images, width] -> the same with one token.
        """
        counts = [(images, tokens if per_image else 1) for images, tokens in self.groups]
        parts = [rows]
        if len(counts) > 1:
            ends = np.cumsum([images * tokens for images, tokens in counts])
            parts = ops.split(rows, [int(end) for end in ends[:-1]], axis=0)
        width = rows.shape[-1]
        return [
            ops.reshape(part, (-1, tokens, width))
            for part, (_, tokens) in zip(parts, counts, strict=True)
        ]

    @staticmethod
    def join(parts):
        """list of [images, tokens, width] -> [rows, width]: the inverse of `split`."""
        parts = [ops.reshape(part, (-1, part.shape[-1])) for part in parts]
        return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=0)

    def first_tokens(self, rows):
        """The first token (CLS) of every image: [rows, width] -> [images, width]."""
        return self.join([part[:, :1] for part in self.split(rows)])

    def per_row(self, per_image):
        """One number an image -> one a row: [images] -> [rows, 1]."""
        columns = self.split(per_image[:, None], per_image=False)
        counts = [tokens for _, tokens in self.groups]
        return self.join(
            [ops.repeat(column, count, axis=1) for column, count in zip(columns, counts, strict=True)]
        )


class Block(keras.layers.Layer):
    """Pre-norm Transformer block."""

    def __init__(self, width, num_heads, mlp_ratio, epsilon, gelu, seeds, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        policy = self.dtype_policy
        self.norm1 = keras.layers.LayerNormalization(epsilon=epsilon, name="norm1", dtype=policy)
        self.attention = Attention(width, num_heads, seeds, name="attention", dtype=policy)
        self.norm2 = keras.layers.LayerNormalization(epsilon=epsilon, name="norm2", dtype=policy)
        self.fc1 = dense(int(width * mlp_ratio), seeds, "fc1", policy)
        self.activation = GELU[gelu]
        self.fc2 = dense(width, seeds, "fc2", policy)
        self.norm1.build((None, width))
        self.norm2.build((None, width))
        self.fc1.build((None, width))
        self.fc2.build((None, int(width * mlp_ratio)))
        self.built = True

    def call(self, tokens, layout, branch_scales=None):
        """Tokens [rows, width] -> the same shape.

        Args:
          layout: `Layout` of the rows.
          branch_scales: None, or [2, images]: what the attention's and the MLP's output are
            multiplied by (stochastic depth).
        """
        scales = (1.0, 1.0) if branch_scales is None else map(layout.per_row, branch_scales)
        attention_scale, mlp_scale = scales
        tokens = tokens + self.attention(self.norm1(tokens), layout=layout) * attention_scale
        return tokens + self.mlp(tokens) * mlp_scale

    def represent(self, tokens, layout, branch_scales=None):
        """What `call` gives for CLS, without the work for the other tokens: [images, width]."""
        scales = (1.0, 1.0) if branch_scales is None else branch_scales[..., None]
        cls = layout.first_tokens(tokens)
        cls = cls + self.attention.of_cls(self.norm1(tokens), layout) * scales[0]
        return cls + self.mlp(cls) * scales[1]

    def mlp(self, tokens):
        """The second branch: norm, dense, GELU, dense."""
        return self.fc2(self.activation(self.fc1(self.norm2(tokens))))


class Attention(keras.layers.Layer):
    """Multi-head self-attention with one fused projection to queries, keys and values."""

    def __init__(self, width, num_heads, seeds, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.num_heads = num_heads
        self.width = width
        self.qkv = dense(3 * width, seeds, "qkv", self.dtype_policy)
        self.out = dense(width, seeds, "out", self.dtype_policy)
        self.qkv.build((None, width))
        self.out.build((None, width))
        self.built = True

    def call(self, tokens, layout):
        """Tokens [rows, width] -> the same shape; each image attends to itself."""
        mixed = []
        for qkv in layout.split(self.qkv(tokens)):
            queries, keys, values = self.heads(qkv, 3)
            mixed.append(mix(attention_weights(queries, keys), values))
        return self.out(layout.join(mixed))

    def of_cls(self, tokens, layout):
        """What `call` gives for CLS: tokens [rows, width] -> [images, width]."""
        kernel, bias = (ops.cast(part, tokens.dtype) for part in (self.qkv.kernel, self.qkv.bias))
        width = self.width
        queries = ops.matmul(layout.first_tokens(tokens), kernel[:, :width]) + bias[:width]
        keys_values = ops.matmul(tokens, kernel[:, width:]) + bias[width:]
        mixed = []
        groups = zip(layout.split(queries, per_image=False), layout.split(keys_values), strict=True)
        for query, key_value in groups:
            keys, values = self.heads(key_value, 2)
            mixed.append(mix(attention_weights(*self.heads(query, 1), keys), values))
        return self.out(layout.join(mixed))

    def attention(self, tokens, layout):
        """Attention of each group, list of [images, heads, tokens, tokens], rows sum to 1."""
        groups = (self.heads(qkv, 3) for qkv in layout.split(self.qkv(tokens)))
        return [attention_weights(queries, keys) for queries, keys, _ in groups]

    def heads(self, projected, count):
        """[images, tokens, count * width] -> `count` of [images, heads, tokens, width / heads]."""
        head_width = self.width // self.num_heads
        parts = ops.reshape(projected, (-1, projected.shape[1], count, self.num_heads, head_width))
        return ops.unstack(ops.transpose(parts, (2, 0, 3, 1, 4)), count, axis=0)


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

    def __init__(self, features, momentum=0.1, epsilon=1e-5, name=None, dtype=None):
        # Statistics are never in half precision: nothing is cast behind our back.
        super().__init__(name=name, dtype=dtype, autocast=False)
        self.momentum = momentum
        self.epsilon = epsilon
        self.gamma = self.add_weight(name="gamma", shape=(features,), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(features,), initializer="zeros")
        self.running_mean = self.add_weight(
            name="running_mean", shape=(features,), initializer="zeros", trainable=False
        )
        self.running_variance = self.add_weight(
            name="running_variance", shape=(features,), initializer="ones", trainable=False
        )
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


def dense(units, seeds, name, dtype=None):
    """A dense layer with the reference's initialisation: small normal kernel, zero bias."""
    return keras.layers.Dense(
        units, kernel_initializer=small_normal(seeds), name=name, dtype=dtype
    )
