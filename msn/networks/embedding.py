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
from msn.networks.options import INTERPOLATIONS


class ConvStem(keras.layers.Layer):
    """3x3 convolutions of stride 2 with batch norm and ReLU, then one of 1x1.

    Args:
      channels: of each 3x3 convolution; every one halves height and width.
      width: of the tokens.
      seeds: numpy Generator of the initialisation.
    """

    def __init__(self, channels, width, seeds, name=None, dtype="float32"):
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
                data_format="channels_last",
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
def position_matrix(
    grid: int, rows: int, columns: int, interpolation: str = "bicubic"
) -> np.ndarray:
    """Interpolation of grid x grid positions, float64 [rows * columns, grid * grid].

    `interpolation` is one of INTERPOLATIONS.
    """
    matrix_of = functools.partial(bicubic_matrix, grid, **INTERPOLATIONS[interpolation])
    return np.kron(matrix_of(rows), matrix_of(columns))


@functools.lru_cache
def bicubic_matrix(
    size: int, new_size: int, antialias: bool = False, offset: float = 0.0
) -> np.ndarray:
    """Bicubic interpolation of `size` samples to `new_size` as a matrix, float64 [new_size, size].

    PyTorch's: half-pixel centres; borders repeated and a kernel with a = -0.75 (TensorFlow's has
    -0.5), as the reference interpolates position embeddings; or, with anti-aliasing, a = -0.5, a
    kernel as wide as a new sample, and borders left out. `offset` is added to the new size where
    the scale is computed.
    """
    a, scale = (-0.5 if antialias else -0.75), size / (new_size + offset)
    stretch = max(scale, 1.0) if antialias else 1.0

    def kernel(x):
        x = abs(x) / stretch
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0

    matrix = np.zeros((new_size, size))
    for row in range(new_size):
        centre = (row + 0.5) * scale - 0.5
        reach = math.ceil(2 * stretch)
        for tap in range(math.floor(centre) + 1 - reach, math.floor(centre) + 1 + reach):
            if antialias and not 0 <= tap < size:
                continue
            matrix[row, min(max(tap, 0), size - 1)] += kernel(centre - tap)
    return matrix / matrix.sum(axis=1, keepdims=True) if antialias else matrix


def resampled_kernel(kernel: np.ndarray, size: int, new_size: int) -> np.ndarray:
    """The projection of patches [size * size * 3, width] for patches of another size.

    The one that is nearest, over all patches, in what it gives for a patch that is resized
    bilinearly; the same where patches are enlarged (FlexiViT: Beyer et al., arXiv 2212.08013,
    section 3.4).
    """
    if size == new_size:
        return kernel
    inverse = np.linalg.pinv(linear_matrix(size, new_size)).T
    values = kernel.reshape(size, size, -1)
    values = np.einsum("ai,bj,ijk->abk", inverse, inverse, values)
    return values.reshape(new_size**2 * 3, -1).astype(kernel.dtype)


def linear_matrix(size: int, new_size: int) -> np.ndarray:
    """Linear interpolation of `size` samples to `new_size`, float64 [new_size, size].

    Half-pixel centres, borders repeated, no anti-aliasing.
    """
    matrix = np.zeros((new_size, size))
    for row in range(new_size):
        centre = (row + 0.5) * size / new_size - 0.5
        first = math.floor(centre)
        for tap, share in ((first, first + 1 - centre), (first + 1, centre - first)):
            matrix[row, min(max(tap, 0), size - 1)] += share
    return matrix


@functools.lru_cache
def rotary_positions(rows: int, columns: int, head_width: int, theta: float) -> np.ndarray:
    """Rotary positions of patches as DINOv3 has them, float64 [2, rows * columns, head width].

    Cosines and sines of angles: a patch's centre, both coordinates in -1..1 over the image, times
    2 pi over periods from 1 to almost `theta`; one quarter of a head for the height, one for the
    width, and the same again for its other half (Simeoni et al., arXiv 2508.10104, section 3.2).
    """
    periods = theta ** (np.arange(head_width // 4) / (head_width // 4))
    places = [2 * (np.arange(count) + 0.5) / count - 1 for count in (rows, columns)]
    centres = np.stack(np.meshgrid(*places, indexing="ij"), axis=-1).reshape(-1, 2, 1)
    angles = (2 * math.pi * centres / periods).reshape(rows * columns, -1)
    angles = np.tile(angles, 2)
    return np.stack([np.cos(angles), np.sin(angles)])
