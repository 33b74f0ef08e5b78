"""A published model as it is released, frozen, through everything down-stream."""

import numpy as np
import pytest

from data.common.errors import InputError
from data.frames.listing import list_images
from down_stream.classifiers.frame_model import load_frame_model
from down_stream.experiment import run
from down_stream.inference.embeddings import Options, embed
from msn.encoders import load_encoder
from tests.support.places import GOLDEN
from tests.support.small_phases import small_config

RELEASED = GOLDEN / "endossl-released"
FROZEN = RELEASED / "saved_model_inference"


def config(root, **changes):
    return small_config(root, encoder=str(FROZEN), model__variant="", **changes)


def test_probe_and_inference(small_dataset, tmp_path):
    results = run(config(small_dataset, mode="probe"), tmp_path)
    assert results["metrics"]
    model = load_frame_model(tmp_path / "model")
    assert not model.encoder.trainable_variables
    images = list_images(small_dataset / "frames" / "video04")

    def table_of(path):
        output = tmp_path / f"{path.name}.npz"
        embed(path, images, output, Options(batch_size=4))
        with np.load(output) as table:
            return dict(table)

    table = table_of(tmp_path / "model")
    assert table["probabilities"].shape == (14, 7)
    frozen, trainable = (
        table_of(path)["embeddings"] for path in (FROZEN, RELEASED / "checkpoint_0")
    )
    np.testing.assert_allclose(table["embeddings"], frozen, rtol=1e-5)
    np.testing.assert_allclose(frozen, trainable, atol=1e-3)


def test_fine_tuning_says_how_to_convert(small_dataset, tmp_path):
    with pytest.raises(InputError, match=r"frozen.*python -m msn\.convert --source=") as refusal:
        run(config(small_dataset, mode="finetune"), tmp_path / "run")
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "run").exists()


def test_width():
    for path in (FROZEN, RELEASED / "checkpoint_0"):
        encoder = load_encoder(path)
        size = encoder.image_size
        assert encoder(np.zeros((1, size, size, 3), np.float32))[1].shape == (1, encoder.width)
