import math

import numpy as np
import pytest
import tensorflow as tf

from msn.method import losses


def rows(n, k, seed=0, scale=1.0):
    return (np.random.default_rng(seed).normal(size=(n, k)) * scale).astype(np.float32)


def test_predictions_are_distributions_and_ignore_scale():
    embeddings, prototypes = rows(5, 8), rows(7, 8, 1)
    logs = np.asarray(losses.log_predictions(embeddings, prototypes, 0.1))
    np.testing.assert_allclose(np.exp(logs).sum(axis=1), 1, rtol=1e-5)
    scaled = losses.log_predictions(100 * embeddings, 0.01 * prototypes, 0.1)
    np.testing.assert_allclose(scaled, logs, atol=1e-4)


def test_an_embedding_predicts_its_own_prototype():
    prototypes = rows(7, 8)
    logs = np.asarray(losses.log_predictions(prototypes, prototypes, 0.1))
    np.testing.assert_array_equal(logs.argmax(axis=1), np.arange(7))


def test_sharpening_keeps_order_and_lowers_entropy():
    p = np.array([[0.5, 0.3, 0.2]], np.float32)
    sharp = np.exp(losses.sharpen(np.log(p), 0.25))
    np.testing.assert_allclose(sharp, p**4 / (p**4).sum(), rtol=1e-5)
    np.testing.assert_allclose(np.exp(losses.sharpen(np.log(p), 1.0)), p, rtol=1e-5)


def test_sinkhorn_balances():
    log_assignments = rows(12, 4, scale=2.0)
    balanced = np.exp(losses.sinkhorn(log_assignments))
    np.testing.assert_allclose(balanced.sum(axis=1), 1, rtol=1e-5)
    many = np.exp(losses.sinkhorn(log_assignments, iterations=200))
    np.testing.assert_allclose(many.sum(axis=0), 12 / 4, rtol=1e-4)


def test_sinkhorn_is_the_references_for_prototypes_that_get_next_to_nothing():
    """Down to sums of 1e-68, far below what float32 can hold, beside its formula in float64."""
    log_assignments = tf.nn.log_softmax(rows(6, 5) - np.float32([0, 20, 40, 80, 160])).numpy()
    assert log_assignments.dtype == np.float32
    expected = np.exp(log_assignments.astype(np.float64))
    assert expected.sum(axis=0).min() < 1e-67
    expected /= expected.sum()
    for _ in range(3):
        expected /= expected.sum(axis=0, keepdims=True) * 5
        expected /= expected.sum(axis=1, keepdims=True) * 6
    expected *= 6
    assert expected.sum(axis=0).min() > 0.5
    np.testing.assert_allclose(np.exp(losses.sinkhorn(log_assignments)), expected, rtol=1e-5)


def test_me_max_is_zero_for_balanced_and_log_k_for_collapsed_predictions():
    identity = np.log(np.eye(4, dtype=np.float32) * (1 - 4e-9) + 1e-9)
    assert abs(float(losses.me_max(identity))) < 1e-5
    collapsed = np.repeat(identity[:1], 4, axis=0)
    assert abs(float(losses.me_max(collapsed)) - math.log(4)) < 1e-4


