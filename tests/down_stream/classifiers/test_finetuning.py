import os
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.frame_index import load_index
from down_stream.classifiers import finetuning
from down_stream.classifiers.frame_model import FrameModel
from down_stream.classifiers.losses import sigmoid_cross_entropy, softmax_cross_entropy
from msn.networks.encoder import Encoder
from msn.workdir.checkpoint_files import checkpoints
from tests.support.small_dataset import make_small_dataset

pytestmark = pytest.mark.usefixtures("without_xla")

TINY = {"image_size": 16, "patch_size": 8, "width": 12, "depth": 1, "num_heads": 3, "seed": 0}
ADAM = {
    "name": "adamw",
    "learning_rate": 0.01,
    "weight_decay": 1e-4,
    "warmup": 0.1,
    "layer_decay": 1.0,
}
VIEWS = {"transformation": "views"}


def small_model(classes=7):
    return FrameModel(Encoder(**TINY), [str(i) for i in range(classes)], seed=0)


def fit(model, root, labels=None, optimizer=ADAM, **changes):
    index = load_index(root)
    arguments = {
        "loss": softmax_cross_entropy,
        "augmentation": VIEWS,
        "epochs": 2,
        "batch_size": 14,
        "seed": 0,
        "validate": None,
    }
    labels = index.phase if labels is None else labels
    return finetuning.finetune(model, index, labels, optimizer=optimizer, **(arguments | changes))


def changed(before, after):
    return [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]


@pytest.mark.xla
def test_fine_tuning_changes_everything_and_learns(small_dataset):
    model = small_model()
    before = [np.array(variable) for variable in model.trainable_variables]
    history, best = fit(model, small_dataset, epochs=30, augmentation={"transformation": "resize"})
    assert all(changed(before, model.trainable_variables))
    assert set(history) == {"loss", "accuracy"}
    assert len(history["loss"]) == 30
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    assert history["accuracy"][-1] > 0.4  # chance is 1 in 7
    assert best == 29  # without validation the last epoch counts


def test_the_best_epoch_is_kept_even_if_later_ones_are_worse(small_dataset, eagerly):
    model = small_model()
    scores = iter([0.2, 0.9, 0.1, 0.3])
    weights = []

    def validate():
        weights.append(model.get_weights())
        return next(scores)

    history, best = fit(model, small_dataset, epochs=4, validate=validate, score_name="map")
    assert best == 1
    assert history["val_map"] == [0.2, 0.9, 0.1, 0.3]
    assert not any(changed(model.get_weights(), weights[1]))
    assert any(changed(model.get_weights(), weights[3]))


def test_tools_are_learnt_and_unknown_ones_ignored(small_dataset, eagerly):
    """A label that is unknown in all frames leaves its part of the head as it is."""
    model = small_model()
    index = load_index(small_dataset)
    labels = index.tools.copy()
    labels[:, 1] = -1
    kernel = np.array(model.head.kernel)
    no_decay = ADAM | {"weight_decay": 0.0}
    history, _ = fit(model, small_dataset, labels, no_decay, loss=sigmoid_cross_entropy, epochs=6)
    moved = np.abs(np.asarray(model.head.kernel) - kernel).max(axis=0)
    assert moved[1] == 0
    assert moved[0] > 0
    assert history["loss"][-1] < history["loss"][0]
    assert history["accuracy"][-1] == 1


def test_class_weights_reach_the_loss(small_dataset):
    weights = dict(enumerate(np.eye(7)[3].tolist()))
    model = small_model()
    fit(model, small_dataset, weights=weights, epochs=10)
    images = np.zeros((1, 16, 16, 3), np.float32)
    assert np.asarray(model(images)).argmax() == 3


def test_a_loss_that_is_not_finite_ends_the_fit(small_dataset, eagerly):
    sgd = ADAM | {"name": "sgd", "learning_rate": 1e30, "warmup": 0.0}
    with pytest.raises(InputError, match=r"epoch [12]; lower the learning rate"):
        fit(small_model(), small_dataset, optimizer=sgd)


def test_frames_that_cannot_be_read_are_not_learnt_from(tmp_path, eagerly):
    """With all of them broken nothing moves, and the fit ends."""
    root = make_small_dataset(tmp_path, videos=1)
    for path in load_index(root).paths(slice(None)):
        os.truncate(path, 10)
    model = small_model()
    before = model.get_weights()
    history, _ = fit(model, root, optimizer=ADAM | {"weight_decay": 0.0})
    assert not any(changed(before, model.get_weights()))
    assert history["loss"] == [0, 0]


def test_scales_fall_towards_the_input():
    model = FrameModel(Encoder(**(TINY | {"depth": 2})), ["a", "b"])
    scales = finetuning.learning_rate_scales(model, model.trainable_variables, 0.5)
    of = {id(v): scale for v, scale in zip(model.trainable_variables, scales, strict=True)}
    backbone = model.encoder.backbone
    expected = [
        (model.head.trainable_variables, 1),
        (backbone.norm.trainable_variables, 1),
        (backbone.blocks[1].trainable_variables, 0.5),
        (backbone.blocks[0].trainable_variables, 0.25),
        (backbone.patch_embedding.trainable_variables, 0.125),
        ([backbone.cls_token, backbone.positions], 0.125),
    ]
    for variables, scale in expected:
        assert {of.pop(id(variable)) for variable in variables} == {scale}
    assert not of


