import numpy as np
import pytest
import tensorflow as tf

from msn.encoders import load_encoder, save_encoder
from msn.method.model import MSN, count_distinct

TINY = {"image_size": 16, "patch_size": 4, "width": 12, "depth": 2, "num_heads": 3}
STEM = TINY | {"stem_channels": (5, 7)}
PARTS = ("loss", "cross_entropy", "me_max", "entropy")
SCHEDULE = {"learning_rate": 1e-3, "weight_decay": 0.1, "momentum": 0.9, "sharpening": 0.25}
KEPT = tf.constant([0, 3, 5, 6, 9, 12])


def create(encoder=TINY, **options):
    return MSN(encoder, hidden_dim=16, output_dim=8, num_prototypes=6, **options)


def views(focal_views=2, seed=0, batch=4):
    random = np.random.default_rng(seed)
    shapes = {
        "target": (batch, 16, 16, 3),
        "anchor": (batch, 16, 16, 3),
        "focal": (focal_views, batch, 8, 8, 3),
    }
    return {name: tf.constant(random.integers(0, 256, s, np.uint8)) for name, s in shapes.items()}


def step(model, compiled="eager", drawn=None, **changes):
    schedule = {name: tf.constant(v, tf.float32) for name, v in (SCHEDULE | changes).items()}
    train = model.train_step
    if compiled != "eager":
        train = tf.function(train, jit_compile=compiled == "xla")
    return train(drawn or views(), KEPT, schedule)


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
    assert decayed[id(model.anchor_head.fc1.kernel.value)]
    expected = [variable.shape.ndims > 1 for variable in model.optimizer.trained[:-1]]
    assert model.optimizer.decayed == [*expected, False]


def test_clipping_and_decay_are_of_encoder_and_head_alone():
    """The prototypes' gradient is as it comes; the others are scaled to the limit together."""
    model = create(clip_gradients=0.5)
    variables = [*model.anchor_variables, model.prototypes]
    gradients = [tf.fill(variable.shape, 0.1) for variable in variables]
    before = values(variables)
    parts = {"loss": tf.constant(1.0), "targets": tf.fill((4, 6), 1 / 6)}
    schedule = SCHEDULE | {"weight_decay": 100.0}  # so much that it shows in one step
    schedule = {name: tf.constant(v, tf.float32) for name, v in schedule.items()}
    logs = model.update(gradients, parts, tf.ones((4, 8)), schedule)
    norm = np.sqrt(sum(0.01 * np.prod(variable.shape) for variable in variables[:-1]))
    assert float(logs["gradient_norm"]) == pytest.approx(norm, rel=1e-4)
    assert float(logs["gradient_norm_prototypes"]) == pytest.approx(0.1 * 48**0.5, rel=1e-4)
    clipped = [0.1 * 0.5 / norm] * (len(variables) - 1) + [0.1]
    for moment, gradient in zip(model.optimizer.first, clipped, strict=True):
        np.testing.assert_allclose(moment, 0.1 * gradient, rtol=1e-4)
    # Adam's first step is the rate; what is decayed loses rate x decay of itself besides.
    rate, decay = SCHEDULE["learning_rate"], 100.0
    for variable, old in zip(variables, before, strict=True):
        share = rate * decay if len(variable.shape) > 1 and variable is not model.prototypes else 0
        np.testing.assert_allclose(variable, old * (1 - share) - rate, rtol=1e-4, atol=1e-6)


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
    assert {name for name, value in logs.items() if not np.isfinite(value).all()} == set()
    total = logs["cross_entropy"] + logs["me_max"]
    assert float(logs["loss"]) == pytest.approx(float(total), rel=1e-6)
    assert 1 <= float(logs["prototypes_used"]) <= 4
    assert 0 < float(logs["gradient_norm_first_block"]) < float(logs["gradient_norm"])
    weighted = step(create(me_max_weight=5.0, entropy_weight=0.5))
    total = weighted["cross_entropy"] + 5 * weighted["me_max"] + 0.5 * weighted["entropy"]
    assert float(weighted["loss"]) == pytest.approx(float(total), rel=1e-5)


