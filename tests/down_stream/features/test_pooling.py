"""Features against NumPy, for encoders with CLS, registers, without CLS, and others."""

import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.frame_index import load_index
from data.images.image_io import frame_to_input, read_image
from down_stream.classifiers.frame_model import FrameModel, load_frame_model, save_frame_model
from down_stream.features.cache import fingerprint
from down_stream.features.encoders import SplitFeatures
from down_stream.features.extraction import frame_outputs
from down_stream.features.pooling import (
    FEATURES,
    choose_features,
    compute_features,
    feature_width,
    usual_features,
)
from msn.encoders import load_encoder
from msn.formats.saved_model import FrozenEncoder, save_saved_model
from msn.networks.encoder import Encoder
from msn.networks.resnet import create_resnet
from tests.support.places import GOLDEN

pytestmark = pytest.mark.usefixtures("eager")

TINY = {"image_size": 16, "patch_size": 4, "width": 12, "depth": 5, "num_heads": 3, "seed": 0}
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
ASK = {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7)}


def norm(backbone, values):
    """The last norm."""
    scale, offset = backbone.norm.get_weights()
    centred = values - values.mean(-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + backbone.layer_norm_epsilon)
    return centred / deviation * scale + offset


def reference(encoder, features):
    """By NumPy, from what the blocks give."""
    backbone = encoder.backbone
    blocks = backbone.last_blocks(encoder.preprocess(IMAGES), backbone.depth, normalised=False)
    blocks = [np.asarray(block, np.float64) for block in blocks]
    after = norm if not backbone.pool_norm else lambda _, values: values
    last = after(backbone, blocks[-1])
    cls = lambda tokens: tokens[:, 0]  # noqa: E731
    patches = last[:, -16:]
    parts = {
        "cls": lambda: [cls(last)],
        "mean": lambda: [patches.mean(1)],
        "cls+mean": lambda: [cls(last), patches.mean(1)],
        "last4": lambda: [cls(after(backbone, block)) for block in blocks[-4:]],
    }[features]()
    if backbone.pool_norm:
        parts = [norm(backbone, part) for part in parts]
    return np.concatenate(parts, axis=-1)


def randomised(**options):
    encoder = Encoder(**TINY, **options)
    seeds = np.random.default_rng(1)
    for variable in encoder.weights:
        variable.assign(seeds.normal(size=variable.shape, scale=0.4))
    return encoder


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize(
    "options", [{}, {"num_registers": 3}, {"pooling": "mean", "pool_norm": True}]
)
def test_features_are_those_of_numpy(options, features):
    encoder = randomised(**options)
    assert choose_features(encoder, features) == features
    found = np.asarray(compute_features(encoder, IMAGES, features))
    assert found.shape == (3, feature_width(encoder, features))
    np.testing.assert_allclose(found, reference(encoder, features), atol=2e-4)
    compiled = frame_outputs(encoder, features=features)(IMAGES)["embeddings"]
    np.testing.assert_allclose(compiled, found, atol=2e-4)


def test_what_is_usual_is_the_familys():
    for name, expected in (("hf-vit-mae", "mean"), ("hf-ijepa", "mean"), ("timm-average", "mean")):
        given = ASK if name == "hf-vit-mae" else {}
        encoder = load_encoder(GOLDEN / "encoders" / name, **given)
        assert choose_features(encoder, None) == usual_features(encoder) == expected
    assert choose_features(Encoder(**TINY), None) == "cls"
    assert choose_features(create_resnet("none", image_size=32, seed=0), None) == "mean"
    mae = load_encoder(GOLDEN / "encoders" / "hf-vit-mae", **ASK)
    assert choose_features(mae, "cls") == "cls"  # told otherwise
    found = compute_features(mae, IMAGES, choose_features(mae, None))
    tokens = np.asarray(mae(IMAGES)[0])
    np.testing.assert_allclose(found, tokens[:, 1:].mean(1), atol=1e-5)
    np.testing.assert_allclose(frame_outputs(mae)(IMAGES)["embeddings"], found, atol=1e-5)


