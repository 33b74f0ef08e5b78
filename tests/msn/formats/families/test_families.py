"""Every family computes what its own library does, under each Keras backend."""

import json
import re
import shutil

import numpy as np
import pytest
import safetensors.numpy
from keras import ops

from data.common.errors import InputError
from msn.encoders import load_encoder
from msn.formats.families import checkpoints
from msn.formats.families.checkpoints import encoder_of
from msn.formats.files import torch_files
from msn.formats.hugging_face import FAMILIES
from tests.support.golden_families import (
    ASK,
    ENCODERS,
    FACTS,
    NAMES,
    expected_of,
    given,
    opened,
)
from tests.support.golden_files import relative_error
from tests.support.gradients import outputs_and_gradients
from tests.support.places import ROOT

FOLDERS = [name for name in NAMES if (ENCODERS / name).is_dir()]


def test_every_golden_file_is_tested():
    assert sorted(FACTS) == NAMES


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_page_about_encoders_has_every_family(kind):
    page = (ROOT / "docs" / "encoders.md").read_text()
    assert re.search(rf"\b{FAMILIES[kind]({'model_type': kind}).title}\b", page)


@pytest.mark.parametrize("name", NAMES)
def test_tokens_and_representation_are_the_librarys(name):
    encoder, expected = opened(name), expected_of(name)
    for image, start in (("image", ""), ("larger", "larger_"))[: 1 + ("larger" in expected)]:
        tokens, cls = encoder.backbone(expected[image])
        assert relative_error(tokens, expected[f"{start}tokens"]) <= 1e-5
        assert relative_error(cls, expected[f"{start}cls"]) <= 1e-5
        cls = encoder.backbone.represent(expected[image])
        assert relative_error(cls, expected[f"{start}cls"]) <= 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_what_an_encoder_says_of_itself(name):
    encoder = opened(name)
    normalisation, special, _, features = FACTS[name]
    mean, std = normalisation or (ASK["mean"], ASK["std"])
    np.testing.assert_allclose((encoder.mean, encoder.std), (mean, std), rtol=1e-6)
    assert encoder.backbone.num_special == special
    assert encoder.features == features
    assert (encoder.image_size, encoder.backbone.num_heads) == (16, 3) or name == "hf-dinov3"
    again = type(encoder)(**encoder.get_config())
    assert again.get_config() == encoder.get_config()
    assert [w.shape for w in again.weights] == [w.shape for w in encoder.weights]


@pytest.mark.parametrize("name", [name for name in FACTS if given(name)])
def test_what_a_file_does_not_say_is_asked_for(name):
    normalisation, _, asks_heads, _ = FACTS[name]
    if not normalisation:
        with pytest.raises(InputError, match=rf"{name}: .*expected mean and std.*--mean=R,G,B"):
            load_encoder(ENCODERS / name, num_heads=3)
    if asks_heads:
        with pytest.raises(InputError, match=rf"{name}: .*24 wide; expected num_heads"):
            load_encoder(ENCODERS / name, **ASK if not normalisation else {})


@pytest.mark.parametrize("name", ["hf-dinov2", "timm-plain", "dinov2.pth"])
def test_what_is_given_must_be_the_files(name):
    with pytest.raises(InputError, match=f"{name}: has mean .*expected mean="):
        load_encoder(ENCODERS / name, **given(name) | {"mean": (0.1, 0.1, 0.1)})
    if name != "dinov2.pth":  # which does not say it
        with pytest.raises(InputError, match=f"{name}: has 3 heads; expected num_heads=2"):
            load_encoder(ENCODERS / name, num_heads=2)


def weights_of(folder):
    return safetensors.numpy.load_file(folder / "model.safetensors")


@pytest.fixture
def copied(tmp_path):
    def copy(name):
        return shutil.copytree(ENCODERS / name, tmp_path / name)

    return copy


def wrong(weights, unused):
    """Yields (kind, name, weights) with one renamed, missing, transposed or of another size."""
    for name, value in weights.items():
        if any(part in name for part in unused) or not value.size:
            continue
        rest = {other: v for other, v in weights.items() if other != name}
        yield "missing", name, rest
        yield "renamed", name, rest | {f"{name}_": value}
        yield "resized", name, rest | {name: np.concatenate([value, value], axis=-1)}
        if value.ndim == 2 and value.shape[0] != value.shape[1]:
            yield "transposed", name, rest | {name: value.T.copy()}


