import numpy as np

from msn.heads import BatchNorm, ProjectionHead


def rows(n=6, width=4, seed=0):
    return np.random.default_rng(seed).normal(2.0, 3.0, (n, width)).astype(np.float32)


def test_batch_norm_standardises_a_batch():
    out = np.asarray(BatchNorm(4)(rows(), training=True))
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(out.std(axis=0), 1, atol=1e-4)


def test_running_statistics_follow_pytorchs_conventions():
    layer, x = BatchNorm(4), rows()
    layer(x, training=True)
    np.testing.assert_allclose(layer.running_mean, 0.1 * x.mean(axis=0), rtol=1e-5)
    unbiased = x.var(axis=0, ddof=1)
    np.testing.assert_allclose(layer.running_variance, 0.9 + 0.1 * unbiased, rtol=1e-5)
    before = np.asarray(layer.running_mean)
    layer(x, training=False)
    np.testing.assert_array_equal(layer.running_mean, before)


def test_running_statistics_are_used_without_training():
    layer, x = BatchNorm(4), rows()
    layer.running_mean.assign(np.full(4, 2.0))
    layer.running_variance.assign(np.full(4, 9.0))
    np.testing.assert_allclose(layer(x), (x - 2) / np.sqrt(9 + 1e-5), rtol=1e-5)


def test_parts_of_a_batch_have_their_own_statistics():
    head, x = ProjectionHead(4, 8, 3, seed=0), rows(8)
    together = np.asarray(head(x, training=True))
    apart = np.concatenate([head(x[:4], training=True), head(x[4:], training=True)])
    assert together.shape == (8, 3)
    assert np.abs(together - apart).max() > 1e-4


def test_parameters_of_the_published_head():
    head = ProjectionHead(384)  # 2048-2048-256 with two batch norms
    trained = 384 * 2048 + 2048 + 2048 * 2048 + 2048 + 2048 * 256 + 256 + 4 * 2048
    assert sum(np.prod(v.shape) for v in head.trainable_variables) == trained
