"""The projection head between the encoder and the prototypes.

Sources: Assran et al., arXiv 2204.07141, appendix (3-layer MLP with batch normalisation,
2048-2048-256); facebookresearch/msn (GELU, initialisation); PyTorch's BatchNorm1d conventions.
"""

import keras
import numpy as np
from keras import ops

from msn.blocks import GELU, dense


class ProjectionHead(keras.Model):
    """dense, batch norm, GELU, dense, batch norm, GELU, dense: [n, input_dim] -> [n, output_dim].

    Args:
      input_dim, hidden_dim, output_dim: ints.
      seed: int or None; of the random initialisation.

    Call arguments:
      embeddings: float [n, input_dim]. What enters together shares batch statistics.
      training: bool; with True, batch statistics are used and the running ones move.
    """

    def __init__(self, input_dim, hidden_dim=2048, output_dim=256, seed=None, name=None):
        super().__init__(name=name)
        self.input_dim = input_dim
        self.hidden_dim = hidden_dim
        self.output_dim = output_dim
        seeds = np.random.default_rng(seed)
        self.fc1 = dense(hidden_dim, seeds, "fc1")
        self.bn1 = BatchNorm(hidden_dim, name="bn1")
        self.fc2 = dense(hidden_dim, seeds, "fc2")
        self.bn2 = BatchNorm(hidden_dim, name="bn2")
        self.fc3 = dense(output_dim, seeds, "fc3")
        self.fc1.build((None, input_dim))
        self.fc2.build((None, hidden_dim))
        self.fc3.build((None, hidden_dim))
        self.built = True

    def call(self, embeddings, training=False):
        hidden = GELU["erf"](self.bn1(self.fc1(embeddings), training=training))
        hidden = GELU["erf"](self.bn2(self.fc2(hidden), training=training))
        return self.fc3(hidden)


class BatchNorm(keras.layers.Layer):
    """Batch normalisation with PyTorch's conventions, [n, features] -> the same shape.

    Keras' own layer keeps a running average of the biased variance; the reference (and therefore
    every checkpoint of it) keeps the unbiased one.
    """

    def __init__(self, features, momentum=0.1, epsilon=1e-5, name=None):
        super().__init__(name=name)
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
        values = ops.cast(inputs, self.variable_dtype)  # statistics never in half precision
        if training:
            mean = ops.mean(values, axis=0)
            variance = ops.mean(ops.square(values - mean), axis=0)
            self.update(mean, variance, ops.shape(values)[0])
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
