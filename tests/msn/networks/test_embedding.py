import numpy as np
import pytest
import tensorflow as tf

from msn.networks.embedding import ConvStem, bicubic_matrix, he_normal, position_matrix


def images(batch=2, rows=16, columns=16):
    random = np.random.default_rng(0)
    return random.normal(size=(batch, rows, columns, 3)).astype(np.float32)


@pytest.fixture
def stem():
    stem = ConvStem((5, 7), 12, np.random.default_rng(1))
    seeds = np.random.default_rng(2)
    for variable in stem.weights:  # running variances must be positive
        variable.assign(seeds.uniform(0.2, 0.8, variable.shape))
    for layer in (*stem.convolutions, stem.projection):
        layer.kernel.assign(seeds.normal(size=layer.kernel.shape, scale=0.4))
    return stem


def convolve(images, kernel):
    """3x3, stride 2, one pixel of zeros on every side, by its definition."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows, columns = images.shape[1] // 2, images.shape[2] // 2
    out = np.empty((len(images), rows, columns, kernel.shape[-1]))
    for row in range(rows):
        for column in range(columns):
            window = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            out[:, row, column] = np.tensordot(window, kernel, 3)
    return out


@pytest.mark.parametrize("training", [False, True])
def test_the_stem_is_its_definition(stem, training):
    expected = images(columns=24).astype(np.float64)
    for convolution, norm in zip(stem.convolutions, stem.norms, strict=True):
        expected = convolve(expected, np.asarray(convolution.kernel))
        mean, variance = np.asarray(norm.running_mean), np.asarray(norm.running_variance)
        if training:
            mean, variance = expected.mean(axis=(0, 1, 2)), expected.var(axis=(0, 1, 2))
        expected = (expected - mean) / np.sqrt(variance + 1e-5)
        expected = np.maximum(expected * np.asarray(norm.gamma) + np.asarray(norm.beta), 0)
    expected = expected @ np.asarray(stem.projection.kernel) + np.asarray(stem.projection.bias)
    out = stem(images(columns=24), training=training)
    assert out.shape == (2, 4 * 6, 12)
    np.testing.assert_allclose(out, expected.reshape(2, 24, 12), rtol=1e-4, atol=1e-4)


def test_the_stem_starts_as_the_reference():
    stem = ConvStem((64, 256), 384, np.random.default_rng(0))
    for layer, fan_in in zip((*stem.convolutions, stem.projection), (27, 576, 256), strict=True):
        deviation = np.std(layer.kernel)
        assert deviation == pytest.approx(np.sqrt(2 / fan_in), rel=0.05)
        assert not layer.use_bias or not np.any(layer.bias)
    assert not any(convolution.use_bias for convolution in stem.convolutions)
    kernels = [np.asarray(he_normal(27, np.random.default_rng(s))((3, 3, 3, 8))) for s in (1, 1, 2)]
    assert np.array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])


def test_statistics_of_a_stem_in_half_precision_are_single():
    half = ConvStem((5, 7), 12, np.random.default_rng(1), dtype="mixed_bfloat16")
    single = ConvStem((5, 7), 12, np.random.default_rng(1))
    out, exact = (stem(images(), training=True) for stem in (half, single))
    assert out.dtype == tf.bfloat16
    assert {weight.dtype for weight in half.weights} == {"float32"}
    np.testing.assert_allclose(tf.cast(out, tf.float32), exact, atol=0.05)
    for ours, theirs in zip(half.norms, single.norms, strict=True):
        np.testing.assert_allclose(ours.running_mean, theirs.running_mean, atol=1e-3)
        np.testing.assert_allclose(ours.running_variance, theirs.running_variance, rtol=1e-2)


@pytest.mark.parametrize("size, new_size", [(4, 2), (14, 6), (3, 7), (5, 5)])
def test_bicubic_rows_sum_to_one_and_keep_lines_straight(size, new_size):
    matrix = bicubic_matrix(size, new_size)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    centres = (np.arange(new_size) + 0.5) * size / new_size - 0.5
    inner = (centres >= 1) & (centres <= size - 2)
    np.testing.assert_allclose((matrix @ np.arange(size))[inner], centres[inner], atol=0.05)
    if size == new_size:
        np.testing.assert_allclose(matrix, np.eye(size), atol=1e-12)


def test_the_bicubic_kernel_is_pytorchs():
    """Halfway between samples, a = -0.75 weighs the near ones (4 - a) / 8, the far ones a / 8."""
    matrix = bicubic_matrix(8, 4)  # every centre is halfway
    np.testing.assert_allclose(matrix[1, 1:5], np.array([-0.75, 4.75, 4.75, -0.75]) / 8)


def test_positions_are_interpolated_along_rows_and_columns():
    field = np.random.default_rng(0).normal(size=(5, 5, 3))
    expected = np.einsum("ri,cj,ijw->rcw", bicubic_matrix(5, 3), bicubic_matrix(5, 7), field)
    out = position_matrix(5, 3, 7) @ field.reshape(25, 3)
    np.testing.assert_allclose(out, expected.reshape(21, 3), atol=1e-12)