def check_refused(kind, name, path, **arguments):
    with pytest.raises(InputError) as refusal:
        load_encoder(path, **arguments)
    message = str(refusal.value)
    assert "\n" not in message
    layer = name.rpartition(".")[0] or name
    assert (name if kind in ("resized", "transposed") else layer) in message, (kind, message)


@pytest.mark.parametrize("name", FOLDERS)
def test_every_weight_counts(name, copied):
    """One renamed, missing, transposed or of another size is refused by its name."""
    folder = copied(name)
    unused = ("mask_token", "decoder.", "pooler.", "classifier.")
    for kind, weight, changed in wrong(weights_of(folder), unused):
        safetensors.numpy.save_file(changed, folder / "model.safetensors")
        check_refused(kind, weight, folder, **given(name))


def tensors_of(path):
    """{where it is in a PyTorch file: array}, and where its encoder is."""

    def choose(content):
        found = {
            (*place, name): value
            for place, table in checkpoints.tables(content)
            for name, value in table.items()
            if torch_files.is_tensor(value)
        }
        return found, checkpoints.encoder_of(content, torch_files.is_tensor)[0]

    return torch_files.read_chosen(path, choose)


def nested(tensors):
    content = {}
    for (*places, name), value in tensors.items():
        table = content
        for place in places:
            table = table.setdefault(place, {})
        table[name] = value
    return content


@pytest.mark.parametrize("name", [name for name in NAMES if name not in FOLDERS])
def test_every_weight_of_a_file_of_pytorch_counts(name, tmp_path):
    tensors, where = tensors_of(ENCODERS / name)
    start = where and f"{where}."
    own = {".".join(key): key for key in tensors if ".".join(key).startswith(start)}
    others = {key: value for key, value in tensors.items() if key not in own.values()}
    weights = {key.removeprefix(start): tensors[place] for key, place in own.items()}
    for kind, weight, changed in wrong(weights, ("mask_token", "decoder_", "head.")):
        if (kind, weight) == ("missing", "register_tokens"):
            continue  # a file without registers is another DINOv2: nothing tells them apart
        placed = {
            own.get(start + key, (*own[start + weight][:-1], f"{own[start + weight][-1]}_")): value
            for key, value in changed.items()
        }
        torch_files.write_torch_file(tmp_path / name, nested(others | placed))
        check_refused(kind, weight, tmp_path / name, **given(name))


def test_frames_are_resized_as_files_or_families_say(copied):
    assert opened("timm-plain").resample == "bicubic"
    for name in ("dino.pth", "dinov2.pth", "hf-dinov2", "hf-dinov2-registers"):
        assert opened(name).resample == "bicubic"
    assert opened("mae.pth").resample == "bilinear"  # or EndoViT's, who differ
    folder = copied("hf-dinov2")
    (folder / "preprocessor_config.json").write_text(json.dumps({"resample": 1, "size": 16}))
    assert load_encoder(folder).resample == "lanczos"


@pytest.mark.parametrize("name", ["timm-registers", "hf-dinov2", "dinov2.pth", "timm-dinov3"])
def test_layer_scale_is_never_dropped(name):
    """Elsewhere it is, without a word, and the features are wrong."""
    encoder, expected = opened(name), expected_of(name)
    for block in encoder.backbone.blocks:
        for factors in block.layer_scales:
            assert np.std(ops.convert_to_numpy(factors)) > 0.1
            factors.assign(np.ones(24))
    assert relative_error(encoder.backbone(expected["image"])[1], expected["cls"]) > 0.1


# One of each kind of network: what compiles takes seconds.
KINDS = ("hf-vit", "hf-ijepa", "hf-dinov2-registers", "timm-average", "timm-dinov3-gated")


@pytest.mark.parametrize("name", KINDS)
def test_a_train_step_lowers_a_loss(name):
    encoder, image = opened(name), expected_of(name)["image"]
    variables = encoder.trainable_variables
    wanted = np.random.default_rng(0).normal(size=(2, 24)).astype(np.float32)

    def loss():
        found = encoder.backbone.represent(image, kept_patches=np.array([0, 3, 5, 10]))
        value = ops.mean(ops.square(ops.subtract(found, wanted)))
        return value, value

    before, gradients = outputs_and_gradients(loss, variables)
    length = sum(np.sum(np.square(g)) for g in gradients if g is not None)
    assert 0 < length < np.inf
    for variable, gradient in zip(variables, gradients, strict=True):
        if gradient is not None:
            variable.assign(ops.convert_to_numpy(variable) - 1e-3 / length**0.5 * gradient)
    after, _ = outputs_and_gradients(loss, variables)
    assert np.isfinite(after) and after < before


