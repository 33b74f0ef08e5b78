import numpy as np
import pytest
import tensorflow as tf

from msn.model import MSN, count_distinct

TINY = {"image_size": 16, "patch_size": 4, "width": 12, "depth": 2, "num_heads": 3}
SCHEDULE = {"learning_rate": 1e-3, "weight_decay": 0.1, "momentum": 0.9, "sharpening": 0.25}
KEPT = tf.constant([0, 3, 5, 6, 9, 12])


def create(**options):
    return MSN(TINY, hidden_dim=16, output_dim=8, num_prototypes=6, **options)


def views(focal_views=2, seed=0):
    random = np.random.default_rng(seed)
    shapes = {
        "target": (4, 16, 16, 3),
        "anchor": (4, 16, 16, 3),
        "focal": (focal_views, 4, 8, 8, 3),
    }
    return {name: tf.constant(random.integers(0, 256, s, np.uint8)) for name, s in shapes.items()}


def step(model, **changes):
    schedule = {name: tf.constant(v, tf.float32) for name, v in (SCHEDULE | changes).items()}
    return model.train_step(views(), KEPT, schedule)


def values(variables):
    return [np.array(variable) for variable in variables]


def test_target_starts_at_the_anchor_and_moves_by_its_momentum():
    model = create()
    start = values(model.target_variables)
    assert all(map(np.array_equal, start, values(model.anchor_variables)))
    step(model)
    moved = zip(start, values(model.anchor_variables), values(model.target_variables), strict=True)
    for before, anchor, target in moved:
        np.testing.assert_allclose(target, 0.9 * before + 0.1 * anchor, rtol=1e-5, atol=1e-7)


def test_running_statistics_follow_the_batches_not_the_average():
    model = create()
    step(model, momentum=1.0)
    target, anchor = model.target_head.bn1, model.anchor_head.bn1
    assert np.abs(target.running_mean).max() > 0
    # The anchor network has passed two batches (anchor view, focal views), the target one.
    model.anchor_head.bn1.running_mean.assign(np.zeros(16))
    model.embed_anchors(*(views()[name] for name in ("anchor", "focal")), KEPT)
    twice = np.array(anchor.running_mean)
    model.anchor_head.bn1.running_mean.assign(np.zeros(16))
    model.embed_anchors(views()["anchor"], views(focal_views=0)["focal"], KEPT)
    once = np.array(anchor.running_mean)
    assert not np.allclose(twice, once)


def test_a_step_trains_encoder_head_and_prototypes():
    model = create()
    before = values([*model.anchor_variables, model.prototypes])
    step(model)
    after = values([*model.anchor_variables, model.prototypes])
    assert not any(map(np.array_equal, before, after))


def test_decay_spares_biases_norms_and_prototypes():
    """With a decay of 1 and rate 1, decayed weights lose their old value altogether."""
    model = create()
    decayed = dict(zip(map(id, model.optimizer.trained), model.optimizer.decayed, strict=True))
    backbone = model.anchor_encoder.backbone
    assert not decayed[id(model.prototypes.value)]
    assert not decayed[id(backbone.norm.gamma.value)]
    assert not decayed[id(backbone.blocks[0].fc1.bias.value)]
    assert not decayed[id(model.anchor_head.bn1.gamma.value)]
    assert decayed[id(backbone.cls_token.value)]
    assert decayed[id(backbone.positions.value)]
    assert decayed[id(backbone.blocks[0].fc1.kernel.value)]


def test_the_mask_is_on_the_anchor_view_alone():
    model = create()
    drawn = views()
    black = np.array(drawn["anchor"])
    black[:, 0:4, 4:8] = 0  # patch 1, which KEPT leaves out
    embeddings = model.embed_anchors(drawn["anchor"], drawn["focal"], KEPT)
    same = model.embed_anchors(tf.constant(black), drawn["focal"], KEPT)
    np.testing.assert_array_equal(embeddings, same)
    focal = np.array(drawn["focal"])
    focal[:, :, 0:4, 4:8] = 0
    other = np.asarray(model.embed_anchors(drawn["anchor"], tf.constant(focal), KEPT))
    np.testing.assert_array_equal(embeddings[:4], other[:4])
    assert np.abs(embeddings[4:] - other[4:]).max() > 1e-4


def test_loss_falls_on_a_batch_that_repeats():
    model = create()
    train = tf.function(model.train_step)
    schedule = {name: tf.constant(v, tf.float32) for name, v in SCHEDULE.items()}
    losses = [float(train(views(), KEPT, schedule)["loss"]) for _ in range(40)]
    assert losses[-1] < 0.8 * losses[0]


def test_logged_values():
    logs = step(create())
    assert {name for name, value in logs.items() if not np.isfinite(value)} == set()
    total = logs["cross_entropy"] + logs["me_max"]
    assert float(logs["loss"]) == pytest.approx(float(total), rel=1e-6)
    assert 1 <= float(logs["prototypes_used"]) <= 4
    assert 0 < float(logs["gradient_norm_first_block"]) < float(logs["gradient_norm"])
    weighted = step(create(me_max_weight=5.0, entropy_weight=0.5))
    total = weighted["cross_entropy"] + 5 * weighted["me_max"] + 0.5 * weighted["entropy"]
    assert float(weighted["loss"]) == pytest.approx(float(total), rel=1e-5)


def test_count_distinct():
    assert float(count_distinct(tf.constant([3, 1, 3, 0]), 6)) == 3
