import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from data.common.errors import InputError
from msn.convert import convert
from msn.encoders import load_encoder, save_encoder
from msn.networks.encoder import Encoder, resample_of
from tests.support.places import GOLDEN

FROZEN = GOLDEN / "endossl-released" / "saved_model_inference"


def test_our_own_saved_models_open_frozen(tmp_path):
    encoder = Encoder(image_size=16, patch_size=8, width=12, depth=1, num_heads=2)
    path = save_encoder(encoder, tmp_path / "encoder", {}) / "saved_model"
    frozen = load_encoder(path)
    assert (frozen.image_size, frozen.width) == (16, 12)
    assert frozen.trainable_variables == [] and not frozen.trainable
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    for ours, theirs in zip(frozen(images), encoder(images), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_copy_is_the_same_model(tmp_path):
    frozen = load_encoder(FROZEN)
    copy = load_encoder(save_encoder(frozen, tmp_path / "copy", {}))
    images = np.zeros((1, frozen.image_size, frozen.image_size, 3), np.float32)
    np.testing.assert_array_equal(copy(images)[1], frozen(images)[1])


@pytest.mark.parametrize("resample", ["bicubic", "bilinear"])
def test_frames_are_resized_as_for_the_encoder_that_it_is_of(resample, tmp_path, monkeypatch):
    sizes = {"image_size": 16, "patch_size": 8, "width": 12, "depth": 1, "num_heads": 2}
    path = save_encoder(Encoder(**sizes, resample=resample), tmp_path / "encoder", {})
    frozen = load_encoder(path / "saved_model")
    monkeypatch.chdir(path / "saved_model")
    assert {resample_of(frozen), resample_of(load_encoder("."))} == {resample}
    # Written before the filter was noted in it: what lies beside it says it, and its copy, too.
    shutil.rmtree(path / "saved_model" / "assets.extra", ignore_errors=True)
    frozen = load_encoder(path / "saved_model")
    assert resample_of(frozen) == resample
    assert resample_of(load_encoder(save_encoder(frozen, tmp_path / "copy", {}))) == resample
    exported, _ = convert(path, tmp_path / "exported", "saved_model")
    assert resample_of(load_encoder(exported)) == resample


@pytest.mark.parametrize("content", ["{", "[]", '{"preprocessing": {"resize": "a crop"}}'])
def test_a_file_beside_that_does_not_say_how_frames_are_resized(content, tmp_path):
    shutil.copytree(FROZEN, tmp_path / "saved_model")
    (tmp_path / "encoder.json").write_text(content)
    with pytest.raises(InputError, match=r"encoder.json: .*frames .*resized") as refusal:
        load_encoder(tmp_path / "saved_model")
    assert "\n" not in str(refusal.value)


def test_images_of_another_size_are_refused():
    frozen = load_encoder(FROZEN)
    size = frozen.image_size + 8
    with pytest.raises(InputError, match=str(size)):
        frozen(np.zeros((1, size, size, 3), np.float32))


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_truncated_one_is_named(tmp_path, name, share):
    copy = Path(shutil.copytree(FROZEN, tmp_path / "copy"))
    (copy / name).chmod(0o644)
    whole = (copy / name).read_bytes()
    (copy / name).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match="copy: ") as refusal:
        load_encoder(copy)
    assert "\n" not in str(refusal.value)


def test_a_model_of_something_else_is_described(tmp_path):
    class Double(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3))])
        def __call__(self, images):
            return 2 * images

    tf.saved_model.save(Double(), str(tmp_path / "double"))
    with pytest.raises(InputError, match=r"double: .*not an encoder.*\(None, 8, 8, 3\)"):
        load_encoder(tmp_path / "double")

    class Oblong(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 8, 16, 3))])
        def __call__(self, images):
            return images[:, 0], images[:, 0, 0]

    tf.saved_model.save(Oblong(), str(tmp_path / "oblong"))
    with pytest.raises(InputError, match=r"oblong: .*not an encoder.*\(None, 8, 16, 3\)"):
        load_encoder(tmp_path / "oblong")
    tf.saved_model.save(tf.Module(), str(tmp_path / "empty"))
    with pytest.raises(InputError, match=r"empty: .*not an encoder"):
        load_encoder(tmp_path / "empty")
