import keras
import numpy as np
import pytest

from data.common.errors import InputError
from down_stream.temporal import training
from down_stream.temporal.model import TemporalModel
from down_stream.temporal.training import (
    _batches,
    fit_temporal,
    on_seconds,
    predict_temporal,
    videos_of,
)
from tests.support.recorder import recorded

TINY = {"num_classes": 4, "num_layers": 1, "num_maps": 4, "dropout": 0.0}


def operation(seed, classes=4, noise=1.2):
    """The phases in their order, each of another length, as features that show them badly."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), random.integers(20, 33, classes)).astype(np.int32)
    features = np.eye(classes)[labels] + random.normal(0, noise, (len(labels), classes))
    return features.astype(np.float32), labels


def fit(videos, **changes):
    arguments = {"validate": None, "epochs": 1, "learning_rate": 5e-3, "weights": None, "seed": 0}
    return fit_temporal(videos, **TINY | arguments | changes)


@pytest.fixture(scope="module")
def table():
    """Three videos with frames missing, in no order: features, video, second."""
    random = np.random.default_rng(5)
    seconds = np.concatenate([np.r_[0:30], np.r_[4:20, 33:60, 61], np.r_[100:103]])
    video = np.repeat(["b", "a", "c"], [30, 44, 3])
    order = random.permutation(len(video))
    return random.normal(size=(len(video), 6)).astype(np.float32), video[order], seconds[order]


@pytest.mark.parametrize("causal", [True, False])
def test_it_beats_every_classifier_of_single_frames_by_far(causal):
    """The nearest one-hot vector is the best guess that one such frame allows."""
    training = [operation(seed) for seed in range(16)]
    held_out = [operation(seed) for seed in range(100, 110)]
    labels = np.concatenate([labels for _, labels in held_out])
    model, history, _ = fit(
        training, epochs=25, causal=causal, num_layers=4, num_maps=12, dropout=0.1
    )

    def accuracy(scores):
        found = np.concatenate([scores(features).argmax(axis=1) for features, _ in held_out])
        return (found == labels).mean()

    frames = accuracy(lambda features: features)
    assert 0.4 < frames < 0.6
    assert accuracy(model.probabilities) > frames + 0.3
    assert history["loss"][-1] < history["loss"][0] / 3


def test_the_loss_is_that_of_the_paper():
    """Weighted cross-entropy over known seconds, of both stages, whatever fills up the video."""
    features, labels = operation(1)
    labels[10:50] = -1
    weights = {0: 0.5, 1: 2.0, 2: 0.0, 3: 1.5}
    model, history, _ = fit([(features, labels)], learning_rate=0.0, weights=weights)
    present = np.ones((1, len(features)), np.float32)
    logits = np.asarray(model((features[np.newaxis], present)))[0]
    known = labels >= 0
    log_p = np.asarray(keras.ops.log_softmax(logits))[:, known]
    weight = np.array([weights[label] for label in labels[known]])
    chosen = log_p[:, np.arange(known.sum()), labels[known]]
    expected = -(chosen * weight).sum(axis=1) / weight.sum()
    np.testing.assert_allclose(history["loss"], [expected.mean()], rtol=1e-5)


def test_the_same_seed_gives_the_same_model():
    videos = [(100 + 20 * features, labels) for features, labels in map(operation, range(4))]
    one, same = (fit(videos, epochs=2, dropout=0.5, seed=3) for _ in range(2))
    for weights in zip(one[0].get_weights(), same[0].get_weights(), strict=True):
        np.testing.assert_array_equal(*weights)
    assert one[1:] == same[1:]
    assert one[2] == 1  # without validation the last epoch is kept
    features = np.concatenate([features for features, _ in videos])
    np.testing.assert_allclose(one[0].feature_mean, features.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(one[0].feature_std, features.std(axis=0), rtol=1e-4)


def test_the_order_of_the_videos_follows_seed_and_epoch():
    """Twelve videos of 10 to 21 seconds, recognised by their lengths."""
    model = TemporalModel(4, **TINY, seed=0)
    videos = [(np.zeros((n, 4), np.float32), np.zeros(n, np.int32)) for n in range(10, 22)]
    orders = []
    for seed in (0, 1):
        drawn = _batches(videos, model, None, seed).take(36).as_numpy_iterator()
        lengths = [int(importance[0, 0].sum()) for _, (_, importance) in drawn]
        orders += [tuple(lengths[first : first + 12]) for first in (0, 12, 24)]
    assert all(sorted(order) == list(range(10, 22)) for order in orders)
    assert len(set(orders)) == 6


def test_the_seed_of_a_fit_is_that_of_order_and_model(monkeypatch):
    batches = recorded(monkeypatch, training, "_batches", answer=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        fit([operation(1)], seed=3)
    (((_, model, _, seed), _),) = batches.calls
    assert seed == 3
    for other in (0, 3):
        kernel = TemporalModel(4, **TINY, seed=other).stages[0].reduce.kernel
        assert np.array_equal(model.stages[0].reduce.kernel, kernel) == (other == 3)


def test_the_seed_is_that_of_initialisation_and_dropout():
    one, same, other = (TemporalModel(4, 4, num_layers=2, num_maps=8, seed=s) for s in (1, 1, 2))
    weights = [model.stages[1].residuals[1].projection.kernel for model in (one, same, other)]
    np.testing.assert_array_equal(*weights[:2])
    assert not np.array_equal(weights[1], weights[2])
    other.set_weights(one.get_weights())
    inputs = np.ones((1, 20, 4), np.float32), np.ones((1, 20), np.float32)
    dropped = [np.array(model(inputs, training=True)) for model in (one, same, other, one)]
    np.testing.assert_array_equal(*dropped[:2])
    assert not np.array_equal(dropped[0], dropped[2])
    assert not np.array_equal(dropped[0], dropped[3]), "anew in every step"


def test_the_best_epoch_is_kept_even_if_later_ones_are_worse():
    scores, kernels = iter([0.2, 0.9, 0.9, 0.1]), []

    def validate(model):
        kernels.append(np.array(model.stages[1].classify.kernel))
        return next(scores)

    model, history, best = fit([operation(1)], epochs=4, validate=validate)
    assert best == 1
    assert history["val_macro_f1"] == [0.2, 0.9, 0.9, 0.1]
    np.testing.assert_array_equal(model.stages[1].classify.kernel, kernels[1])
    assert not np.array_equal(kernels[1], kernels[3])


def test_every_second_shows_the_last_frame_that_has_come():
    held, places = on_seconds(np.array([9, 3, 4, 7]))
    assert held.tolist() == [1, 2, 2, 2, 3, 3, 0]  # seconds 3 to 9
    assert places.tolist() == [6, 0, 1, 4]


def test_two_frames_in_one_second_are_refused():
    with pytest.raises(InputError, match="second 4 of a video has two frames"):
        on_seconds(np.array([4, 3, 4]))


def test_a_table_becomes_videos_without_labels_where_nothing_was_seen(table):
    features, video, second = table
    label = second % 4
    b = np.flatnonzero(video == "b")
    label[b[0]] = -1
    videos = videos_of(features, video, second, label)
    assert [len(labels) for _, labels in videos] == [58, 30, 3]  # a, b, c
    found, labels = videos[0]
    for at in range(58):
        row = np.flatnonzero((video == "a") & (second == at + 4))
        assert labels[at] == (label[row[0]] if row.size else -1)
        np.testing.assert_array_equal(found[at], features[row[0]] if row.size else found[at - 1])
    assert (videos[1][1] < 0).sum() == 1


def test_predictions_come_row_by_row_and_are_those_of_the_running_video(table):
    features, video, second = table
    model = TemporalModel(6, **TINY, seed=1)
    probabilities = predict_temporal(model, features, video, second)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    for name in "abc":
        stream = model.stream()
        rows = np.flatnonzero(video == name)
        for row in rows[np.argsort(second[rows])]:
            found = stream.step(features[row], second[row])
            np.testing.assert_allclose(found, probabilities[row], atol=1e-5)


def test_what_cannot_be_learnt_from_is_one_line():
    features, labels = operation(1)
    with pytest.raises(InputError, match="none of the training videos has a label"):
        fit([(features, np.full_like(labels, -1))])
    with pytest.raises(InputError, match="epoch 1"):
        fit([(features * np.nan, labels)])


def test_a_fit_is_the_same_whatever_was_fitted_before_and_leaves_that_alone():
    videos, others = [operation(seed) for seed in (0, 1)], [operation(seed) for seed in (2, 3)]
    settings = {"epochs": 2, "dropout": 0.5, "num_maps": 5}  # of no other test
    first, history, _ = fit(videos, **settings)
    before = [keras.ops.convert_to_numpy(variable) for variable in first.variables]
    second, other_history, _ = fit(others, **settings, seed=1)
    again, same_history, _ = fit(videos, **settings)

    assert same_history == history
    assert other_history != history
    assert len({id(first), id(second), id(again)}) == 3
    for variable, same, value in zip(first.variables, again.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
        np.testing.assert_array_equal(same, value)


def test_models_of_one_size_are_trained_by_one_compiled_update(monkeypatch):
    made = recorded(monkeypatch, training, "create_train_step")
    for seed in range(3):
        fit([operation(seed)], num_maps=6, seed=seed)  # of no other test
    assert len(made.calls) == 1
    fit([operation(0)], num_maps=6, learning_rate=1e-4)
    assert len(made.calls) == 2
