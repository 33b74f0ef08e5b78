import keras
import numpy as np
import pytest

from data.batches.seeds import generator
from data.common.errors import InputError
from down_stream.classifiers import finetuning
from down_stream.classifiers.linear_probe import Heads, fit_linear_probe, loss_targets

pytestmark = pytest.mark.usefixtures("without_xla")

RATES, DECAYS = (0.003, 0.03, 0.3), (0.0, 0.1)
BATCH, EPOCHS = 64, 3


def blobs(n=150, classes=3, seed=0, spread=3.0):
    """Features of any scale, and labels; 150 frames make two full batches and a part."""
    random = np.random.default_rng(seed)
    labels = random.integers(classes, size=n)
    centres = np.random.default_rng(9).normal(0, spread, (classes, 12))
    features = 100 + 20 * (centres[labels] + random.normal(size=(n, 12)))
    return features.astype(np.float32), labels.astype(np.int8)


def several(n=150, seed=0):
    """Features, and three labels per frame of which some are unknown."""
    random = np.random.default_rng(seed)
    labels = random.integers(-1, 2, (n, 3)).astype(np.int8)
    directions = np.random.default_rng(8).normal(size=(3, 12))
    features = (labels == 1) @ directions + 0.5 * random.normal(size=(n, 12))
    return features.astype(np.float32), labels


def fit(features, labels, validation=None, **changes):
    arguments = {
        "classes": 3,
        "learning_rates": RATES,
        "weight_decays": DECAYS,
        "optimizer": "adamw",
        "warmup": 0.2,
        "epochs": EPOCHS,
        "batch_size": BATCH,
        "seed": 0,
    }
    return fit_linear_probe(features, labels, validation, **(arguments | changes))


def alone(features, labels, rate, decay, optimizer, weights, smoothing):
    """Kernel and bias of one head that Keras trains by itself, on the same batches."""
    inputs = (features - features.mean(axis=0)) / features.std(axis=0)
    model = keras.Sequential([keras.Input((12,)), keras.layers.Dense(3, name="head")])
    start = Heads([(0, 0)], (12, 3), multi_label=False, optimizer="sgd", warmup=0, steps=1, seed=5)
    model.set_weights([start.values(0)[0], np.zeros(3)])
    steps = -(-len(features) // BATCH)
    model.compile(
        optimizer=finetuning.create_optimizer(optimizer, rate, decay, 0.2, steps * EPOCHS),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing),
    )
    for epoch in range(EPOCHS):
        order = generator(5, epoch).permutation(len(features))
        for first in range(0, len(order), BATCH):
            rows = order[first : first + BATCH]
            by_frame = np.array([weights[k] for k in labels[rows].tolist()])
            model.train_on_batch(inputs[rows], np.eye(3)[labels[rows]], sample_weight=by_frame)
    return model.get_weights()


def test_heads_start_alike_and_where_the_seed_says():
    kernels = [
        np.array(
            Heads(
                [(0.1, 0), (1, 0)],
                (12, 3),
                multi_label=False,
                optimizer="sgd",
                warmup=0,
                steps=1,
                seed=seed,
            ).kernel
        )
        for seed in (5, 5, 6)
    ]
    np.testing.assert_array_equal(kernels[0][:, 0], kernels[0][:, 1])
    np.testing.assert_array_equal(*kernels[:2])
    assert not np.array_equal(*kernels[1:])
    assert 0.005 < kernels[0].std() < 0.02


