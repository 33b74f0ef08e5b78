"""Hugging Face's directories, of `transformers` and of timm, and single files with timm's names.

A directory holds config.json, the weights and, where it says how images are prepared,
preprocessor_config.json. timm has facebookresearch/msn's names; what its files do not tell is put
into the metadata of ours, under METADATA.

Sources: transformers, models/vit_msn (names, configuration) and image_processing_utils; timm,
models/vision_transformer.py and models/_hub.py.
"""

import json
import operator
from dataclasses import replace
from pathlib import Path

import numpy as np

from data.common.errors import InputError
from data.images.image_io import BILINEAR
from data.storage.paths import AnyPath
from msn.formats.families import dinov2, dinov3, ijepa, mae, timm, vit
from msn.formats.families.family import Family, agree
from msn.formats.files.cropping import (
    PREPROCESSOR_FILE,
    remarks_on_cropping,
    remarks_on_share,
)
from msn.formats.files.preprocessing import (
    PILLOW,
    checked_normalisation,
    normalisation,
    preprocessing,
    resampling,
    size_arguments,
)
from msn.formats.files.recognising import HUGGING_FACE_FILE as CONFIG_FILE
from msn.formats.files.weight_files import (
    SAFETENSORS,
    read_json,
    read_weights,
    write_json,
    write_safetensors,
)
from msn.formats.reference_names import (
    Foreign,
    msn_state,
    with_cls_position,
)
from msn.formats.state_sizes import sizes_of_state
from msn.networks.encoder import Encoder

MODEL_TYPE = "vit_msn"
METADATA = "encoder"

# `model_type` -> its family, of the configuration.
FAMILIES = {
    "vit": lambda config: vit.VIT,
    "vit_msn": lambda config: vit.VIT_MSN,
    "vit_mae": lambda config: mae.VIT_MAE,
    "ijepa": lambda config: ijepa.HF,
    "dinov2": dinov2.of_config,
    "dinov2_with_registers": dinov2.of_config,
    "dinov3_vit": dinov3.of_config,
}
# What a model with a head puts before the names of its encoder.
PREFIXES = ("vit.", "ijepa.", "dinov2.", "dinov2_with_registers.", "dinov3_vit.", "model.")

# Our GELU -> theirs; both of their names for the approximation mean the same function.
GELU = {"erf": "gelu", "tanh": "gelu_pytorch_tanh"}
GELU_OF = {"gelu": "erf", "gelu_pytorch_tanh": "tanh", "gelu_new": "tanh"}


def read_directory(path: AnyPath) -> Foreign:
    """A directory of `transformers` or of timm.

    Raises:
      InputError: damaged, of another model, or configuration and weights disagree.
    """
    config = read_json(path / CONFIG_FILE)
    if "architecture" in config:
        return read_timm_directory(path, config)
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise InputError(
            f"{CONFIG_FILE} describes model_type {kind!r}; expected one of {', '.join(FAMILIES)}, "
            "or timm's 'architecture'"
        )
    family = FAMILIES[kind](config)
    if not config.get("qkv_bias", True):
        family = replace(family, zero=vit.BIASES)
    weights = read_weights(path)
    state, unused = as_in(weights, family).translate(weights)
    arguments = {**family.arguments} | checked(
        num_heads=config.get("num_attention_heads"),
        layer_norm_epsilon=config.get("layer_norm_eps"),
        gelu=activation(config),
    )
    sizes = sizes_of_state(state, "rope_theta" not in arguments)
    agree(config, configured_sizes(sizes, config), CONFIG_FILE)
    if kind.startswith("dinov2") and (size := dinov2.image_size(sizes["image_size"])):
        arguments |= size_arguments(size, sizes, arguments)
    if "rope_theta" in arguments:
        arguments["image_size"] = config.get("image_size", sizes["image_size"])
    arguments |= normalisation(family.normalisation)
    remarks = []
    if (path / PREPROCESSOR_FILE).exists():
        told = read_json(path / PREPROCESSOR_FILE)
        arguments |= preprocessing(told, sizes, arguments)
        remarks = remarks_on_cropping(told)
    return Foreign(state, arguments, unused, family, remarks)


def read_timm_directory(path: AnyPath, config: dict) -> Foreign:
    """A Hub folder of timm, whose config.json this is; raises `InputError`."""
    family, weights = timm.of_config(config, read_weights(path))
    state, unused = family.translate(weights)
    sizes = sizes_of_state(state, "rope_theta" not in family.arguments)
    arguments = {**family.arguments} | normalisation(family.normalisation)
    given = config.get("model_args") or {}
    if "rope_theta" in arguments and isinstance(given.get("img_size"), int):
        sizes["image_size"] = given["img_size"]
    timm.check_sizes(config, sizes | {"num_registers": sizes.get("num_registers", 0)})
    arguments["image_size"] = sizes["image_size"]
    told = config.get("pretrained_cfg") or {}
    if {"mean", "std"} <= told.keys():
        arguments |= checked_normalisation(told["mean"], told["std"])
    arguments |= resampling(told.get("interpolation") or timm.INTERPOLATION)
    size = told.get("input_size")
    if isinstance(size, list | tuple) and len(size) == 3 and size[1] == size[2]:
        arguments |= size_arguments(size[1], sizes, arguments)
    return Foreign(state, arguments, unused, family, remarks_on_share(told, timm.CROP_SHARE))


