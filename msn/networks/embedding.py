"""From pixels to patch tokens: the convolutional stem, and interpolated positions.

Sources: Xiao et al., arXiv 2106.14881 (stem); facebookresearch/msn, src/deit.py (its layers and
initialisation); Assran et al., arXiv 2204.07141 (focal views enter with interpolated positions).
"""

import functools
import math

import keras
import numpy as np
from keras import ops

from msn.networks.blocks import BatchNorm, draw_seed


class ConvStem(keras.layers.Layer):
    """3x3 convolutions of stride 2 with batch norm and ReLU, then one of 1x1.

    Args:
      channels: of each 3x3 convolution; every one halves height and width.
      width: of the tokens.
      seeds: numpy Generator of the initialisation.
    """

    def __init__(self, channels, width, seeds, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        policy = self.dtype_policy
        self.convolutions, self.norms = [], []
        inputs = (3, *channels)
        for index, count in enumerate(channels):
            convolution = keras.layers.Conv2D(
                count,
                3,
                strides=2,
                use_bias=False,
                kernel_initializer=he_normal(9 * inputs[index], seeds),
                name=f"conv{index}",
                dtype=policy,
            )
            convolution.build((None, None, None, inputs[index]))
            self.convolutions.append(convolution)
            self.norms.append(BatchNorm(count, name=f"norm{index}", dtype=policy))
        self.projection = keras.layers.Dense(
            width, kernel_initializer=he_normal(inputs[-1], seeds), name="projection", dtype=policy
        )
        self.projection.build((None, inputs[-1]))
        self.built = True

    def call(self, images, training=False):
        """Images [batch, height, width, 3] -> [batch, patches, width], row by row."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            # One pixel on every side, as PyTorch pads; "same" would pad the far sides alone.
            images = ops.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
            images = ops.relu(norm(convolution(images), training=training))
        rows, columns, channels = images.shape[1:]
        return self.projection(ops.reshape(images, (-1, rows * columns, channels)))


def he_normal(fan_in: int, seeds: np.random.Generator):
    """He normal over the fan-in, as the reference initialises its convolutions."""
    return keras.initializers.RandomNormal(stddev=math.sqrt(2 / fan_in), seed=draw_seed(seeds))


@functools.lru_cache
def position_matrix(grid: int, rows: int, columns: int) -> np.ndarray:
    """Bicubic interpolation of grid x grid positions, float64 [rows * columns, grid * grid]."""
    return np.kron(bicubic_matrix(grid, rows), bicubic_matrix(grid, columns))


@functools.lru_cache
def bicubic_matrix(size: int, new_size: int) -> np.ndarray:
    """Bicubic interpolation of `size` samples to `new_size` as a matrix, float64 [new_size, size].

    PyTorch's kernel (a = -0.75; TensorFlow's has -0.5) with half-pixel centres, no anti-aliasing,
    borders repeated: what the reference does to position embeddings.
    """

    def kernel(x, a=-0.75):
        x = abs(x)
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0

    matrix = np.zeros((new_size, size))
    for row in range(new_size):
        centre = (row + 0.5) * size / new_size - 0.5
        for tap in range(math.floor(centre) - 1, math.floor(centre) + 3):
            matrix[row, min(max(tap, 0), size - 1)] += kernel(centre - tap)
    return matrix
