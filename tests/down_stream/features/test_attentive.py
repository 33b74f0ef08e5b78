import importlib.util

import numpy as np
import pytest
from keras import ops

from data.common.errors import InputError
from data.frames.listing import list_images
from down_stream.checks import check
from down_stream.classifiers.frame_model import load_frame_model
from down_stream.experiment import run
from down_stream.features.attentive import AttentivePool, number_of_heads, patch_tokens
from down_stream.features.pooling import ATTENTIVE, choose_features
from down_stream.inference.embeddings import Options, embed
from down_stream.metrics.predictions import read_predictions
from msn.encoders import load_encoder, save_encoder
from msn.formats.saved_model import FrozenEncoder
from msn.networks.encoder import Encoder
from msn.networks.resnet import create_resnet
from tests.support import onnx_files
from tests.support.small_phases import small_config

pytestmark = pytest.mark.usefixtures("eager")

TINY = {"image_size": 16, "patch_size": 8, "width": 12, "depth": 1, "num_heads": 3}
TOKENS = np.random.default_rng(0).normal(size=(3, 5, 128)).astype(np.float32)
IMAGES = np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3)).astype(np.float32)


def test_one_head_is_the_softmax_of_the_query_times_the_keys():
    """Written out for a width of one head; Vaswani et al., arXiv 1706.03762, equation 1."""
    pool, tokens = AttentivePool(32, seed=0), TOKENS[..., :32]
    pool.query.assign(np.random.default_rng(2).normal(size=(1, 32)) * 9)
    assert pool.num_heads == 1
    normed = (tokens - tokens.mean(-1, keepdims=True)) / np.sqrt(
        tokens.var(-1, keepdims=True) + 1e-6
    )
    keys, values = (normed @ np.asarray(dense.kernel) for dense in (pool.key, pool.value))
    scores = keys @ np.asarray(pool.query)[0] / np.sqrt(32)
    weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    out = (weights[..., None] * values).sum(axis=1) @ np.asarray(pool.out.kernel)
    out = (out - out.mean(-1, keepdims=True)) / np.sqrt(out.var(-1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(pool(tokens), out, atol=1e-4)


def test_heads_attend_on_their_own_and_order_does_not_matter():
    pool = AttentivePool(128, seed=0)
    pool.query.assign(np.random.default_rng(2).normal(size=(1, 128)) * 9)
    assert pool.num_heads == 2
    found = ops.convert_to_numpy(pool(TOKENS))
    assert found.shape == (3, 128)
    np.testing.assert_allclose(pool(TOKENS[:, ::-1]), found, atol=1e-4)
    pool.query.assign(np.concatenate([np.asarray(pool.query)[:, :64], np.zeros((1, 64))], axis=1))
    assert np.abs(ops.convert_to_numpy(pool(TOKENS)) - found).max() > 0.01


def test_heads_divide_the_width():
    assert [number_of_heads(width) for width in (12, 192, 384, 768, 1024, 100)] == [
        *(1, 3, 6, 12, 16, 1)
    ]


def test_cls_and_registers_are_no_patches():
    encoder = Encoder(**TINY, num_registers=3, seed=0)
    tokens = ops.convert_to_numpy(encoder(IMAGES)[0])
    assert tokens.shape == (2, 8, 12)
    np.testing.assert_array_equal(patch_tokens(encoder, IMAGES), tokens[:, 4:])
    without = Encoder(**TINY, class_token=False, pooling="mean", seed=0)
    assert patch_tokens(without, IMAGES).shape == (2, 4, 12)


def test_it_is_trained_saved_and_opened_again(small_dataset, tmp_path):
    encoder = save_encoder(Encoder(**TINY, num_registers=2, seed=0), tmp_path / "encoder", {})
    before = load_encoder(encoder).get_weights()
    changes = {"features": ATTENTIVE, "temporal": "tecno", "tecno__epochs": 2}
    changes |= {"encoder": str(encoder), "model__variant": "", "attentive__epochs": 6}
    config = small_config(small_dataset, **changes, attentive__learning_rate=0.01)
    results = run(config, tmp_path / "run")
    loss = results["history"]["loss"]
    assert len(loss) == 6
    assert loss[-1] < loss[0]
    assert results["features"] == ATTENTIVE
    assert results["temporal"]["tecno"]["metrics"]["video"]["f1"] is not None

    model = load_frame_model(tmp_path / "run" / "model")
    for one, other in zip(model.encoder.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)  # it was frozen
    frames = list_images(small_dataset / "frames")
    embed(tmp_path / "run" / "model", frames, tmp_path / "table.npz", Options())
    table = dict(np.load(tmp_path / "table.npz"))
    of_test = table["video"] == "video04"
    pictures = [frames.read(int(row)) for row in np.flatnonzero(of_test)]
    shown = ops.convert_to_numpy(model.represent(np.stack(pictures).astype(np.float32)))
    if pictures[0].shape == (16, 16, 3):
        np.testing.assert_allclose(table["embeddings"][of_test], shown, atol=1e-4)
    assert shown.std(axis=0).max() > 1e-3
    # The temporal model after it reads the pooled features, in the experiment and in inference.
    predictions = read_predictions(tmp_path / "run" / "predictions_tecno.csv")
    np.testing.assert_allclose(
        table["probabilities"][of_test], predictions.probabilities, atol=2e-3
    )


def test_finished_training_is_not_done_again(small_dataset, tmp_path, caplog):
    config = small_config(small_dataset, features=ATTENTIVE, attentive__epochs=1)
    first = run(config, tmp_path / "run")
    assert run(config, tmp_path / "run")["seconds"] == first["seconds"]
    assert "is finished" in caplog.text


@pytest.mark.parametrize("mode", ["knn", "logistic"])
def test_what_trains_nothing_refuses_it(small_dataset, mode):
    with pytest.raises(InputError, match="expected mode probe or finetune"):
        check(small_config(small_dataset, features=ATTENTIVE, mode=mode))


def test_what_has_no_tokens_refuses_it(tmp_path):
    encoder = Encoder(**TINY)
    assert choose_features(encoder, ATTENTIVE, is_trained=True) == ATTENTIVE
    with pytest.raises(InputError, match="expected the model of an experiment"):
        choose_features(encoder, ATTENTIVE)
    with pytest.raises(InputError, match="a convolutional network has no tokens"):
        choose_features(create_resnet("none", image_size=32, seed=0), ATTENTIVE, is_trained=True)
    folder = save_encoder(Encoder(**TINY, num_registers=2), tmp_path / "encoder", {})
    with pytest.raises(InputError, match="not CLS and a square of patches"):
        choose_features(FrozenEncoder(folder / "saved_model"), ATTENTIVE, is_trained=True)


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("onnx", "onnxruntime"))), reason="not installed"
)
def test_an_onnx_file_with_tokens_is_pooled_too(small_dataset, tmp_path):
    path = onnx_files.write(tmp_path)
    config = small_config(small_dataset, features=ATTENTIVE, attentive__epochs=1)
    config.encoder, config.model.variant = str(path), ""
    assert run(config, tmp_path / "run")["history"]["loss"]
    model = load_frame_model(tmp_path / "run" / "model")
    assert model.represent(IMAGES).shape == (2, model.encoder.width)