def test_positions_of_another_size_than_the_images(copied):
    """As with DINOv2's published files: positions for 518 pixels, images of 224."""
    folder = copied("hf-dinov2")
    expected = expected_of("hf-dinov2")
    (folder / "preprocessor_config.json").write_text(
        json.dumps(
            {
                "do_center_crop": True,
                "size": {"shortest_edge": 40},
                "crop_size": {"height": 32, "width": 32},
                "image_mean": [0.1, 0.2, 0.3],
                "image_std": [0.5, 0.5, 0.5],
            }
        )
    )
    encoder = load_encoder(folder)
    assert (encoder.image_size, encoder.backbone.position_grid) == (32, 4)
    assert (
        relative_error(encoder.backbone(expected["larger"])[0], expected["larger_tokens"]) <= 1e-5
    )
    assert encoder.mean == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("hf-dinov2", {"num_hidden_layers": 3}, "num_hidden_layers 3"),
        ("hf-dinov2", {"hidden_size": 99}, "hidden_size 99"),
        ("hf-dinov2", {"use_swiglu_ffn": True}, "weights_in"),
        ("hf-dinov2-registers", {"num_register_tokens": 2}, "num_register_tokens 2"),
        ("hf-dinov2", {"model_type": "swin"}, "model_type 'swin'.*dinov3_vit"),
        ("hf-dinov3", {"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ("hf-dinov3-gated", {"hidden_act": "gelu"}, "hidden_act is 'gelu'; expected one of silu"),
        ("timm-plain", {"architecture": "resnet50"}, "architecture 'resnet50'"),
        ("timm-plain", {"architecture": "vit_base_patch16_clip_quickgelu_224"}, "quickgelu"),
        ("timm-plain", {"model_args": {"depth": 7}}, "depth 7"),
        ("timm-plain", {"model_args": {"qk_norm": True}}, "qk_norm"),
        ("timm-plain", {"model_args": {"global_pool": "map"}}, "global_pool 'map'"),
    ],
)
def test_a_configuration_that_does_not_fit_is_named(name, changes, said, copied):
    folder = copied(name)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(InputError, match=f"{name}: .*{said}"):
        load_encoder(folder)


def test_weights_in_shards(copied):
    folder = copied("hf-dinov2")
    weights, table = weights_of(folder), {}
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        safetensors.numpy.save_file({name: weights[name] for name in part}, folder / file)
        table |= dict.fromkeys(part, file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": table}))
    expected = expected_of("hf-dinov2")
    assert (
        relative_error(load_encoder(folder).backbone(expected["image"])[1], expected["cls"]) <= 1e-5
    )
    for changed, said in (
        (table | {"layernorm.bias": "../elsewhere"}, "files of the same folder"),
        (table | {"layernorm.bias": "model-00003.safetensors"}, "no model-00003"),
        (table | {"more": file}, "no weight 'more'"),
    ):
        index.write_text(json.dumps({"weight_map": changed}))
        with pytest.raises(InputError, match=said):
            load_encoder(folder)


def test_what_is_not_used_is_named(caplog):
    for name, said in (
        ("dino.pth", "student, teacher"),
        ("lightning.ckpt", "model.classifier"),
        ("mae.pth", "decoder_embed, mask_token"),
    ):
        caplog.clear()
        opened(name)
        (message,) = [record.getMessage() for record in caplog.records]
        assert name in message and "not used" in message, (said, message)


def test_a_predictor_of_the_teacher_is_no_teacher_that_lacks_patches():
    encoder = {"patch_embed.proj.weight": "w", "blocks.0.attn.qkv.weight": "w"}
    beside = {"teacher": {"predictor.blocks.0.attn.qkv.weight": "w"}}
    content = {"model": encoder, "optimizer": {}} | beside
    assert encoder_of(content, lambda value: value == "w")[0] == "model"
    damaged = {"teacher": {"backbone.blocks.0.attn.qkv.weight": "w"}}
    with pytest.raises(InputError, match="no weight 'teacher"):
        encoder_of({"model": encoder} | damaged, lambda value: value == "w")