@pytest.mark.parametrize(
    "options, features, message",
    [
        ({}, "median", "features is 'median'; expected cls, mean, cls\\+mean, last4"),
        ({"depth": 3}, "last4", "last4' for an encoder with 3 blocks; expected cls, mean"),
        (
            {"class_token": False, "cls_position": False, "pooling": "mean"},
            "cls+mean",
            "without CLS; expected mean",
        ),
    ],
)
def test_what_an_encoder_cannot_give_is_refused(options, features, message):
    with pytest.raises(InputError, match=message):
        choose_features(Encoder(**TINY | options), features)


def test_a_saved_model_gives_patches_only_where_it_is_sure_which_they_are(tmp_path):
    encoder = randomised()
    save_saved_model(encoder, tmp_path / "plain")
    frozen = FrozenEncoder(tmp_path / "plain")
    for features in ("cls", "mean", "cls+mean"):
        found = compute_features(frozen, IMAGES, choose_features(frozen, features))
        np.testing.assert_allclose(found, compute_features(encoder, IMAGES, features), atol=2e-4)
    with pytest.raises(InputError, match="hides its blocks"):
        choose_features(frozen, "last4")
    save_saved_model(randomised(num_registers=3), tmp_path / "registers")
    with pytest.raises(InputError, match="whose 20 tokens are not CLS and a square of patches"):
        choose_features(FrozenEncoder(tmp_path / "registers"), "mean")


@pytest.mark.parametrize("features", ["mean", "last4"])
def test_the_saved_frame_model_makes_the_same_features(tmp_path, features):
    encoder = randomised()
    model = FrameModel(encoder, ("a", "b"), mean=0.1, std=2.0, seed=1, features=features)
    opened = load_frame_model(save_frame_model(model, tmp_path / "model", {}))
    assert opened.features == features
    np.testing.assert_array_equal(opened(IMAGES), model(IMAGES))
    outputs = frame_outputs(opened.encoder, opened)(IMAGES)
    expected = reference(encoder, features)
    np.testing.assert_allclose(outputs["embeddings"], expected, atol=2e-4)
    np.testing.assert_allclose(outputs["features"], expected, atol=2e-4)
    np.testing.assert_allclose(outputs["probabilities"], model.probabilities(expected), atol=1e-4)
    others = frame_outputs(opened.encoder, opened, features="cls")(IMAGES)
    np.testing.assert_allclose(others["embeddings"], reference(encoder, "cls"), atol=2e-4)
    np.testing.assert_allclose(others["features"], expected, atol=2e-4)


def test_features_and_tokens_exclude_one_another():
    with pytest.raises(InputError, match="features is 'mean' besides layers or tokens"):
        frame_outputs(Encoder(**TINY), features="mean", layers=2)


def test_features_are_cached_by_name(small_dataset, tmp_path):
    encoder = randomised()
    split = {"train": load_index(small_dataset).select(videos=("video01",))}
    found = {}
    for features in (None, *FEATURES):
        frames = SplitFeatures(encoder, split, 5, str(tmp_path), features)
        found[features] = np.array(frames("train")[0])
        assert found[features].shape == (14, feature_width(encoder, frames.features))
    np.testing.assert_array_equal(found[None], found["cls"])
    np.testing.assert_array_equal(found["cls+mean"][:, 12:], found["mean"])
    assert len(list(tmp_path.iterdir())) == len(FEATURES)
    names = {fingerprint(encoder, features) for features in FEATURES}
    assert len(names) == len(FEATURES)
    assert fingerprint(encoder) == fingerprint(encoder, "cls")  # earlier entries keep theirs


def test_features_are_of_frames_resized_as_the_encoder_has_it(small_dataset, tmp_path):
    """In memory and from the cache, which keeps the two apart."""
    index = load_index([small_dataset])
    images = [read_image(path) for path in index.paths(np.arange(len(index)))]
    found = {}
    for resample in ("bilinear", "nearest"):
        encoder = Encoder(**TINY, resample=resample)
        inputs = np.stack([frame_to_input(image, encoder.image_size, resample) for image in images])
        expected = np.asarray(encoder(inputs)[1])
        for cache in (None, str(tmp_path)):
            frames = SplitFeatures(encoder, {"test": index}, 14, cache)
            found[resample], _ = frames("test")
            np.testing.assert_allclose(found[resample], expected, atol=1e-4)
    assert np.abs(found["bilinear"] - found["nearest"]).max() > 1e-3
