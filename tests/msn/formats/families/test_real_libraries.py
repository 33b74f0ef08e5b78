"""Encoders that transformers, timm and PyTorch write now, in other sizes than the golden files'.

`make test-encoders` installs them; elsewhere there is nothing to be tested.
"""

import importlib.util

import numpy as np
import pytest

from data.images.image_io import frame_to_input
from msn.encoders import load_encoder
from msn.formats.files.weight_files import read_json
from msn.formats.hugging_face import preprocessing
from msn.networks.encoder import Encoder
from tests.support.golden_families import NAMES, given
from tests.support.golden_files import relative_error

LIBRARIES = ("torch", "transformers", "timm")
pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, LIBRARIES)), reason="make test-encoders installs them"
)
SIZES = {"width": 48, "depth": 3, "heads": 4, "patch": 8, "image": 40}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_library_writes_now_opens_and_computes_the_same(name, tmp_path):
    from tests.support.foreign_encoders import write

    write(name, tmp_path, SIZES, seed=3)
    facts = given(name)
    if "num_heads" in facts:
        facts["num_heads"] = SIZES["heads"]
    encoder = load_encoder(tmp_path / name, **facts)
    with np.load(tmp_path / f"{name}.npz") as expected:
        for start in ("", "larger_") if "larger" in expected else ("",):
            tokens, cls = encoder.backbone(expected[f"{start}".rstrip("_") or "image"])
            assert relative_error(tokens, expected[f"{start}tokens"]) <= 1e-5
            assert relative_error(cls, expected[f"{start}cls"]) <= 1e-5


@pytest.mark.parametrize("number, name", [(1, "lanczos"), (2, "bilinear"), (3, "bicubic")])
def test_frames_are_resized_as_transformers_does_it(number, name, tmp_path):
    """By its processor that uses Pillow."""
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    size = {"height": 40, "width": 40}
    processor = ViTImageProcessorPil(size=size, resample=number, image_mean=[0.4] * 3)
    processor.save_pretrained(tmp_path)
    told = read_json(tmp_path / "preprocessor_config.json")
    found = preprocessing(told, {"patch_size": 8, "image_size": 40}, {})
    assert found["resample"] == name
    frame = np.random.default_rng(0).integers(0, 256, (90, 160, 3)).astype(np.uint8)
    encoder = Encoder(**found, patch_size=8, width=12, depth=1, num_heads=3)
    ours = encoder.preprocess(frame_to_input(frame, encoder.image_size, encoder.resample))
    theirs = processor(frame, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
