import numpy as np
import pytest
import tensorflow as tf

from msn.method.optimizer import AdamW, clip_by_global_norm


def test_adamw_is_the_published_algorithm():
    """Against the algorithm of arXiv 1711.05101 written out in float64."""
    random = np.random.default_rng(0)
    value = random.normal(size=(3, 2))
    variable = tf.Variable(value, dtype=tf.float64)
    optimizer = AdamW([variable], [True])
    first = second = np.zeros_like(value)
    for step in range(1, 6):
        gradient, rate, decay = random.normal(size=(3, 2)), 0.01 * step, 0.1 * step
        gradient[0] *= 1e-8  # where epsilon counts
        optimizer.apply([tf.constant(gradient)], rate, decay)
        value = value * (1 - rate * decay)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        value = value - rate * (first / (1 - 0.9**step)) / (
            np.sqrt(second / (1 - 0.999**step)) + 1e-8
        )
        np.testing.assert_allclose(variable.numpy(), value, rtol=1e-7)


def test_decay_only_where_it_applies():
    decayed, exempt = tf.Variable([1.0]), tf.Variable([1.0])
    AdamW([decayed, exempt], [True, False]).apply([tf.zeros(1), tf.zeros(1)], 0.1, 0.5)
    np.testing.assert_allclose(decayed.numpy(), [0.95])
    np.testing.assert_array_equal(exempt.numpy(), [1.0])


def test_without_an_update_nothing_moves_whatever_the_gradients():
    variable = tf.Variable([1.0, -2.0])
    optimizer = AdamW([variable], [True])
    optimizer.apply([tf.constant([0.5, 3.0])], 0.1, 0.5)
    state = [optimizer.steps, variable, *optimizer.first, *optimizer.second]
    before = [value.numpy() for value in state]
    for gradient in ([np.nan, 1.0], [1.0, np.inf], [2.0, 3.0]):
        optimizer.apply([tf.constant(gradient)], 0.1, 0.5, update=tf.constant(False))
        for value, old in zip(state, before, strict=True):
            np.testing.assert_array_equal(value, old)
    optimizer.apply([tf.constant([2.0, 3.0])], 0.1, 0.5)
    assert int(optimizer.steps) == 2
    assert not any(np.array_equal(value, old) for value, old in zip(state, before, strict=True))


def test_what_is_given_for_other_variables_is_refused():
    with pytest.raises(ValueError, match="shorter"):
        AdamW([tf.Variable([1.0])], [True]).apply([], 0.1, 0.0)


def test_clipping_scales_all_gradients_alike():
    gradients = [tf.constant([3.0, 0.0]), tf.constant([[4.0]])]
    clipped, norm = clip_by_global_norm(gradients, 1.0)
    assert float(norm) == 5.0
    np.testing.assert_allclose(clipped[0], [0.6, 0.0], rtol=1e-5)
    np.testing.assert_allclose(clipped[1], [[0.8]], rtol=1e-5)


def test_the_references_epsilon_is_in_the_scale():
    clipped, norm = clip_by_global_norm([tf.constant([1e-5])], 1e-6)
    np.testing.assert_allclose(clipped[0], [1e-5 * 1e-6 / (1e-5 + 1e-6)], rtol=1e-5)
    assert float(norm) == np.float32(1e-5)


def test_small_gradients_and_no_limit_stay_as_they_are():
    gradients = [tf.constant([0.3, 0.4])]
    for limit in (1.0, 0):
        clipped, _ = clip_by_global_norm(gradients, limit)
        np.testing.assert_array_equal(clipped[0], gradients[0])