def as_in(weights: dict[str, np.ndarray], family: Family) -> Family:
    """The family with the names that it has in a model with a head, if that is one."""
    embedding = family.names["patch_embed.proj"]
    for prefix in PREFIXES:
        if any(name.startswith(f"{prefix}{embedding}.") for name in weights):
            return family.with_prefix(prefix)
    return family


def activation(config: dict) -> str:
    """Our name of a configuration's activation; raises `InputError`.

    Gated MLPs have the sigmoid's, SiLU, which is no choice.
    """
    found, gated = config.get("hidden_act"), config.get("use_gated_mlp")
    if config.get("use_swiglu_ffn") or (gated and found == "silu"):
        return "erf"
    if found not in GELU_OF or gated:
        raise InputError(
            f"{CONFIG_FILE}: hidden_act is {found!r}; expected one of "
            f"{'silu' if gated else ', '.join(GELU_OF)}"
        )
    return GELU_OF[found]


def write_directory(encoder: Encoder, path: Path, facts: dict | None = None) -> None:
    """Writes a ViTMSN directory, with further facts in its config.json."""
    path.mkdir(parents=True)
    backbone = encoder.backbone
    state = with_cls_position(msn_state(backbone))
    config = configured_sizes(sizes_of_state(state), {}) | {
        "architectures": ["ViTMSNModel"],
        "model_type": MODEL_TYPE,
        "num_attention_heads": backbone.num_heads,
        "num_channels": 3,
        "hidden_act": GELU[backbone.gelu],
        "layer_norm_eps": backbone.layer_norm_epsilon,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "qkv_bias": True,
        "dtype": "float32",
        **(facts or {}),
    }
    preprocessor = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": encoder.image_size, "width": encoder.image_size},
        "resample": PILLOW.index(encoder.resample),
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(encoder.mean),
        "image_std": list(encoder.std),
    }
    write_json(path / CONFIG_FILE, config)
    write_json(path / PREPROCESSOR_FILE, preprocessor)
    write_safetensors(path / SAFETENSORS, to_hugging_face(state), {})


def timm_arguments(metadata: dict[str, str]) -> dict:
    """What our own files with timm's names say in their metadata; raises `InputError`."""
    try:
        told = json.loads(metadata[METADATA])
        resample = resampling(told.pop("resample", BILINEAR))
        return resample | checked_normalisation(told.pop("mean"), told.pop("std")) | checked(**told)
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"damaged metadata {METADATA!r} ({error})") from error


def write_timm(encoder: Encoder, path: Path) -> None:
    """Writes a safetensors file with timm's names."""
    kept = ("num_heads", "layer_norm_epsilon", "gelu", "mean", "std")
    arguments = {key: encoder.get_config()[key] for key in kept} | {"resample": encoder.resample}
    state = with_cls_position(msn_state(encoder.backbone))
    write_safetensors(path, state, {METADATA: json.dumps(arguments)})


def to_hugging_face(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights under facebookresearch/msn's names -> those of a ViTMSN.

    The inverse of `VIT_MSN.translate`.
    """
    weights = {}
    for _, name, theirs in vit.VIT_MSN.entries(sizes_of_state(state)["depth"]):
        weights |= zip(theirs, np.split(state[name], len(theirs)), strict=True)
    return weights


def configured_sizes(sizes: dict, config: dict) -> dict:
    """`msn.formats.state_sizes.sizes_of_state` under the keys of config.json."""
    hidden = int(sizes["width"] * sizes["mlp_ratio"])
    found = {
        "image_size": sizes["image_size"],
        "patch_size": sizes["patch_size"],
        "hidden_size": sizes["width"],
        "num_hidden_layers": sizes["depth"],
        "intermediate_size": hidden,
    }
    if "num_register_tokens" in config:
        found["num_register_tokens"] = sizes.get("num_registers", 0)
    if config.get("model_type") == "dinov3_vit":
        del found["image_size"]  # the weights do not tell it
    return found


def checked(num_heads=None, layer_norm_epsilon=1e-6, gelu="erf") -> dict:
    """These constructor arguments of `Encoder`, as they came from JSON; raises `InputError`."""
    try:
        return {
            "num_heads": None if num_heads is None else operator.index(num_heads),
            "layer_norm_epsilon": float(layer_norm_epsilon),
            "gelu": {name: name for name in GELU}[gelu],
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"num_heads {num_heads}, epsilon {layer_norm_epsilon}, gelu {gelu!r} do not describe "
            "an encoder"
        ) from error
