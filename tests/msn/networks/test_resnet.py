import functools
import json
import os

import keras
import numpy as np
import pytest
from keras.applications import resnet_v2

from data.common.errors import InputError
from down_stream.classifiers.finetuning import learning_rate_scales
from down_stream.classifiers.frame_model import FrameModel
from msn.encoders import load_encoder, save_encoder
from msn.networks.resnet import WEIGHTS_FILE, ResNetEncoder, create_resnet, fetch_imagenet

IMAGES = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def encoder():
    """Read only."""
    return create_resnet("none", image_size=64, seed=0)


@functools.cache
def published():
    """keras.applications' own network, with other random weights, and its features of IMAGES."""
    network = resnet_v2.ResNet50V2(include_top=False, weights=None, input_shape=(64, 64, 3))
    return network, np.asarray(network(resnet_v2.preprocess_input(IMAGES.copy())))


def test_tokens_are_the_mean_and_the_features(encoder):
    tokens, cls = map(np.asarray, encoder(IMAGES))
    assert tokens.shape == (2, 1 + 2 * 2, encoder.width)
    np.testing.assert_array_equal(tokens[:, 0], cls)
    np.testing.assert_allclose(tokens[:, 1:].mean(axis=1), cls, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(encoder.represent(IMAGES.astype(np.float32)), cls)
    assert encoder(np.zeros((1, 32, 96, 3), np.uint8))[0].shape == (1, 1 + 3, 2048)


def test_too_small_images_are_said(encoder):
    with pytest.raises(InputError, match="31x64 pixels; expected at least 32x32"):
        encoder(np.zeros((1, 31, 64, 3), np.float32))
    with pytest.raises(InputError, match="image_size is 16; expected at least 32"):
        ResNetEncoder(16)


def test_the_seed_makes_the_weights(encoder):
    first = encoder.network.get_layer("conv1_conv").kernel
    same, other = (
        ResNetEncoder(64, seed).network.get_layer("conv1_conv").kernel for seed in (0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", ["resnet.weights.h5", "resnet.h5"])
def test_files_of_keras_applications_compute_the_same(name, tmp_path):
    """The new format, and that of the published ImageNet weights."""
    network, features = published()
    save = network.save_weights if name.endswith(".weights.h5") else network.save
    save(tmp_path / name)
    encoder = create_resnet(str(tmp_path / name), image_size=64)
    tokens, _ = encoder(IMAGES)
    np.testing.assert_allclose(tokens[:, 1:], features.reshape(2, 4, 2048), rtol=1e-4, atol=1e-5)


def wrong_files(folder):
    (folder / "noise.h5").write_bytes(b"noise" * 100)
    (folder / "weights.bin").write_bytes(b"noise" * 100)
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(folder / "other.h5")
    small = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    small.save_weights(folder / "other.weights.h5")
    published()[0].save_weights(folder / "half.weights.h5")
    os.truncate(folder / "half.weights.h5", 1_000_000)
    (folder / "folder.h5").mkdir()
    return ["noise.h5", "weights.bin", "other.h5", "other.weights.h5", "half.weights.h5"]


def test_wrong_files_are_said_in_one_line(tmp_path):
    for name in wrong_files(tmp_path):
        with pytest.raises(
            InputError, match=rf"{name}: damaged, or not weights of .*ResNet50V2"
        ) as refusal:
            create_resnet(str(tmp_path / name), image_size=64)
        assert "\n" not in str(refusal.value), name
        assert len(str(refusal.value)) < 500
    for name in ("folder.h5", "missing.h5", "imagenett"):
        with pytest.raises(InputError, match=f"{name}: no such file; expected imagenet"):
            create_resnet(str(tmp_path / name))


def test_without_a_network_imagenet_weights_are_one_line(tmp_path):
    """Nobody listens at port 9."""
    with pytest.raises(
        InputError, match=rf"resnet_weights=imagenet: .*a copy of {WEIGHTS_FILE}"
    ) as e:
        fetch_imagenet("http://127.0.0.1:9/resnet.h5", tmp_path)
    assert "\n" not in str(e.value)


def test_batch_norms_learn_when_fine_tuned_alone():
    model = ResNetEncoder(32, seed=0)
    before = [np.array(v) for v in model.non_trainable_variables]
    small = IMAGES[:, :32, :32]
    frozen = np.asarray(model.represent(small))
    model(small)
    assert all(map(np.array_equal, before, model.non_trainable_variables))
    trained = model.represent(small, training=True)
    assert not any(map(np.array_equal, before, model.non_trainable_variables))
    assert np.abs(trained - frozen).max() > 1e-3
    model.trainable = False
    before = [np.array(v) for v in model.non_trainable_variables]
    model.represent(small, training=True)
    assert all(map(np.array_equal, before, model.non_trainable_variables))


def test_learning_rates_fall_from_stage_to_stage(encoder):
    model = FrameModel(encoder, ["a", "b"])
    variables = model.trainable_variables
    scales = learning_rate_scales(model, variables, 0.5)
    of = {variable.path: scale for variable, scale in zip(variables, scales, strict=True)}
    expected = {"head": 1, "post_bn": 1, "conv5_": 0.5, "conv4_": 0.25, "conv3_": 0.125}
    expected |= {"conv2_": 0.0625, "conv1_": 0.03125}
    for name, scale in expected.items():
        assert {of.pop(path) for path in list(of) if name in path.split("/")[-2]} == {scale}, name
    assert not of


def test_an_encoder_directory_gives_the_same_encoder(encoder, tmp_path):
    save_encoder(encoder, tmp_path / "encoder", {"step": 3})
    description = json.loads((tmp_path / "encoder" / "encoder.json").read_text())
    assert description["encoder"] == {"architecture": "resnet50v2", "image_size": 64}
    again = load_encoder(tmp_path / "encoder")
    assert isinstance(again, ResNetEncoder)
    assert again.trainable_variables
    expected = encoder(IMAGES)
    for ours, theirs in zip(again(IMAGES), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    frozen = load_encoder(tmp_path / "encoder" / "saved_model")
    for ours, theirs in zip(frozen(IMAGES), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