def test_running_statistics_of_a_stem_move_once_for_each_batch():
    model = create(STEM)
    anchor, target = (
        encoder.backbone.patch_embedding for encoder in (model.anchor_encoder, model.target_encoder)
    )
    drawn = views()
    encoder = model.anchor_encoder
    batches = [encoder.preprocess(v) for v in (drawn["anchor"], *tf.split(drawn["focal"], 1))]
    batches[1] = tf.reshape(batches[1], (8, 8, 8, 3))
    expected = np.zeros(5)
    for images in batches:  # the anchor view, then the focal views: two batches
        maps = anchor.convolutions[0](tf.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0))))
        expected += 0.1 * (np.mean(maps, axis=(0, 1, 2)) - expected)
    images = encoder.preprocess(drawn["target"])
    maps = target.convolutions[0](tf.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0))))
    once = 0.1 * np.mean(maps, axis=(0, 1, 2))
    before = [np.array(norm.gamma) for norm in target.norms]
    step(model, momentum=0.5)
    np.testing.assert_allclose(anchor.norms[0].running_mean, expected, rtol=1e-4, atol=1e-6)
    # Of its own batch, not an average with the anchor's; its parameters are averages.
    np.testing.assert_allclose(target.norms[0].running_mean, once, rtol=1e-4, atol=1e-6)
    for norm, old, new in zip(target.norms, before, anchor.norms, strict=True):
        np.testing.assert_allclose(norm.gamma, 0.5 * old + 0.5 * np.array(new.gamma), rtol=1e-5)
        assert not np.array_equal(norm.gamma, old)


def test_stochastic_depth_is_drawn_anew_for_every_step():
    model, same, other = (create(drop_path=0.5, seed=seed) for seed in (0, 0, 1))
    first = np.array(model.draw_branch_scales(300, 2))
    assert first.shape == (2, 2, 900)
    np.testing.assert_array_equal(first[0], 1)  # nothing is skipped in the first block
    assert set(np.unique(first[1])) == {0, 2}
    assert 0.4 < (first[1] == 0).mean() < 0.6
    assert not np.array_equal(first[1, 0], first[1, 1])
    parts = np.split(first[1, 0], 6)  # nor are views or parts of them the same
    assert len({part.tobytes() for part in parts}) == 6
    np.testing.assert_array_equal(first, model.draw_branch_scales(300, 2))
    np.testing.assert_array_equal(first, same.draw_branch_scales(300, 2))
    assert not np.array_equal(first, other.draw_branch_scales(300, 2))
    step(model)
    assert not np.array_equal(first, model.draw_branch_scales(300, 2))
    assert create().draw_branch_scales(300, 2) is None


@pytest.mark.parametrize("encoder", [TINY, STEM], ids=["patches", "stem"])
def test_a_batch_in_pieces_is_the_batch(encoder, monkeypatch):
    """Every image has its own stochastic depth and place, however the batch is cut.

    With a stem it is not: its batch norms are over the whole batch.
    """
    parts, expected = (create(encoder, drop_path=0.5) for _ in range(2))
    for model, pieces in ((parts, 3), (expected, 1)):
        monkeypatch.setattr("msn.networks.pieces.PIECES", pieces)
        step(model)
    moments = zip(parts.optimizer.first, expected.optimizer.first, strict=True)
    for one, other in moments:
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_stochastic_depth_is_the_anchors_alone():
    model, without = create(drop_path=0.9), create()
    drawn = views()
    np.testing.assert_array_equal(
        model.embed_target(drawn["target"]), without.embed_target(drawn["target"])
    )
    ours, theirs = (
        m.embed_anchors(drawn["anchor"], drawn["focal"], KEPT) for m in (model, without)
    )
    assert np.abs(ours - theirs).max() > 1e-3


