import numpy as np

from msn.method.heads import ProjectionHead


def rows(n=6, width=4, seed=0):
    return np.random.default_rng(seed).normal(2.0, 3.0, (n, width)).astype(np.float32)


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
