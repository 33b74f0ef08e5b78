"""A train step whose loss is not finite, and what the others say about collapse."""

import numpy as np
import pytest
import tensorflow as tf

from msn.method.model import MSN, covariance

TINY = {"image_size": 16, "patch_size": 4, "width": 12, "depth": 2, "num_heads": 3}
SCHEDULE = {"learning_rate": 1e-3, "weight_decay": 0.1, "momentum": 0.9, "sharpening": 0.25}
SHAPES = {"target": (4, 16, 16, 3), "anchor": (4, 16, 16, 3), "focal": (2, 4, 8, 8, 3)}


def step(train, **changes):
    random = np.random.default_rng(0)
    views = {k: tf.constant(random.integers(0, 256, s, np.uint8)) for k, s in SHAPES.items()}
    schedule = {name: tf.constant(v, tf.float32) for name, v in (SCHEDULE | changes).items()}
    return train(views, tf.constant([0, 3, 5]), schedule)


def state(model):
    optimizer = model.optimizer
    variables = [optimizer.steps, *optimizer.trained, *optimizer.first, *optimizer.second]
    return [np.array(v) for v in (*variables, *model.target_variables)]


@pytest.mark.parametrize("compiled", [False, True])
def test_nothing_is_updated_by_a_loss_that_is_not_finite(compiled):
    model = MSN(TINY, hidden_dim=16, output_dim=8, num_prototypes=6, prior_exponent=0.25)
    train = tf.function(model.train_step, jit_compile=compiled)
    first = state(model)
    assert float(step(train, sharpening=float("nan"))["updated"]) == 0
    assert all(map(np.array_equal, first, state(model)))
    assert float(step(train)["updated"]) == 1
    before = state(model)
    logs = step(train, sharpening=float("nan"))
    assert float(logs["updated"]) == 0
    assert not np.isfinite(logs["loss"])
    assert np.isfinite(logs["me_max"])
    assert all(map(np.array_equal, before, state(model)))
    assert float(step(train)["updated"]) == 1
    changed = [not np.array_equal(*pair) for pair in zip(before, state(model), strict=True)]
    assert np.mean(changed) > 0.9
    assert all(np.isfinite(value).all() for value in state(model))


@pytest.mark.parametrize("clip_gradients", [3.0, 0.0])
def test_one_gradient_that_is_not_finite_is_enough(clip_gradients):
    """Whichever it is: the first, one in the middle, the last of the head, the prototypes'."""
    model = MSN(TINY, hidden_dim=16, output_dim=8, num_prototypes=6, clip_gradients=clip_gradients)
    step(model.train_step)
    before = state(model)
    targets = tf.random.stateless_normal((4, 8), (0, 0))
    parts = {"loss": tf.constant(1.0), "targets": tf.fill((4, 6), 1 / 6)}
    schedule = {name: tf.constant(value) for name, value in SCHEDULE.items()}
    variables = [*model.anchor_variables, model.prototypes]
    for wrong in (0, len(variables) // 2, -2, -1):
        for value in (np.nan, np.inf):
            gradients = [np.full(variable.shape, 0.1, np.float32) for variable in variables]
            gradients[wrong].flat[-1] = value
            logs = model.update([*map(tf.constant, gradients)], parts, targets, schedule)
            assert float(logs["updated"]) == 0, variables[wrong].path
            assert all(map(np.array_equal, before, state(model)))
    gradients = [tf.fill(variable.shape, 0.1) for variable in variables]
    not_finite = parts | {"loss": tf.constant(np.nan)}
    assert float(model.update(gradients, not_finite, targets, schedule)["updated"]) == 0
    assert all(map(np.array_equal, before, state(model)))
    assert float(model.update(gradients, parts, targets, schedule)["updated"]) == 1
    moved = [not np.array_equal(*pair) for pair in zip(before, state(model), strict=True)]
    assert np.mean(moved) > 0.9


def test_the_mean_prediction_is_more_uncertain_than_the_single_ones():
    model = MSN(TINY, hidden_dim=16, output_dim=8, num_prototypes=6)
    logs = step(model.train_step)
    assert 0 < float(logs["entropy"]) < float(logs["mean_entropy"]) <= np.log(6)
    # me-max is how far the mean prediction is from uniform
    expected = np.log(6) - float(logs["me_max"])
    assert float(logs["mean_entropy"]) == pytest.approx(expected, abs=1e-5)


def test_covariance():
    x = np.random.default_rng(0).normal(size=(7, 3)) + 5
    np.testing.assert_allclose(covariance(tf.constant(x)), np.cov(x.T, bias=True), rtol=1e-10)
    logs = step(MSN(TINY, hidden_dim=16, output_dim=8, num_prototypes=6).train_step)
    assert logs["embedding_covariance"].shape == (8, 8)
