import keras
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from down_stream.classifiers.frame_model import FrameModel
from down_stream.classifiers.logistic_regression import fit_logistic
from msn.networks.encoder import Encoder
from tests.down_stream.classifiers.test_linear_probe import blobs, several


def optimum(features, labels, classes, penalty, weights):
    """Kernel of softmax regression whose bias has no penalty, by another optimiser."""
    inputs = (features.astype(np.float64) - features.mean(axis=0)) / features.std(axis=0)
    width = inputs.shape[1]
    targets = np.eye(classes)[labels]

    def objective(values):
        kernel, bias = values[:-classes].reshape(width, classes), values[-classes:]
        logs = log_softmax(inputs @ kernel + bias, axis=1)
        excess = weights[:, None] * (np.exp(logs) - targets)
        scale = penalty * width
        value = -(weights * logs[targets > 0]).sum() + scale / 2 * (kernel**2).sum()
        return value, np.append((inputs.T @ excess + scale * kernel).ravel(), excess.sum(axis=0))

    start = np.zeros((width + 1) * classes)
    options = {"maxiter": 5000, "gtol": 1e-9}
    return minimize(objective, start, jac=True, method="BFGS", options=options).x


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_regression_is_at_the_optimum(classes):
    features, labels = blobs(classes=classes, spread=0.4)
    weights = {0: 0.5, 1: 2.0, 2: 1.0}
    probe = fit_logistic(
        features, labels, None, classes=classes, weights=weights, penalties=(0.05,)
    )
    best = optimum(features, labels, classes, 0.05, np.array([weights[k] for k in labels]))
    kernel, bias = best[:-classes].reshape(12, classes), best[-classes:]
    inputs = (features - features.mean(axis=0)) / features.std(axis=0)
    theirs = log_softmax(inputs @ kernel + bias, axis=1)
    if classes == 2:  # two columns with a penalty each are one with half of it
        probe = fit_logistic(
            features, labels, None, classes=classes, weights=weights, penalties=(0.025,)
        )
    np.testing.assert_allclose(
        np.log(probe.classifier.probabilities(features)), theirs, rtol=1e-3, atol=1e-3
    )
    assert probe.chosen["grid"] == [
        {"penalty": probe.chosen["penalty"], "score": None, "converged": True}
    ]


def test_the_penalty_is_chosen_on_validation():
    features, labels = blobs(n=40, spread=0.3)
    held_out, truth = blobs(n=500, seed=1, spread=0.3)

    def score(probabilities):
        return float(np.log(probabilities[np.arange(len(truth)), truth] + 1e-9).mean())

    probe = fit_logistic(features, labels, (held_out, score), classes=3)
    scores = {row["penalty"]: row["score"] for row in probe.chosen["grid"]}
    assert len(scores) == 6
    assert probe.chosen["penalty"] == max(scores, key=scores.get)
    assert score(probe.classifier.probabilities(held_out)) == scores[probe.chosen["penalty"]]
    assert scores[0.00025] < scores[probe.chosen["penalty"]]  # so few frames need more


def test_classes_without_frames_get_no_probability():
    features, labels = blobs(classes=2)
    probe = fit_logistic(features, labels + 1, None, classes=4)
    probabilities = probe.classifier.probabilities(features)
    assert (probabilities[:, [0, 3]] == 0).all()
    assert (probabilities.argmax(axis=1) == labels + 1).mean() > 0.95


def test_a_logistic_head_is_the_head_of_a_model():
    features, labels = blobs()
    head = fit_logistic(features, labels, None, classes=3).classifier
    encoder = Encoder(image_size=16, patch_size=8, width=12, depth=1, num_heads=3, seed=0)
    model = FrameModel(encoder, ("a", "b", "c"), mean=head.mean, std=head.std)
    model.head.set_weights([head.kernel, head.bias])
    probabilities = keras.ops.softmax(model.classify(features))
    np.testing.assert_allclose(probabilities, head.probabilities(features), atol=1e-5)


def test_several_labels_are_a_regression_each():
    features, labels = several()
    labels[:, 2] = np.where(labels[:, 2] == 0, 1, labels[:, 2])  # a label that is always there
    head = fit_logistic(features, labels, None, classes=3).classifier
    probabilities = head.probabilities(features)
    assert head.multi_label
    assert (probabilities[:, 2] == 1).all()
    known = labels[:, 0] >= 0
    single = fit_logistic(features[known], labels[known, 0], None, classes=2)
    assert ((probabilities[:, 0] > 0.5) == (labels[:, 0] == 1))[known].mean() > 0.85
    ours, theirs = probabilities[known, 0], single.classifier.probabilities(features[known])[:, 1]
    assert np.corrcoef(ours, theirs)[0, 1] > 0.99
