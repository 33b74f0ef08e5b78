import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from data.common.errors import InputError
from msn.encoders import load_encoder, save_encoder
from msn.formats.families.vit import VIT_MSN
from msn.formats.hugging_face import (
    to_hugging_face,
    write_directory,
    write_timm,
)
from msn.networks.encoder import IMAGENET_MEAN, IMAGENET_STD, Encoder
from tests.support.places import GOLDEN

IMAGENET = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}


@pytest.fixture
def directory(tmp_path):
    return Path(shutil.copytree(GOLDEN / "hf-vit-msn", tmp_path / "vit_msn"))


def configure(directory, name="config.json", **changes):
    path = directory / name
    config = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(config | changes))


def weights_of(directory):
    return safetensors.numpy.load_file(directory / "model.safetensors")


def test_names_are_a_bijection(directory):
    weights = weights_of(directory)
    back = to_hugging_face(VIT_MSN.translate(weights)[0])
    assert back.keys() == weights.keys()
    assert all(np.array_equal(back[name], weights[name]) for name in weights)


def test_a_model_with_a_classifier_opens_as_its_encoder(directory):
    reference = load_encoder(directory)
    weights = {f"vit.{name}": value for name, value in weights_of(directory).items()}
    weights["classifier.weight"] = np.zeros((7, reference.width), np.float32)
    safetensors.numpy.save_file(weights, directory / "model.safetensors")
    opened = load_encoder(directory)
    pairs = zip(opened.weights, reference.weights, strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


def test_the_preprocessor_is_followed(directory):
    image = np.random.default_rng(0).uniform(0, 255, (2, 4, 4, 3))
    assert load_encoder(directory).mean == IMAGENET_MEAN
    for changes, expected in (
        ({}, (image / 255 - IMAGENET_MEAN) / IMAGENET_STD),
        ({"do_normalize": False}, image / 255),
        ({"image_mean": [0.5] * 3, "image_std": [0.2] * 3}, (image / 255 - 0.5) / 0.2),
        (
            {"rescale_factor": 1 / 127.5, "image_mean": [1] * 3, "image_std": [1] * 3},
            image / 127.5 - 1,
        ),
        ({"do_rescale": False, "image_mean": [9] * 3, "image_std": [3] * 3}, (image - 9) / 3),
    ):
        (directory / "preprocessor_config.json").unlink(missing_ok=True)
        configure(directory, "preprocessor_config.json", **changes)
        np.testing.assert_allclose(
            load_encoder(directory).preprocess(image), expected, rtol=1e-4, atol=1e-4
        )


def test_frames_are_resized_as_the_preprocessor_says(directory, tmp_path):
    configure(directory, "preprocessor_config.json", resample=3)
    encoder = load_encoder(directory)
    assert encoder.resample == "bicubic"
    path = save_encoder(encoder, tmp_path / "ours", {})
    assert "bicubic" in json.loads((path / "encoder.json").read_text())["preprocessing"]["resize"]
    assert load_encoder(path).resample == "bicubic"
    write_directory(encoder, tmp_path / "hf")
    assert load_encoder(tmp_path / "hf").resample == "bicubic"
    write_timm(encoder, tmp_path / "timm.safetensors")
    assert load_encoder(tmp_path / "timm.safetensors").resample == "bicubic"
    (directory / "preprocessor_config.json").unlink()
    configure(directory, "preprocessor_config.json", resample=2)
    bilinear = load_encoder(directory)
    assert bilinear.resample == "bilinear"
    assert "resample" not in bilinear.get_config()  # so that its fingerprint is as it was
    (directory / "preprocessor_config.json").unlink()
    configure(directory, "preprocessor_config.json", resample=9)
    with pytest.raises(InputError, match="frames resized by 9; expected one of bilinear"):
        load_encoder(directory)


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"model_type": "swin"}, "model_type 'swin'"),
        ({"hidden_act": "relu"}, "'relu'"),
        ({"hidden_size": 999}, "hidden_size 999"),
        ({"num_hidden_layers": 99}, "num_hidden_layers 99"),
        ({"image_size": 8888}, "image_size 8888"),
        ({"num_attention_heads": 5000}, "5000"),
        ({"num_attention_heads": "many"}, "many"),
        ({"layer_norm_eps": None}, "epsilon None"),
    ],
)
def test_a_configuration_that_does_not_fit_is_named(directory, changes, named):
    configure(directory, **changes)
    with pytest.raises(InputError, match=f"vit_msn: .*{named}"):
        load_encoder(directory)