def test_recomputation_trains_the_same_weights():
    """With stochastic depth: what is computed again is what was computed."""
    model, again = (create(drop_path=0.5, recompute=r) for r in (False, True))
    logs, logs_again = step(model), step(again, "graph")
    for name in PARTS:
        assert float(logs_again[name]) == pytest.approx(float(logs[name]), rel=1e-4), name
    norm = float(logs["gradient_norm"])
    assert float(logs_again["gradient_norm"]) == pytest.approx(norm, rel=1e-4)
    # Adam divides by the gradient's own size: where that is rounding noise alone, so is a step.
    pairs = zip(model.optimizer.first, again.optimizer.first, strict=True)
    for moment, moment_again in pairs:
        np.testing.assert_allclose(moment, moment_again, rtol=1e-3, atol=1e-6 * norm)
    differing = [
        np.mean(np.abs(np.array(one) - np.array(other)) > 1e-5)
        for one, other in zip(model.anchor_variables, again.anchor_variables, strict=True)
    ]
    assert np.mean(differing) < 0.1


# Wide and many enough that rounding to eight bits averages out: predictions are sharpened to a
# temperature of 0.025, where an embedding of few numbers is rounded to another prototype.
WIDE = {"width": 48, "hidden_dim": 128, "output_dim": 32, "num_prototypes": 64, "batch": 64}


@pytest.mark.parametrize(
    "stem, compiled",
    [(None, "graph"), ((8, 16), "graph"), (None, "xla")],
    ids=["patches", "stem", "xla"],
)
def test_half_precision_agrees_within_one_percent(stem, compiled):
    depth = 1 if compiled == "xla" else 2  # compiling takes its time
    encoder = TINY | {"width": WIDE["width"], "stem_channels": stem, "depth": depth}
    sizes = {name: WIDE[name] for name in ("hidden_dim", "output_dim", "num_prototypes")}
    single, half = (MSN(encoder, **sizes, dtype=dtype) for dtype in (None, "mixed_bfloat16"))
    drawn = views(batch=WIDE["batch"])
    expected, logs = step(single, drawn=drawn), step(half, compiled, drawn)
    assert {value.dtype for value in logs.values()} == {tf.float32}
    for name in PARTS:
        assert float(logs[name]) == pytest.approx(float(expected[name]), rel=0.01), name
    for part in ("anchor_encoder", "anchor_head", "target_encoder", "target_head"):
        ours, theirs = getattr(half, part).weights, getattr(single, part).weights
        assert {v.dtype for v in ours} == {"float32"}, part
        for one, other in zip(ours, theirs, strict=True):
            assert np.isfinite(one).all(), one.path
            if "running" in one.path:
                np.testing.assert_allclose(one, other, rtol=0.01, atol=0.01)
    for moments in (half.optimizer.first, half.optimizer.second):
        assert {moment.dtype for moment in moments} == {tf.float32}
        assert all(np.isfinite(moment).all() for moment in moments)
    assert (
        0 < float(logs["gradient_norm"]) == pytest.approx(float(expected["gradient_norm"]), rel=0.1)
    )


@pytest.mark.parametrize("encoder", [TINY, STEM], ids=["patches", "stem"])
def test_the_encoder_of_a_run_in_half_precision_is_single(tmp_path, encoder):
    model = create(encoder, dtype="mixed_bfloat16")
    step(model)
    opened = load_encoder(save_encoder(model.target_encoder, tmp_path / "encoder", {}))
    assert opened.compute_dtype == opened.backbone.blocks[0].compute_dtype == "float32"
    for one, other in zip(opened.weights, model.target_encoder.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    images = views()["target"]
    cls = np.asarray(opened(images)[1])
    assert cls.dtype == np.float32
    frozen = load_encoder(tmp_path / "encoder" / "saved_model")
    np.testing.assert_allclose(frozen(tf.cast(images, tf.float32))[1], cls, rtol=1e-4, atol=1e-4)


def test_the_prior_reaches_the_loss():
    uniform, law = step(create()), step(create(prior_exponent=2.0))
    assert float(law["cross_entropy"]) == pytest.approx(float(uniform["cross_entropy"]), rel=1e-6)
    assert float(law["me_max"]) > float(uniform["me_max"]) + 0.05


def test_count_distinct():
    assert float(count_distinct(tf.constant([3, 1, 3, 0]), 6)) == 3
