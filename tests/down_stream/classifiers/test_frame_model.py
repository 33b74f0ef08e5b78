import numpy as np
import pytest
from keras import ops

from data.common.errors import InputError
from down_stream.choices import is_frame_model
from down_stream.classifiers.frame_model import (
    FrameModel,
    load_frame_model,
    save_frame_model,
)
from msn.networks.encoder import Encoder

TINY = {"image_size": 16, "patch_size": 4, "width": 12, "depth": 2, "num_heads": 3, "seed": 0}
IMAGES = np.random.default_rng(0).uniform(0, 255, (3, 16, 16, 3)).astype(np.float32)


def test_logits_are_linear_in_the_standardised_representation():
    encoder = Encoder(**TINY)
    model = FrameModel(encoder, ("a", "b"), mean=0.5, std=2.0, seed=1)
    features = (ops.convert_to_numpy(encoder(IMAGES)[1]) - 0.5) / 2.0
    expected = features @ ops.convert_to_numpy(model.head.kernel)
    np.testing.assert_allclose(model(IMAGES), expected, atol=1e-5)


def test_standardisation_is_not_trained_but_the_encoder_is():
    model = FrameModel(Encoder(**TINY), ("a", "b"))
    names = [variable.path for variable in model.trainable_variables]
    assert not any("feature" in name for name in names)
    assert len(names) == len(model.encoder.trainable_variables) + 2


def test_a_saved_model_opens_as_it_was(tmp_path):
    model = FrameModel(Encoder(**TINY), ("a", "b", "c"), mean=0.3, std=1.5, seed=2)
    path = save_frame_model(model, tmp_path / "model", {"mode": "probe"})
    assert is_frame_model(path)
    assert not is_frame_model(path / "encoder")
    opened = load_frame_model(path)
    assert opened.classes == ("a", "b", "c")
    np.testing.assert_array_equal(opened(IMAGES), model(IMAGES))


def test_what_is_no_frame_model_is_named(tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(InputError, match="model"):
        load_frame_model(tmp_path / "model")
    path = save_frame_model(FrameModel(Encoder(**TINY), ("a",)), tmp_path / "model", {})
    (path / "head.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match="damaged"):
        load_frame_model(path)
