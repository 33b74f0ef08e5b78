import keras
import numpy as np
import pytest

from data.errors import InputError
from data.index import load_index
from down_stream import training
from down_stream.model import PhaseModel
from msn.vit import Encoder

TINY = {"image_size": 16, "patch_size": 8, "width": 12, "depth": 1, "num_heads": 3, "seed": 0}
ADAM = {"name": "adamw", "learning_rate": 0.05, "weight_decay": 1e-4, "warmup": 0.1}


def blobs(n=300, classes=3, seed=0):
    random = np.random.default_rng(seed)
    labels = random.integers(classes, size=n)
    centres = np.random.default_rng(9).normal(0, 3, (classes, 12))
    features = 100 + 20 * (centres[labels] + random.normal(size=(n, 12)))
    return features.astype(np.float32), labels.astype(np.int32)


def fit(model, features, labels, validate=None, epochs=10, optimizer=ADAM):
    return training.fit_head(
        model,
        features,
        labels,
        validate=validate,
        epochs=epochs,
        batch_size=64,
        seed=0,
        optimizer=optimizer,
        weights=None,
    )


def accuracy(model, features, labels):
    return float((np.asarray(model.classify(features)).argmax(axis=1) == labels).mean())


def test_the_probe_learns_features_of_any_scale_and_leaves_the_encoder():
    model = PhaseModel(Encoder(**TINY), ("a", "b", "c"), seed=0)
    before = model.encoder.get_weights()
    features, labels = blobs()
    history, best = fit(model, features, labels)
    assert accuracy(model, *blobs(seed=1)) > 0.95
    assert all(map(np.array_equal, before, model.encoder.get_weights()))
    assert len(history["loss"]) == 10
    assert best == 9  # without validation the last epoch counts


def test_the_best_epoch_is_kept_even_if_later_ones_are_worse():
    model = PhaseModel(Encoder(**TINY), ("a", "b", "c"), seed=0)
    scores = iter([0.2, 0.9, 0.1, 0.3])
    kernels = []

    def validate():
        kernels.append(np.array(model.head.kernel))
        return next(scores)

    history, best = fit(model, *blobs(), validate=validate, epochs=4)
    assert best == 1
    assert history["val_macro_f1"] == [0.2, 0.9, 0.1, 0.3]
    np.testing.assert_array_equal(model.head.kernel, kernels[1])
    assert not np.array_equal(kernels[1], kernels[3])


def test_a_loss_that_is_not_finite_ends_the_fit():
    model = PhaseModel(Encoder(**TINY), ("a", "b", "c"), seed=0)
    features, labels = blobs()
    with pytest.raises(InputError, match="epoch 1"):
        fit(model, features * np.nan, labels)


def test_class_weights_reach_the_loss():
    """Classes without weight are never told apart."""
    model = PhaseModel(Encoder(**TINY), ("a", "b", "c"), seed=0)
    features, labels = blobs()
    training.fit_head(
        model,
        features,
        labels,
        validate=None,
        epochs=10,
        batch_size=64,
        seed=0,
        optimizer=ADAM,
        weights={0: 0.0, 1: 1.0, 2: 0.0},
    )
    logits = np.asarray(model.classify(features))
    assert np.abs(logits[:, 0] - logits[:, 2]).max() < 0.5
    assert np.abs(logits[:, 0] - logits[:, 1]).max() > 5


def test_fine_tuning_changes_the_encoder(small_dataset):
    model = PhaseModel(Encoder(**TINY), [str(i) for i in range(7)], seed=0)
    before = model.encoder.get_weights()
    index = load_index(small_dataset)
    history, _ = training.fit_all(
        model, index, validate=None, epochs=2, batch_size=28, seed=0, optimizer=ADAM, weights=None
    )
    changed = [
        not np.array_equal(a, b) for a, b in zip(before, model.encoder.get_weights(), strict=True)
    ]
    assert all(changed)
    assert len(history["loss"]) == 2


@pytest.mark.parametrize("name", sorted(training.OPTIMIZERS))
def test_every_published_optimizer_takes_every_value(name):
    for rate, decay in ((0.1, 0.01), (0.1, 0.0), (0.0, 0.0)):
        optimizer = training.create_optimizer(name, rate, decay, warmup=0.0, steps=10)
        variable = keras.Variable(np.ones(3, np.float32), name="kernel")
        optimizer.apply([np.ones(3, np.float32)], [variable])
        moved = not np.array_equal(np.asarray(variable), np.ones(3))
        assert moved == (rate > 0)


def test_learning_rate_warms_up_and_falls_to_zero():
    optimizer = training.create_optimizer("sgd", 1.0, 0.0, warmup=0.5, steps=8)
    rates = []
    for _ in range(8):
        rates.append(float(optimizer.learning_rate))
        if len(rates) == 1:
            optimizer.build([keras.Variable([0.0])])
        optimizer.iterations.assign(len(rates))
    np.testing.assert_allclose(rates[:5], [0, 0.25, 0.5, 0.75, 1.0], atol=1e-6)
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] < 0.2
