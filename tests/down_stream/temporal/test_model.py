import json
import tracemalloc

import numpy as np
import pytest
from keras import ops

from data.common.errors import InputError
from down_stream.temporal.model import (
    DilatedResidual,
    TemporalModel,
    fill_up,
    load_temporal,
    save_temporal,
)

SMALL = {"width": 6, "num_classes": 4, "num_layers": 3, "num_maps": 8, "seed": 0}
FEATURES = np.random.default_rng(0).normal(1, 2, (90, 6)).astype(np.float32)


def logits(model, features):
    """Of the last stage, from exactly these seconds."""
    present = np.ones((1, len(features)), np.float32)
    return ops.convert_to_numpy(model((features[np.newaxis], present)))[0, -1]


def streamed(model, features, seconds=None):
    stream = model.stream()
    seconds = [None] * len(features) if seconds is None else seconds
    return np.stack([stream.step(*frame) for frame in zip(features, seconds, strict=True)])


def test_the_future_does_not_change_the_past():
    model = TemporalModel(**SMALL)
    before = logits(model, FEATURES)
    for second in (1, 40, 89):
        changed = FEATURES.copy()
        changed[second:] += np.float32(5)
        after = logits(model, changed)
        np.testing.assert_array_equal(after[:second], before[:second])
        assert (after[second] != before[second]).any()
        np.testing.assert_allclose(
            model.probabilities(FEATURES[:second]),
            model.probabilities(FEATURES)[:second],
            atol=1e-6,
        )


def test_the_offline_variant_sees_the_future():
    model = TemporalModel(**SMALL, causal=False)
    changed = FEATURES.copy()
    changed[40:] += np.float32(5)
    difference = np.abs(logits(model, changed) - logits(model, FEATURES)).max(axis=1)
    assert difference[39] > 0
    assert difference[40 - model.receptive_field] == 0


def test_the_receptive_field_is_what_it_says():
    """Two stages of three layers see 1 + 2 (2 + 4 + 8) seconds."""
    model = TemporalModel(**SMALL)
    assert model.receptive_field == 29
    changed = FEATURES.copy()
    changed[30] += np.float32(5)
    differs = (logits(model, changed) != logits(model, FEATURES)).any(axis=1)
    assert differs[30]
    assert differs[30 + 28 - 1 : 30 + 29].any()
    assert not differs[30 + 29 :].any()


@pytest.mark.parametrize("causal", [True, False])
def test_a_layer_is_the_formula_of_the_paper(causal):
    layer = DilatedResidual(3, 4, causal, 0.5, np.random.default_rng(1))
    layer.convolution.bias.assign([0.1, -0.2, 0.3])
    x = np.random.default_rng(2).normal(size=(20, 3)).astype(np.float32)
    kernel = np.asarray(layer.convolution.kernel)
    around = np.pad(x, ((8, 0) if causal else (4, 4), (0, 0)))
    hidden = sum(around[4 * i : 4 * i + 20] @ kernel[i] for i in range(3))
    hidden = np.maximum(hidden + np.asarray(layer.convolution.bias), 0)
    expected = x + hidden @ np.asarray(layer.projection.kernel)
    found = layer(x[np.newaxis], np.ones((1, 20, 1), np.float32))
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


@pytest.mark.parametrize("causal", [True, False])
def test_what_fills_up_a_video_changes_nothing(causal):
    model = TemporalModel(**SMALL, causal=causal)
    # Biases are what makes an empty second differ from nothing.
    for variable in model.trainable_variables:
        variable.assign(np.random.default_rng(3).normal(0, 0.5, variable.shape))
    filled, present = fill_up(FEATURES)
    assert filled.shape == (1, 128, 6)
    filled[:, 90:] = 7
    found = ops.convert_to_numpy(model((filled, present)))[0, -1, :90]
    np.testing.assert_allclose(found, logits(model, FEATURES), rtol=1e-4, atol=1e-4)


def test_later_stages_see_probabilities_only():
    model = TemporalModel(**SMALL)
    first = model.stages[0]
    before = logits(model, FEATURES)
    first.classify.bias.assign(np.full(4, 3.0))  # the same for all classes: no change in softmax
    np.testing.assert_allclose(logits(model, FEATURES), before, atol=1e-5)
    first.classify.bias.assign([3.0, 0, 0, 0])
    assert np.abs(logits(model, FEATURES) - before).max() > 1e-3


