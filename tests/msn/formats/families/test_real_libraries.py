"""Encoders that transformers, timm and PyTorch write now, in other sizes than the golden files'.

`make test-encoders` installs them; elsewhere there is nothing to be tested.
"""

import importlib.util
import json

import numpy as np
import pytest
from PIL import Image

from data.images.image_io import frame_to_input
from msn.encoders import load_encoder
from msn.formats.files.preprocessing import preprocessing
from msn.formats.files.weight_files import read_json
from msn.networks.encoder import Encoder
from tests.support.golden_families import NAMES, given
from tests.support.golden_files import relative_error
from tests.support.real_libraries import import_timm

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


FRAME = np.random.default_rng(0).integers(0, 256, (90, 160, 3)).astype(np.uint8)


def as_timm_prepares(frame, told):
    """A frame by timm's data config, as its `transforms_imagenet_eval` does it: [size, size, 3].

    It needs torchvision, which is not here: its Resize and CenterCrop are Pillow's `resize` and
    `crop`, of sides and offsets that are rounded as it rounds them.
    """
    size, image = told["input_size"][1], Image.fromarray(frame)
    scaled = int(size / told["crop_pct"])
    width, height = scaled, scaled
    if told["crop_mode"] != "squash":  # the shorter side
        shorter = min(image.size)
        width, height = (int(scaled * side / shorter) for side in image.size)
    image = image.resize((width, height), Image.Resampling[told["interpolation"].upper()])
    left, top = round((width - size) / 2), round((height - size) / 2)
    pixels = np.asarray(image.crop((left, top, left + size, top + size))) / 255
    return (pixels - told["mean"]) / told["std"]


def timm_encoder(tmp_path, **told):
    """An encoder from a Hub folder that timm writes, and timm's own data config of it."""
    timm = import_timm()
    from timm.data import resolve_data_config
    from timm.models._hub import save_for_hf

    sizes = {"img_size": 40, "patch_size": 8, "embed_dim": 48, "depth": 1, "num_heads": 4}
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, **sizes)
    known = {name: value for name, value in model.pretrained_cfg.items() if name not in told}
    given = {name: value for name, value in told.items() if value is not None}
    model.pretrained_cfg = known | {"input_size": (3, 40, 40), "mean": (0.4, 0.3, 0.2)} | given
    save_for_hf(model, tmp_path / "timm", model_args=sizes | {"num_classes": 0})
    if told.get("interpolation", "") is None:  # timm writes its default: earlier files lack it
        file = tmp_path / "timm" / "config.json"
        config = json.loads(file.read_text())
        del config["pretrained_cfg"]["interpolation"]
        file.write_text(json.dumps(config))
    return load_encoder(tmp_path / "timm"), resolve_data_config({}, model=model)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", None])
def test_frames_are_prepared_as_timm_does_it_where_nothing_is_cropped(interpolation, tmp_path):
    told = {"crop_pct": 1.0, "crop_mode": "squash", "interpolation": interpolation}
    encoder, told = timm_encoder(tmp_path, **told)
    assert (encoder.image_size, encoder.resample) == (40, told["interpolation"])
    assert encoder.remarks == ()
    ours = encoder.preprocess(frame_to_input(FRAME, encoder.image_size, encoder.resample))
    np.testing.assert_allclose(ours, as_timm_prepares(FRAME, told), atol=1e-5)


@pytest.mark.parametrize(
    "crop, said",
    [
        ({"crop_pct": 0.9, "crop_mode": "center"}, "crops the middle 90 %"),
        ({"crop_pct": None, "crop_mode": None}, "shorter side and crops the middle 87.5 %"),
    ],
)
def test_what_timm_crops_is_kept_and_said(crop, said, tmp_path):
    """Of a frame of 16:9 timm sees less than half."""
    encoder, told = timm_encoder(tmp_path, **crop)
    share = told["crop_pct"]
    assert said in encoder.remarks[0] and f"{100 * share:g} %" in said
    assert share * share * FRAME.shape[0] / FRAME.shape[1] < 0.46
    edge = FRAME.copy()
    edge[:, :30] = 0  # what comes in from the left
    theirs = [as_timm_prepares(frame, told) for frame in (FRAME, edge)]
    np.testing.assert_array_equal(*theirs)
    ours = [frame_to_input(frame, encoder.image_size, encoder.resample) for frame in (FRAME, edge)]
    assert np.any(ours[0] != ours[1])
