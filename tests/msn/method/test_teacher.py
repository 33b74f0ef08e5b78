import numpy as np
import pytest
import tensorflow as tf

from msn.method.model import MSN
from msn.method.schedules import teacher_weights
from msn.method.teacher import TeacherHead, teacher_loss
from msn.training.configuration import as_scalars

TINY = {"image_size": 16, "patch_size": 8, "width": 12, "depth": 2, "num_heads": 2}
HEADS = {"hidden_dim": 16, "output_dim": 8, "num_prototypes": 6}
SCHEDULE = {"learning_rate": 1e-2, "weight_decay": 0.1, "momentum": 0.9, "sharpening": 0.25}


@pytest.fixture
def views():
    draw = np.random.default_rng(0)

    def images(*shape):
        return tf.constant(draw.uniform(0, 255, shape), tf.float32)

    return {
        "target": images(4, 16, 16, 3),
        "anchor": images(4, 16, 16, 3),
        "focal": images(2, 4, 8, 8, 3),
        "teacher": tf.constant(draw.normal(size=(4, 5)), tf.float32),
    }


def step(model, views, msn_weight, teacher_weight):
    schedule = SCHEDULE | {"msn_weight": msn_weight, "teacher_weight": teacher_weight}
    return model.train_step(views, tf.constant([0, 2, 3]), as_scalars(schedule, "float32"))


def values(variables):
    return [np.array(variable) for variable in variables]


def test_the_loss_is_one_minus_the_cosine_of_both_regressions():
    head = TeacherHead(3, 2, seed=0)
    draw = np.random.default_rng(1)
    pair, said = draw.normal(size=(4, 6)).astype("f"), draw.normal(size=(4, 2)).astype("f")
    kernels = [np.array(layer.kernel) for layer in (head.of_cls, head.of_patches)]
    cosines = [
        np.sum(part * said, axis=1) / np.linalg.norm(part, axis=1) / np.linalg.norm(said, axis=1)
        for part in (pair[:, :3] @ kernels[0], pair[:, 3:] @ kernels[1])
    ]
    assert float(teacher_loss(head(pair), said)) == pytest.approx(1 - np.mean(cosines), abs=1e-5)
    assert float(teacher_loss(head(pair), 7 * said)) == pytest.approx(
        1 - np.mean(cosines), abs=1e-5
    )


def test_an_image_of_which_nothing_is_known_teaches_nothing():
    head = TeacherHead(3, 2, seed=0)
    pair = tf.constant(np.random.default_rng(1).normal(size=(2, 6)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(pair)
        loss = teacher_loss(head(pair), tf.constant([[0.0, 0.0], [1.0, -1.0]]))
    gradient = tape.gradient(loss, pair).numpy()
    assert not gradient[0].any() and gradient[1].all()


def test_the_pair_of_an_anchor_is_what_its_encoder_gives(views):
    model = MSN(TINY, **HEADS, teacher_width=5)
    encoder = model.anchor_encoder
    both = model.represent(encoder, views["anchor"], tf.constant([0, 2, 3]), patches=True)
    tokens, cls = encoder.backbone(encoder.preprocess(views["anchor"]), tf.constant([0, 2, 3]))
    np.testing.assert_allclose(both[:, :12], cls, atol=1e-5)
    np.testing.assert_allclose(both[:, 12:], np.mean(tokens[:, 1:], axis=1), atol=1e-5)


def test_both_losses_are_added_with_their_weights(views):
    logs = step(MSN(TINY, **HEADS, teacher_width=5), views, 1.0, 3.0)
    alone = step(MSN(TINY, **HEADS), {k: v for k, v in views.items() if k != "teacher"}, 1.0, 0.0)
    assert "teacher" not in alone
    assert float(logs["cross_entropy"]) == pytest.approx(float(alone["cross_entropy"]), rel=1e-5)
    expected = float(alone["loss"]) + 3 * float(logs["teacher"])
    assert float(logs["loss"]) == pytest.approx(expected, rel=1e-5)
    assert float(logs["updated"]) == 1


def test_the_teacher_alone_moves_the_encoder_and_the_head_of_msn_decays(views):
    model = MSN(TINY, **HEADS, teacher_width=5)
    parts = {
        "encoder": model.anchor_encoder.trainable_variables,
        "teacher": model.teacher_variables,
        "prototypes": [model.prototypes],
        "biases": [v for v in model.anchor_head.trainable_variables if len(v.shape) == 1],
        "kernels": [v for v in model.anchor_head.trainable_variables if len(v.shape) > 1],
    }
    before = {name: values(variables) for name, variables in parts.items()}
    losses = [float(step(model, views, 0.0, 1.0)["teacher"]) for _ in range(6)]
    assert losses[-1] < 0.8 * losses[0]
    for name in ("encoder", "teacher"):
        moved = [not np.array_equal(a, b) for a, b in zip(before[name], parts[name], strict=True)]
        assert np.mean(moved) > 0.8, name
    for name in ("prototypes", "biases"):
        assert all(map(np.array_equal, before[name], values(parts[name]))), name
    decay = (1 - SCHEDULE["learning_rate"] * SCHEDULE["weight_decay"]) ** 6
    for old, new in zip(before["kernels"], values(parts["kernels"]), strict=True):
        np.testing.assert_allclose(new, decay * old, rtol=1e-5)


def test_features_that_are_not_finite_leave_everything_as_it_is(views):
    model = MSN(TINY, **HEADS, teacher_width=5)
    before = values([*model.anchor_variables, *model.teacher_variables])
    logs = step(model, views | {"teacher": tf.fill((4, 5), np.float32(np.nan))}, 1.0, 1.0)
    assert float(logs["updated"]) == 0
    after = values([*model.anchor_variables, *model.teacher_variables])
    assert all(map(np.array_equal, before, after))


@pytest.mark.parametrize("wrong", [-1, -2, -4])
def test_gradients_of_its_head_must_be_finite_too(wrong):
    model = MSN(TINY, **HEADS, teacher_width=5)
    variables = [*model.anchor_variables, model.prototypes, *model.teacher_variables]
    before = values(variables)
    gradients = [np.full(variable.shape, 0.1, np.float32) for variable in variables]
    gradients[wrong].flat[-1] = np.inf
    parts = {"loss": tf.constant(1.0), "targets": tf.fill((4, 6), 1 / 6)}
    schedule = as_scalars(SCHEDULE, "float32")
    logs = model.update([*map(tf.constant, gradients)], parts, tf.ones((4, 8)), schedule)
    assert float(logs["updated"]) == 0
    assert all(map(np.array_equal, before, values(variables)))


def test_the_weights_go_from_the_first_to_the_last_step():
    given = {"start": 1.0, "final": 0.0, "alone": 0.5, "total_steps": 10}
    weights = [teacher_weights(step, **given) for step in range(10)]
    np.testing.assert_allclose([teacher for teacher, _ in weights], np.linspace(1, 0, 10))
    assert [msn for _, msn in weights] == [0.0] * 5 + [1.0] * 5
    assert teacher_weights(0, start=2.0, final=2.0, alone=1.0, total_steps=1) == (2.0, 0.0)
