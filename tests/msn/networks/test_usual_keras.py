"""What another program has set in Keras for its own networks has no effect on ours, nor ours on it.

The floatx of float16 and channels first are what people's ~/.keras/keras.json or notebooks have.
"""

import keras
import numpy as np
import pytest

from down_stream.classifiers.frame_model import FrameModel
from down_stream.temporal.model import TemporalModel, fill_up
from msn.encoders import load_encoder
from msn.method.model import MSN
from msn.networks.encoder import Encoder
from msn.networks.resnet import ResNetEncoder
from msn.networks.usual_keras import usual_keras
from tests.support.places import ROOT

OTHERS = ("float16", 1e-2, "channels_first")
GOLDEN = ROOT / "tests" / "golden"
ENCODERS = (
    "encoders/hf-dinov2-swiglu",
    "encoders/hf-dinov3",
    "encoders/timm-registers",
    "endossl-released/checkpoint_0",
)
SIZES = {"image_size": 32, "patch_size": 8, "width": 12, "depth": 2, "num_heads": 3}


def settings():
    config = keras.config
    return config.floatx(), config.epsilon(), config.image_data_format(), config.dtype_policy().name


def set_all(floatx, epsilon, data_format):
    keras.config.set_floatx(floatx)
    keras.config.set_epsilon(epsilon)
    keras.config.set_image_data_format(data_format)
    keras.config.set_dtype_policy(floatx)


@pytest.fixture
def foreign_keras():
    set_all(*OTHERS)
    yield
    assert settings() == (*OTHERS, "float16")
    set_all("float32", 1e-7, "channels_last")


def images(size=32):
    return np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)


def stem():
    return Encoder(**SIZES, stem_channels=(4, 6, 8), seed=0)(images())[1]


def resnet():
    return ResNetEncoder(32, seed=0)(images())[1]


def frame_model():
    return FrameModel(Encoder(**SIZES, seed=0), ("a", "b"), seed=0)(images())


def temporal_model():
    features = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    return TemporalModel(4, 3, num_layers=2, num_maps=8, seed=0)(fill_up(features))


def golden(name):
    return lambda: load_encoder(GOLDEN / name)(images())[1]


def msn_prototypes():
    return MSN(SIZES, hidden_dim=8, output_dim=4, num_prototypes=3).prototypes


BUILDS = {name: golden(name) for name in ENCODERS} | {
    build.__name__: build for build in (stem, resnet, frame_model, temporal_model, msn_prototypes)
}


@pytest.fixture
def expected(request):
    return keras.ops.convert_to_numpy(BUILDS[request.param]())


@pytest.mark.parametrize("expected, name", [(name,) * 2 for name in BUILDS], indirect=["expected"])
def test_results_are_the_same(expected, name, foreign_keras):
    found = keras.ops.convert_to_numpy(BUILDS[name]())
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.usefixtures("foreign_keras")
def test_within_it_keras_is_as_usual_and_then_as_it_was():
    with pytest.raises(KeyError), usual_keras():
        assert settings() == ("float32", 1e-7, "channels_last", "float32")
        raise KeyError
    assert settings() == (*OTHERS, "float16")