def test_a_running_video_gets_what_the_whole_one_gets():
    model = TemporalModel(**SMALL, mean=1.0, std=2.0)
    assert len(FEATURES) > 3 * model.receptive_field
    np.testing.assert_allclose(streamed(model, FEATURES), model.probabilities(FEATURES), atol=1e-5)


def test_a_running_video_holds_the_last_frame_where_frames_are_missing():
    model = TemporalModel(**SMALL)
    seconds = np.r_[5:20, 23, 24, 40:70, 1000:1010]  # the last gap is longer than the memory
    held = FEATURES[np.searchsorted(seconds, np.arange(5, 1010), side="right") - 1]
    found = streamed(model, FEATURES[: len(seconds)], seconds)
    np.testing.assert_allclose(found, model.probabilities(held)[seconds - 5], atol=1e-5)
    stream = model.stream()
    stream.step(FEATURES[0], 7)
    with pytest.raises(ValueError, match="second 7 after second 7"):
        stream.step(FEATURES[0], 7)


def test_a_running_video_needs_no_more_memory_with_time():
    stream = TemporalModel(**SMALL).stream()
    for feature in FEATURES:
        stream.step(feature)
    tracemalloc.start()
    start, _ = tracemalloc.get_traced_memory()
    for _ in range(10):
        for feature in FEATURES:
            stream.step(feature)
    grown = tracemalloc.get_traced_memory()[0] - start
    tracemalloc.stop()
    assert grown < FEATURES[0].nbytes * 90  # as much as a tenth of the features


def test_an_offline_model_does_not_stream():
    with pytest.raises(InputError, match="future"):
        TemporalModel(**SMALL, causal=False).stream()


def test_features_are_standardised_in_the_model_and_that_is_not_trained():
    model = TemporalModel(**SMALL, mean=1.0, std=2.0)
    plain = TemporalModel(**SMALL)
    np.testing.assert_allclose(
        logits(model, FEATURES), logits(plain, (FEATURES - 1) / 2), atol=1e-5
    )
    assert not any("feature" in variable.path for variable in model.trainable_variables)


def test_the_seed_gives_the_weights():
    one, same, other = (TemporalModel(**SMALL | {"seed": seed}) for seed in (1, 1, 2))
    np.testing.assert_array_equal(logits(one, FEATURES), logits(same, FEATURES))
    assert (logits(one, FEATURES) != logits(other, FEATURES)).all()
    kernels = [np.asarray(layer.projection.kernel) for layer in one.stages[0].residuals]
    assert not np.array_equal(kernels[0], kernels[1])


@pytest.mark.parametrize("causal", [True, False])
def test_a_saved_model_opens_as_it_was(tmp_path, causal):
    model = TemporalModel(**SMALL, causal=causal, mean=0.3, std=1.5)
    path = save_temporal(TemporalModel(**SMALL), tmp_path / "temporal")
    assert save_temporal(model, path) == path  # in place of the other
    opened = load_temporal(path)
    assert opened.get_config() == model.get_config()
    np.testing.assert_array_equal(logits(opened, FEATURES), logits(model, FEATURES))
    assert [entry.name for entry in tmp_path.iterdir()] == ["temporal"]


def described(path, **changes):
    """Changes what temporal.json says."""
    description = json.loads((path / "temporal.json").read_text())
    description["model"] |= changes.pop("model", {})
    (path / "temporal.json").write_text(json.dumps(description | changes))


def cut(path):
    content = (path / "temporal.npz").read_bytes()
    (path / "temporal.npz").write_bytes(content[: len(content) // 2])


def one_byte(path):
    content = bytearray((path / "temporal.npz").read_bytes())
    with np.load(path / "temporal.npz") as values:
        content[content.index(values["stage_1/classify/kernel"].tobytes())] ^= 1
    (path / "temporal.npz").write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        one_byte,
        lambda path: (path / "temporal.npz").write_bytes(b""),
        lambda path: (path / "temporal.npz").unlink(),
        lambda path: (path / "temporal.json").write_text("{"),
        lambda path: (path / "temporal.json").write_text("[]"),
        lambda path: described(path, format="temporal model 9"),
        lambda path: described(path, model={"num_layers": 4}),
        lambda path: described(path, model={"num_maps": 9}),
        lambda path: described(path, model={"num_maps": 0}),
        lambda path: described(path, model={"colour": "red"}),
    ],
)
def test_a_damaged_model_is_one_line(tmp_path, damage):
    path = save_temporal(TemporalModel(**SMALL), tmp_path / "temporal")
    damage(path)
    with pytest.raises(InputError, match="not a temporal model, or a damaged one") as caught:
        load_temporal(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