@pytest.mark.parametrize("name", sorted(finetuning.OPTIMIZERS))
def test_a_scaled_step_is_that_of_an_optimizer_with_a_scaled_rate(name):
    """Ten updates, decay included, beside one optimizer for each variable."""
    scales = [1.0, 0.3, 0.0]
    start = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)

    def variables():
        return [keras.Variable(row, name="kernel") for row in start]

    def optimizer_of(rate, trained):
        optimizer = finetuning.create_optimizer(name, rate, 0.2, warmup=0.2, steps=10)
        optimizer.build(trained)
        return optimizer

    together = variables()

    def loss_of(inputs, labels):
        loss = sum(keras.ops.sum((v - labels) ** 2 * inputs) for v in together)
        return loss, loss

    train_step = finetuning.create_train_step(
        loss_of, together, optimizer_of(0.1, together), scales
    )
    apart = variables()
    optimizers = [optimizer_of(0.1 * s, [v]) for s, v in zip(scales, apart, strict=True)]
    random = np.random.default_rng(1)
    for _ in range(10):
        inputs, labels = random.normal(size=(2, 4)).astype(np.float32)
        train_step(inputs, labels)
        for optimizer, variable in zip(optimizers, apart, strict=True):
            optimizer.apply([2 * (np.asarray(variable) - labels) * inputs], [variable])
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert np.abs(np.asarray(together[1]) - start[1]).max() > 1e-3
    np.testing.assert_array_equal(together[2], start[2])


def test_layer_decay_of_zero_trains_the_head_and_the_last_norm_alone(small_dataset, eagerly):
    model = small_model()
    before = model.encoder.get_weights()
    kernel = np.array(model.head.kernel)
    fit(model, small_dataset, optimizer=ADAM | {"layer_decay": 0.0})
    assert sum(changed(before, model.encoder.get_weights())) == 2
    assert not np.array_equal(model.head.kernel, kernel)


class StopAfter:
    """A stop that is requested in the step of this number."""

    def __init__(self, step):
        self.left = step

    @property
    def requested(self):
        self.left -= 1
        return self.left <= 0


def test_stopped_in_mid_epoch_it_goes_on_to_the_same_end(small_dataset, tmp_path):
    def run(directory, stop=None):
        model = small_model()
        scores = iter([0.5, 0.7, 0.6, 0.1])

        def validate():
            return next(scores)

        arguments = {"epochs": 3, "batch_size": 10, "directory": directory, "stop": stop}
        return model, lambda: fit(model, small_dataset, validate=validate, **arguments)

    model, start = run(tmp_path / "a")
    expected = start()
    other, start = run(tmp_path / "b", StopAfter(3))
    with pytest.raises(finetuning.StoppedError, match="after step 3"):
        start()
    assert len(checkpoints(tmp_path / "b")) == 1
    other, start = run(tmp_path / "b")
    assert start() == expected
    assert expected[1] == 1
    assert not any(changed(model.get_weights(), other.get_weights()))


def test_stopped_by_its_last_update_it_says_so_and_the_next_call_ends(
    small_dataset, tmp_path, eagerly
):
    """Who runs several of them must not go on with the next."""
    arguments = {"epochs": 1, "batch_size": 28, "directory": tmp_path}
    with pytest.raises(finetuning.StoppedError, match="after step 2"):
        fit(small_model(), small_dataset, stop=StopAfter(2), **arguments)
    history, best = fit(small_model(), small_dataset, **arguments)
    assert (len(history["loss"]), best) == (1, 0)


@pytest.mark.parametrize("name", sorted(finetuning.OPTIMIZERS))
def test_every_published_optimizer_takes_every_value(name):
    for rate, decay in ((0.1, 0.01), (0.1, 0.0), (0.0, 0.0)):
        optimizer = finetuning.create_optimizer(name, rate, decay, warmup=0.0, steps=10)
        variable = keras.Variable(np.ones(3, np.float32), name="kernel")
        optimizer.apply([np.ones(3, np.float32)], [variable])
        moved = not np.array_equal(np.asarray(variable), np.ones(3))
        assert moved == (rate > 0)


@pytest.mark.parametrize("name", sorted(finetuning.OPTIMIZERS))
def test_biases_and_norms_are_not_decayed(name):
    optimizer = finetuning.create_optimizer(name, 0.1, 0.5, warmup=0.0, steps=10)
    names = ("kernel", "bias", "gamma", "beta")
    variables = [keras.Variable(np.ones(3, np.float32), name=one) for one in names]
    optimizer.apply([np.zeros(3, np.float32)] * 4, variables)
    np.testing.assert_allclose([np.array(v)[0] for v in variables], [0.95, 1, 1, 1], rtol=1e-6)


def test_learning_rate_warms_up_and_falls_to_zero():
    optimizer = finetuning.create_optimizer("sgd", 1.0, 0.0, warmup=0.5, steps=8)
    rates = []
    for _ in range(8):
        rates.append(float(optimizer.learning_rate))
        if len(rates) == 1:
            optimizer.build([keras.Variable([0.0])])
        optimizer.iterations.assign(len(rates))
    np.testing.assert_allclose(rates[:5], [0, 0.25, 0.5, 0.75, 1.0], atol=1e-6)
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] < 0.2


def test_frames_that_an_earlier_start_could_not_read_still_count(small_dataset, tmp_path, eagerly):
    index = load_index(small_dataset)
    broken = tmp_path / "data"
    shutil.copytree(small_dataset, broken)
    for row in range(len(index)):
        (broken / Path(index.paths([row])[0]).relative_to(small_dataset)).write_bytes(b"cut off")
    unreadable, arguments = set(), {"epochs": 1, "directory": tmp_path / "run"}
    with pytest.raises(finetuning.StoppedError):
        fit(small_model(), broken, stop=StopAfter(1), unreadable=unreadable, **arguments)
    assert len(unreadable) >= 14
    again = set()
    fit(small_model(), small_dataset, unreadable=again, **arguments)  # can be read meanwhile
    assert len(again) >= 14 and again <= unreadable
