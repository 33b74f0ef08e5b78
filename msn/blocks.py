"""Transformer blocks, written with `keras.ops` alone.

Sources: Dosovitskiy et al., arXiv 2010.11929, equations 2 and 3; facebookresearch/msn for the
initialisation and the fused projection.
"""

import functools

import keras
import numpy as np
from keras import ops

GELU = {
    "erf": functools.partial(keras.activations.gelu, approximate=False),
    "tanh": functools.partial(keras.activations.gelu, approximate=True),
}


class Block(keras.layers.Layer):
    """Pre-norm Transformer block, [batch, tokens, width] -> the same shape."""

    def __init__(self, width, num_heads, mlp_ratio, epsilon, gelu, seeds, name=None):
        super().__init__(name=name)
        self.norm1 = keras.layers.LayerNormalization(epsilon=epsilon, name="norm1")
        self.attention = Attention(width, num_heads, seeds, name="attention")
        self.norm2 = keras.layers.LayerNormalization(epsilon=epsilon, name="norm2")
        self.fc1 = dense(int(width * mlp_ratio), seeds, "fc1")
        self.activation = GELU[gelu]
        self.fc2 = dense(width, seeds, "fc2")
        self.norm1.build((None, None, width))
        self.norm2.build((None, None, width))
        self.fc1.build((None, None, width))
        self.fc2.build((None, None, int(width * mlp_ratio)))
        self.built = True

    def call(self, tokens):
        tokens = tokens + self.attention(self.norm1(tokens))
        return tokens + self.fc2(self.activation(self.fc1(self.norm2(tokens))))


class Attention(keras.layers.Layer):
    """Multi-head self-attention with one fused projection to queries, keys and values."""

    def __init__(self, width, num_heads, seeds, name=None):
        super().__init__(name=name)
        self.num_heads = num_heads
        self.width = width
        self.qkv = dense(3 * width, seeds, "qkv")
        self.out = dense(width, seeds, "out")
        self.qkv.build((None, None, width))
        self.out.build((None, None, width))
        self.built = True

    def call(self, tokens):
        weights, values = self.weights_and_values(tokens)
        mixed = ops.transpose(ops.matmul(weights, values), (0, 2, 1, 3))
        return self.out(ops.reshape(mixed, (-1, tokens.shape[1], self.width)))

    def weights_and_values(self, tokens):
        """Attention [batch, heads, tokens, tokens]; values [batch, heads, tokens, width/heads]."""
        head_width = self.width // self.num_heads
        qkv = ops.reshape(self.qkv(tokens), (-1, tokens.shape[1], 3, self.num_heads, head_width))
        queries, keys, values = ops.unstack(ops.transpose(qkv, (2, 0, 3, 1, 4)), 3, axis=0)
        scores = ops.matmul(queries * head_width**-0.5, ops.transpose(keys, (0, 1, 3, 2)))
        return ops.softmax(scores, axis=-1), values


def draw_seed(seeds: np.random.Generator) -> int:
    """An int seed for one initialiser."""
    return int(seeds.integers(2**31))


def small_normal(seeds):
    """Initialiser of every weight matrix, of CLS and of the positions."""
    # The reference truncates at +-2 absolute, a hundred standard deviations out: plain normal.
    return keras.initializers.RandomNormal(stddev=0.02, seed=draw_seed(seeds))


def dense(units, seeds, name):
    """A dense layer with the reference's initialisation: small normal kernel, zero bias."""
    return keras.layers.Dense(units, kernel_initializer=small_normal(seeds), name=name)
