import numpy as np
import pytest
import tensorflow as tf

from msn.distribution.gradient_cache import CachedStep
from msn.method.model import MSN

TINY = {"image_size": 16, "patch_size": 4, "width": 12, "depth": 2, "num_heads": 3}
SCHEDULE = {"learning_rate": 1e-3, "weight_decay": 0.1, "momentum": 0.9, "sharpening": 0.25}
KEPT = tf.constant([0, 3, 5, 6, 9, 12])
EXACT = ("loss", "cross_entropy", "me_max", "entropy", "gradient_norm", "max_target")


def views(focal_views=2, batch=4):
    random = np.random.default_rng(0)
    shapes = {
        "target": (batch, 16, 16, 3),
        "anchor": (batch, 16, 16, 3),
        "focal": (focal_views, batch, 8, 8, 3),
    }
    return {name: tf.constant(random.integers(0, 256, s, np.uint8)) for name, s in shapes.items()}


def create(**options):
    return MSN(TINY, hidden_dim=16, output_dim=8, num_prototypes=6, **options)


def schedule(dtype="float32"):
    return {name: tf.constant(value, dtype) for name, value in SCHEDULE.items()}


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    "accumulation, focal_views, options",
    [
        (1, 2, {"drop_path": 0.5}),
        (4, 0, {"drop_path": 0.5, "entropy_weight": 0.5}),
        (2, 2, {"recompute": True, "use_sinkhorn": False, "clip_gradients": 0.0}),
    ],
)
def test_micro_batches_are_the_whole_batch(accumulation, focal_views, options):
    # Differences that are not rounding show in double precision.
    compare(accumulation, focal_views, options | {"dtype": "float64"}, rounding=1e-10)


@pytest.mark.usefixtures("eagerly")
def test_micro_batches_in_half_precision_are_the_whole_batch():
    compare(2, 2, {"dtype": "mixed_bfloat16"}, rounding=2e-2)


def compare(accumulation, focal_views, options, rounding):
    """One step of both; first moments are a tenth of the gradient after it."""
    whole, parts = create(**options), create(**options)
    drawn, values = views(focal_views), schedule(whole.dtype)
    expected = whole.train_step(drawn, KEPT, values)
    logs = CachedStep(parts, accumulation, compiled=False)(drawn, KEPT, values)
    assert logs.keys() == expected.keys()
    for name in EXACT:
        assert float(logs[name]) == pytest.approx(float(expected[name]), rel=rounding), name
    norm = float(expected["gradient_norm"])
    for one, other in zip(parts.optimizer.first, whole.optimizer.first, strict=True):
        np.testing.assert_allclose(one, other, rtol=rounding, atol=rounding * norm)
    for one, other in zip(parts.anchor_head.weights, whole.anchor_head.weights, strict=True):
        if "running" in one.path:
            np.testing.assert_allclose(one, other, rtol=rounding, atol=rounding)
    assert not np.array_equal(parts.target_head.bn1.running_mean, np.zeros(16))


def test_a_micro_batch_is_embedded_alone():
    """What is in memory at a time does not grow with the number of micro-batches."""
    model, seen = create(), []
    represent = model.represent

    def watched(encoder, images, *others):
        seen.append(images.shape[0])
        return represent(encoder, images, *others)

    model.represent = watched
    train = tf.function(CachedStep(model, 2, compiled=False))
    graph = train.get_concrete_function(views(batch=8), KEPT, schedule()).graph
    # The target's four images of a micro-batch; four anchor images and eight focal ones, traced
    # twice: to embed, and to go back.
    assert seen == [4, 4, 8, 4, 8]
    calls = [op for op in graph.get_operations() if "encoder_gradients" in str(op.node_def)]
    assert len(calls) == 2
    assert calls[0] in ancestors(calls[1])


def ancestors(operation):
    """All operations that run before one."""
    found, waiting = set(), [operation]
    while waiting:
        operation = waiting.pop()
        for before in [*operation.control_inputs, *(tensor.op for tensor in operation.inputs)]:
            if before not in found:
                found.add(before)
                waiting.append(before)
    return found