@pytest.mark.parametrize(
    "optimizer, number", [("adam", 3), ("adamw", 0), ("adamw", 5), ("momentum", 2), ("rmsprop", 1)]
)
def test_each_head_is_the_one_that_keras_trains_alone(optimizer, number):
    features, labels = blobs(spread=0.5)
    weights, smoothing = {0: 0.5, 1: 1.0, 2: 2.0}, 0.1
    calls = iter(range(100))

    def score(_):
        """Singles out one point of the grid, in its last epoch."""
        call = next(calls)
        return call // 6 + (call % 6 == number)

    settings = {"optimizer": optimizer, "weights": weights, "label_smoothing": smoothing, "seed": 5}
    probe = fit(features, labels, (features, score), **settings)
    rate, decay = RATES[number // 2], DECAYS[number % 2]
    assert (probe.chosen["learning_rate"], probe.chosen["weight_decay"]) == (rate, decay)
    assert probe.best_epoch == EPOCHS - 1
    kernel, bias = alone(features, labels, rate, decay, optimizer, weights, smoothing)
    np.testing.assert_allclose(probe.classifier.kernel, kernel, rtol=1e-3, atol=2e-5)
    np.testing.assert_allclose(probe.classifier.bias, bias, rtol=1e-3, atol=2e-5)


def test_the_best_epoch_of_the_best_point_is_kept_though_the_last_is_worse():
    features, labels = blobs()
    # Points x epochs, as they are asked for: the highest is in epoch 1, at the last point.
    table = np.array([[0.1] * 6, [0.2, 0.3, 0.2, 0.1, 0.0, 0.9], [0.8, 0.1, 0.1, 0.1, 0.1, 0.4]])
    values, seen = iter(table.ravel()), []

    def score(probabilities):
        seen.append(probabilities)
        return next(values)

    probe = fit(features, labels, (features[:20], score))
    assert probe.best_epoch == 1
    assert (probe.chosen["learning_rate"], probe.chosen["weight_decay"]) == (0.3, 0.1)
    assert probe.history["val_macro_f1"] == [0.1, 0.9, 0.4]
    np.testing.assert_allclose(probe.classifier.probabilities(features[:20]), seen[11], atol=1e-5)
    assert np.abs(seen[11] - seen[17]).max() > 1e-4
    assert [row["score"] for row in probe.chosen["grid"]] == table.max(axis=0).tolist()
    assert [row["epoch"] for row in probe.chosen["grid"]] == table.argmax(axis=0).tolist()


@pytest.mark.xla
def test_it_learns_and_a_bad_learning_rate_is_not_chosen():
    features, labels = blobs()
    held_out, truth = blobs(seed=1)

    def accuracy(probabilities):
        return float((probabilities.argmax(axis=1) == truth).mean())

    probe = fit(features, labels, (held_out, accuracy), learning_rates=(1e-9, 0.05), epochs=10)
    assert probe.chosen["learning_rate"] == 0.05
    assert accuracy(probe.classifier.probabilities(held_out)) > 0.95
    assert probe.history["loss"][-1] < probe.history["loss"][0] / 2
    np.testing.assert_allclose(probe.classifier.probabilities(held_out).sum(axis=1), 1, atol=1e-5)


def test_without_validation_it_is_the_last_epoch_of_the_middle_point():
    features, labels = blobs(spread=0.5)
    probe = fit(features, labels, learning_rates=(0.001, 0.03, 1.0), weight_decays=(0.0,))
    assert (probe.chosen["learning_rate"], probe.best_epoch) == (0.03, EPOCHS - 1)
    assert "val_macro_f1" not in probe.history
    single = fit(features, labels, learning_rates=(0.03,), weight_decays=(0.0,))
    np.testing.assert_allclose(
        probe.classifier.kernel, single.classifier.kernel, rtol=1e-4, atol=1e-6
    )
    assert probe.chosen["grid"][0]["score"] is None


def test_a_head_that_diverges_leaves_the_others_alone():
    features, labels = blobs()
    calls = []

    def score(probabilities):
        calls.append(probabilities)
        return 0.5

    arguments = {"optimizer": "sgd", "weight_decays": (0.0,), "warmup": 0.0}
    probe = fit(features, labels, (features, score), learning_rates=(0.1, 1e38), **arguments)
    single = fit(features, labels, (features, score), learning_rates=(0.1,), **arguments)
    assert probe.chosen["learning_rate"] == 0.1
    np.testing.assert_allclose(probe.classifier.kernel, single.classifier.kernel, rtol=1e-5)
    assert probe.chosen["grid"][1]["loss"] is None
    assert np.isfinite(calls).all()
    with pytest.raises(InputError, match="lower the learning rate"):
        fit(features * np.nan, labels)


def test_several_labels_of_which_some_are_unknown():
    features, labels = several()
    held_out, truth = several(seed=1)
    probe = fit(features, labels, learning_rates=(0.1,), weight_decays=(0.0,), epochs=20)
    known = truth >= 0
    right = (probe.classifier.probabilities(held_out) > 0.5) == (truth == 1)
    assert right[known].mean() > 0.85
    # The loss is Keras' where all labels are known.
    whole = np.abs(labels)
    model = keras.Sequential([keras.Input((12,)), keras.layers.Dense(3)])
    first = fit(features, whole, learning_rates=(0.0,), weight_decays=(0.0,), epochs=1)
    model.set_weights([first.classifier.kernel, first.classifier.bias])
    inputs = (features - first.classifier.mean) / first.classifier.std
    loss = keras.losses.BinaryCrossentropy(from_logits=True)(whole, model(inputs))
    assert first.history["loss"][0] == pytest.approx(float(loss), rel=1e-5)


def test_what_is_unknown_has_no_importance():
    targets, importance = loss_targets(np.array([2, -1, 0]), 3, {0: 0.5, 1: 1, 2: 2}, 0.3)
    np.testing.assert_allclose(targets[0], [0.1, 0.1, 0.8], atol=1e-6)
    assert importance.ravel().tolist() == [2, 0, 0.5]
    labels = np.array([[1, 0, -1], [-1, 1, 0]])
    targets, importance = loss_targets(labels, 3, {0: 4.0, 1: 5.0, 2: 6.0}, 0.2)
    np.testing.assert_allclose(targets[0, :2], [0.9, 0.1], atol=1e-6)
    assert importance.tolist() == [[4, 1, 0], [0, 5, 1]]


def test_class_weights_reach_the_loss():
    features, labels = blobs()
    weights = {0: 0.0, 1: 1.0, 2: 0.0}
    probe = fit(features, labels, weights=weights, learning_rates=(0.05,), epochs=10)
    probabilities = probe.classifier.probabilities(features)
    of_others = probabilities[labels != 1]  # which of the two it is, was never said
    assert np.abs(of_others[:, 0] - of_others[:, 2]).max() < 0.2
    assert ((probabilities[:, 1] > 0.9) == (labels == 1)).mean() > 0.95
    sets, several_labels = several()
    plain = fit(sets, several_labels, learning_rates=(0.05,), epochs=10)
    heavy = fit(
        sets, several_labels, weights={0: 20, 1: 1, 2: 1}, learning_rates=(0.05,), epochs=10
    )
    rise = heavy.classifier.probabilities(sets) - plain.classifier.probabilities(sets)
    assert rise[:, 0].mean() > 0.05
    assert np.abs(rise[:, 1:]).max() < 1e-4