def test_me_max_to_a_uniform_prior_is_log_k_less_the_entropy():
    logs = np.asarray(losses.log_predictions(rows(5, 8), rows(7, 8, 1), 0.1), np.float64)
    mean = np.exp(logs).mean(axis=0)
    expected = math.log(7) + (mean * np.log(mean)).sum()
    assert float(losses.me_max(logs)) == pytest.approx(expected, rel=1e-6)
    assert float(losses.me_max(logs, prior_exponent=0.0)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("exponent", [0.25, 1.0, 3.0])
def test_me_max_to_a_power_law(exponent):
    """PMSN, arXiv 2210.07277: KL(mean prediction || power law)."""
    prior = np.arange(1, 9.0) ** -exponent
    prior /= prior.sum()
    np.testing.assert_allclose(np.exp(losses.log_power_law(8, exponent)), prior, rtol=1e-12)
    # Single predictions may be anything: their mean is the prior.
    shift = np.linspace(-0.5, 0.5, 8) * prior.min()
    shift -= shift.mean()
    predictions = np.log(np.stack([prior + shift, prior - shift]))
    assert abs(float(losses.me_max(predictions, exponent))) < 1e-12
    uniform = np.full((3, 8), math.log(1 / 8))
    expected = (np.log(1 / 8) - np.log(prior)).mean()
    assert expected > 0.01
    assert float(losses.me_max(uniform, exponent)) == pytest.approx(expected, rel=1e-9)
    # The law falls with the prototype's number: turned around it is another one.
    assert float(losses.me_max(predictions[:, ::-1], exponent)) > 0.01


def test_the_gradient_of_me_max_pulls_towards_the_prior():
    logits = tf.Variable(np.zeros((2, 4)))
    with tf.GradientTape() as tape:
        loss = losses.me_max(tf.nn.log_softmax(logits), 1.0)
    gradient = tape.gradient(loss, logits).numpy().sum(axis=0)
    assert gradient[0] < 0 < gradient[-1]  # more of the first, fewer of the last
    assert (np.diff(gradient) > 0).all()


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_me_max_is_finite_for_probabilities_of_nearly_zero(dtype):
    logits = tf.Variable(tf.cast([[0.0, -200.0, -1e4, -1e30]] * 3, dtype))
    for exponent in (0.0, 0.25, 2.0):
        with tf.GradientTape() as tape:
            loss = losses.me_max(tf.nn.log_softmax(logits), exponent)
        # All is on the first prototype: KL = -log of its prior.
        expected = -losses.log_power_law(4, exponent)[0]
        assert float(loss) == pytest.approx(expected, rel=1e-6)
        assert np.isfinite(tape.gradient(loss, logits)).all()


def test_the_prior_is_an_option_of_the_loss():
    arguments = (rows(8, 8), rows(4, 8, 2), rows(6, 8, 1))
    plain, uniform, law = (
        losses.msn_loss(*arguments, **options)
        for options in ({}, {"prior_exponent": 0.0}, {"prior_exponent": 1.5})
    )
    assert float(plain["me_max"]) == float(uniform["me_max"])
    predictions = losses.log_predictions(arguments[0], arguments[2], 0.1)
    assert float(law["me_max"]) == pytest.approx(float(losses.me_max(predictions, 1.5)))
    assert float(law["me_max"]) != pytest.approx(float(uniform["me_max"]), rel=1e-3)
    assert float(law["cross_entropy"]) == float(uniform["cross_entropy"])


def test_entropy_of_uniform_predictions_is_log_k():
    uniform = np.full((3, 8), math.log(1 / 8), np.float32)
    assert abs(float(losses.entropy(uniform)) - math.log(8)) < 1e-5


def test_cross_entropy_of_the_target_with_itself_is_its_entropy():
    p = np.exp(losses.log_predictions(rows(5, 8), rows(7, 8, 1), 0.1))
    log_p = np.log(p)
    assert abs(float(losses.cross_entropy(log_p, p)) - float(losses.entropy(log_p))) < 1e-5


def test_no_gradient_through_the_targets():
    targets, prototypes = tf.Variable(rows(4, 8)), tf.Variable(rows(6, 8, 1))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(losses.target_assignments(targets, prototypes, 0.1, 0.25, True) ** 2)
    assert tape.gradient(loss, [targets, prototypes]) == [None, None]


def test_views_are_compared_with_their_own_image():
    targets, prototypes = rows(4, 8), rows(6, 8, 1)
    views = np.tile(targets, (3, 1))  # three views, in the target's order
    matched = losses.msn_loss(views, targets, prototypes, use_sinkhorn=False)
    shuffled = losses.msn_loss(views[::-1], targets, prototypes, use_sinkhorn=False)
    assert float(matched["cross_entropy"]) < float(shuffled["cross_entropy"]) - 0.1


@pytest.mark.parametrize("scale", [0.0, 1e-20, 1e4, 1e15])
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_finite_where_the_reference_is_not(scale, dtype):
    """Zero or huge embeddings, probabilities that underflow, bfloat16 inputs."""
    anchors = tf.Variable(tf.cast(rows(8, 8) * scale, dtype))
    with tf.GradientTape() as tape:
        parts = losses.msn_loss(
            anchors, tf.cast(rows(4, 8, 2) * scale, dtype), rows(6, 8, 1), temperature=0.001
        )
        total = parts["cross_entropy"] + parts["me_max"] + parts["entropy"]
    assert parts["cross_entropy"].dtype == tf.float32
    assert np.isfinite(float(total))
    gradient = tf.cast(tape.gradient(total, anchors), tf.float32).numpy()
    assert np.isfinite(gradient).all()


def test_the_defaults_are_the_papers_and_every_setting_counts():
    random = np.random.default_rng(0)
    arrays = [random.normal(size=size).astype(np.float32) for size in ((8, 5), (4, 5), (6, 5))]
    paper = {"temperature": 0.1, "sharpening": 0.25, "use_sinkhorn": True, "prior_exponent": 0.0}
    usual = losses.msn_loss(*arrays)
    for name, value in losses.msn_loss(*arrays, **paper).items():
        np.testing.assert_array_equal(usual[name], value, name)
    for change, name in (
        ({"temperature": 0.2}, "cross_entropy"),
        ({"sharpening": 0.5}, "targets"),
        ({"use_sinkhorn": False}, "targets"),
        ({"prior_exponent": 1.0}, "me_max"),
    ):
        changed = losses.msn_loss(*arrays, **paper | change)
        assert not np.allclose(usual[name], changed[name], atol=1e-4), change


def test_each_view_predicts_the_target_of_its_own_image():
    rng = np.random.default_rng(0)
    target, first, second = rng.normal(size=(3, 4, 5)).astype(np.float32)
    prototypes = rng.normal(size=(6, 5)).astype(np.float32)
    one, other, both = (
        float(losses.msn_loss(anchors, target, prototypes)["cross_entropy"])
        for anchors in (first, second, np.concatenate([first, second]))
    )
    assert both == pytest.approx((one + other) / 2, rel=1e-5)
