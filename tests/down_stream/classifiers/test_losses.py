import numpy as np
import pytest
from sklearn.metrics import log_loss

from down_stream.classifiers.losses import (
    positive_weights,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
)

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(6, 3)).astype(np.float32)
LABELS = np.array([0, 2, 1, 1, 0, 2], np.int32)
TOOLS = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 1, 0], [1, 0, 0], [0, 1, 1]], np.int32)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def test_cross_entropy_and_accuracy_are_those_of_scikit_learn():
    loss, accuracy = softmax_cross_entropy(LABELS, LOGITS)
    assert float(loss) == pytest.approx(log_loss(LABELS, softmax(LOGITS)), rel=1e-5)
    assert float(accuracy) == pytest.approx((LOGITS.argmax(axis=1) == LABELS).mean())


def test_sigmoid_cross_entropy_is_the_mean_over_classes():
    loss, accuracy = sigmoid_cross_entropy(TOOLS, LOGITS)
    columns = zip(TOOLS.T, sigmoid(LOGITS).T, strict=True)
    expected = np.mean([log_loss(label, probability) for label, probability in columns])
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert float(accuracy) == pytest.approx(((LOGITS > 0) == TOOLS).mean())


def test_unknown_labels_count_nowhere():
    labels = np.array([0, -1, 1, -1, 0, 2], np.int32)
    known = labels >= 0
    one, other = (
        softmax_cross_entropy(labels, LOGITS),
        softmax_cross_entropy(labels[known], LOGITS[known]),
    )
    assert [float(x) for x in one] == pytest.approx([float(x) for x in other])
    tools = TOOLS.copy()
    tools[:, 1] = -1
    one = sigmoid_cross_entropy(tools, LOGITS)
    other = sigmoid_cross_entropy(TOOLS[:, [0, 2]], LOGITS[:, [0, 2]])
    assert [float(x) for x in one] == pytest.approx([float(x) for x in other])


@pytest.mark.parametrize("loss", [softmax_cross_entropy, sigmoid_cross_entropy])
def test_nothing_known_is_no_loss(loss):
    labels = np.full((6,) if loss is softmax_cross_entropy else (6, 3), -1, np.int32)
    assert [float(x) for x in loss(labels, LOGITS)] == [0, 0]


def test_smoothed_targets():
    """The loss is linear in the target: that of the label, and that of all classes alike."""
    plain, _ = softmax_cross_entropy(LABELS, LOGITS)
    uniform = np.mean([-np.log(softmax(LOGITS))])
    loss, _ = softmax_cross_entropy(LABELS, LOGITS, label_smoothing=0.2)
    assert float(loss) == pytest.approx(0.8 * float(plain) + 0.2 * uniform, rel=1e-5)

    plain, _ = sigmoid_cross_entropy(TOOLS, LOGITS)
    opposite, _ = sigmoid_cross_entropy(1 - TOOLS, LOGITS)
    loss, _ = sigmoid_cross_entropy(TOOLS, LOGITS, label_smoothing=0.2)
    assert float(loss) == pytest.approx(0.9 * float(plain) + 0.1 * float(opposite), rel=1e-5)


def test_weights():
    """Doubled, the frames of a class, or the presence of a tool, add twice as much."""
    plain = np.array(
        [float(softmax_cross_entropy(LABELS[i : i + 1], LOGITS[i : i + 1])[0]) for i in range(6)]
    )
    loss, _ = softmax_cross_entropy(LABELS, LOGITS, [1.0, 2.0, 0.0])
    expected = (plain * np.array([1.0, 2.0, 0.0])[LABELS]).mean()
    assert float(loss) == pytest.approx(expected, rel=1e-5)

    terms = -np.where(TOOLS, np.log(sigmoid(LOGITS)) * [1, 2, 3], np.log(sigmoid(-LOGITS)))
    loss, _ = sigmoid_cross_entropy(TOOLS, LOGITS, [1.0, 2.0, 3.0])
    assert float(loss) == pytest.approx(terms.mean(), rel=1e-5)


def test_large_logits_stay_finite():
    logits = np.array([[1e4, -1e4, 0.0]], np.float32)
    assert float(softmax_cross_entropy(np.array([1]), logits)[0]) == pytest.approx(2e4)
    assert float(sigmoid_cross_entropy(np.array([[0, 1, -1]]), logits)[0]) == pytest.approx(1e4)


def test_positive_weights_balance_presence_and_absence():
    labels = np.array([[1, 0, -1], [0, 0, 1], [0, -1, 1], [0, 0, 0]])
    assert positive_weights(labels) == {0: 3, 1: 1, 2: 0.5}