def test_a_damaged_directory_is_named(directory):
    configure(directory, "preprocessor_config.json", image_mean=[0.5])
    with pytest.raises(InputError, match=r"mean \[0\.5\]"):
        load_encoder(directory)
    configure(directory, "preprocessor_config.json", rescale_factor="small")
    with pytest.raises(InputError, match="preprocessor_config"):
        load_encoder(directory)
    (directory / "preprocessor_config.json").write_text("{")
    with pytest.raises(InputError, match=r"preprocessor_config.*not JSON"):
        load_encoder(directory)
    (directory / "preprocessor_config.json").unlink()
    weights = weights_of(directory)
    for changed, named in (
        (weights | {"encoder.layer.0.gate": np.ones(2)}, r"encoder\.layer\.0\.gate"),
        ({k: v for k, v in weights.items() if k != "layernorm.bias"}, r"layernorm\.bias"),
        (weights | {"layernorm.bias": np.ones(1)}, r"norm\.bias"),
        ({}, "no weight"),
    ):
        safetensors.numpy.save_file(changed, directory / "model.safetensors")
        with pytest.raises(InputError, match=f"vit_msn: .*{named}"):
            load_encoder(directory)
    (directory / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"no model\.safetensors"):
        load_encoder(directory)
    (directory / "config.json").write_text("[]")
    with pytest.raises(InputError, match="not hold a JSON object"):
        load_encoder(directory)


def test_files_of_timm_itself(tmp_path):
    """They tell neither heads nor normalisation; parts that change the result are refused."""
    encoder = Encoder(image_size=16, patch_size=8, width=20, depth=1, num_heads=2)
    write_timm(encoder, tmp_path / "timm")
    weights = safetensors.numpy.load_file(tmp_path / "timm")
    weights |= {"head.weight": np.zeros((5, 20)), "head.bias": np.zeros(5)}
    safetensors.numpy.save_file(weights, tmp_path / "timm", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"timm: .*20 wide; expected num_heads"):
        load_encoder(tmp_path / "timm", **IMAGENET)
    with pytest.raises(InputError, match=r"timm: .*expected mean and std"):
        load_encoder(tmp_path / "timm", num_heads=2)
    opened = load_encoder(tmp_path / "timm", num_heads=2, **IMAGENET)
    assert opened.get_config() == encoder.get_config() | {"interpolation": "antialiased"}
    weights["blocks.0.attn.q_norm.weight"] = np.ones(10)
    safetensors.numpy.save_file(weights, tmp_path / "timm")
    with pytest.raises(InputError, match=r"timm: .*blocks\.0\.attn\.q_norm"):
        load_encoder(tmp_path / "timm", num_heads=2, **IMAGENET)


@pytest.mark.parametrize("metadata", ["{", "[1]", '{"gelu": "swish"}', '{"colour": 1}'])
def test_damaged_metadata(tmp_path, metadata):
    encoder = Encoder(image_size=16, patch_size=8, width=12, depth=1, num_heads=2)
    write_timm(encoder, tmp_path / "timm")
    weights = safetensors.numpy.load_file(tmp_path / "timm")
    safetensors.numpy.save_file(weights, tmp_path / "timm", metadata={"encoder": metadata})
    with pytest.raises(InputError, match="timm: "):
        load_encoder(tmp_path / "timm", num_heads=2)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"do_center_crop": True, "size": 9, "crop_size": 8}, "shorter side to 9 pixels and crops"),
        (
            {"do_center_crop": True, "size": {"shortest_edge": 9}, "crop_size": {"height": 8}},
            "resizes the shorter side to 9 pixels and crops the middle 8; here whole frames",
        ),
        ({"size": {"shortest_edge": 8}}, "keeps a frame's shape; here whole frames"),
        ({"size": {"height": 8, "width": 8}}, None),
        ({"do_resize": False, "size": {"shortest_edge": 8}}, None),
    ],
)
def test_cropping_is_said_as_it_is_not_done(directory, caplog, changes, said):
    configure(directory, "preprocessor_config.json", **changes)
    load_encoder(directory)
    told = [text for text in caplog.messages if text.startswith(f"{directory}: ")]
    assert len(told) == (said is not None)
    assert said is None or said in told[0]


@pytest.mark.parametrize(
    "told, said",
    [
        ({"crop_pct": 0.9}, "resizes the shorter side and crops the middle 90 %"),
        ({"crop_pct": 1.0, "crop_mode": "center"}, "resizes the shorter side and crops"),
        (
            {"crop_pct": 0.875, "crop_mode": "squash"},
            "a square of the frame and crops the middle 87.5",
        ),
        ({"crop_pct": 1.0, "crop_mode": "squash"}, None),
        ({}, "crops the middle 87.5 %"),  # as timm does
    ],
)
def test_the_share_that_timm_crops_is_said(tmp_path, caplog, told, said):
    folder = Path(shutil.copytree(GOLDEN / "encoders" / "timm-plain", tmp_path / "timm"))
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"].pop("crop_pct", None)
    config["pretrained_cfg"].pop("crop_mode", None)
    config["pretrained_cfg"] |= told
    (folder / "config.json").write_text(json.dumps(config))
    load_encoder(folder)
    found = [text for text in caplog.messages if "pretrained_cfg" in text]
    assert len(found) == (said is not None)
    assert said is None or said in found[0]
