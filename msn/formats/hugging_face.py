"""Hugging Face's files: ViTMSN directories for `transformers`, and single files with timm's names.

A directory holds config.json, model.safetensors and, where it says how images are normalised,
preprocessor_config.json. timm has facebookresearch/msn's names; what its files do not tell is put
into the metadata of ours, under METADATA.

Sources: transformers, models/vit_msn (names, configuration) and image_processing_utils; timm,
models/vision_transformer.py.
"""

import json
import operator
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from data.common.errors import InputError, one_line
from data.storage.folders import local_copy
from data.storage.paths import AnyPath
from msn.formats.reference_names import msn_state, sizes_of_state, with_cls_position
from msn.networks.encoder import IMAGENET_MEAN, IMAGENET_STD, Encoder

CONFIG_FILE = "config.json"
PREPROCESSOR_FILE = "preprocessor_config.json"
WEIGHTS_FILE = "model.safetensors"
MODEL_TYPE = "vit_msn"
METADATA = "encoder"

# Our GELU -> theirs; both of their names for the approximation mean the same function.
GELU = {"erf": "gelu", "tanh": "gelu_pytorch_tanh"}
GELU_OF = {"gelu": "erf", "gelu_pytorch_tanh": "tanh", "gelu_new": "tanh"}

# facebookresearch/msn's names -> theirs, which are put together; {} is the number of a block.
NAMES = {"cls_token": ["embeddings.cls_token"], "pos_embed": ["embeddings.position_embeddings"]}
ATTENTION = "encoder.layer.{}.attention.attention"
LAYERS = {  # each with a .weight and a .bias
    "patch_embed.proj": ["embeddings.patch_embeddings.projection"],
    "blocks.{}.norm1": ["encoder.layer.{}.layernorm_before"],
    "blocks.{}.attn.qkv": [f"{ATTENTION}.query", f"{ATTENTION}.key", f"{ATTENTION}.value"],
    "blocks.{}.attn.proj": ["encoder.layer.{}.attention.output.dense"],
    "blocks.{}.norm2": ["encoder.layer.{}.layernorm_after"],
    "blocks.{}.mlp.fc1": ["encoder.layer.{}.intermediate.dense"],
    "blocks.{}.mlp.fc2": ["encoder.layer.{}.output.dense"],
    "norm": ["layernorm"],
}
# What no representation depends on.
UNUSED = ("classifier.", "embeddings.mask_token")


def read_directory(path: AnyPath) -> tuple[dict[str, np.ndarray], dict]:
    """A ViTMSN directory.

    Returns:
      Weights under facebookresearch/msn's names, and constructor arguments of `Encoder` that
      shapes do not tell.

    Raises:
      InputError: damaged, of another model, or configuration and weights disagree.
    """
    config = read_json(path / CONFIG_FILE)
    if config.get("model_type") != MODEL_TYPE:
        raise InputError(
            f"{CONFIG_FILE} describes model_type {config.get('model_type')!r}; expected "
            f"{MODEL_TYPE!r}"
        )
    if config.get("hidden_act") not in GELU_OF:
        raise InputError(
            f"{CONFIG_FILE}: hidden_act is {config.get('hidden_act')!r}; expected one of "
            f"{', '.join(GELU_OF)}"
        )
    weights, _ = read_safetensors(path / WEIGHTS_FILE)
    state = from_hugging_face(weights)
    for key, value in configured_sizes(sizes_of_state(state)).items():
        if config.get(key) != value:
            raise InputError(
                f"{CONFIG_FILE} says {key} {config.get(key)}, but {WEIGHTS_FILE} holds {value}"
            )
    return state, checked(
        **normalisation(path),
        num_heads=config.get("num_attention_heads"),
        layer_norm_epsilon=config.get("layer_norm_eps"),
        gelu=GELU_OF[config["hidden_act"]],
    )


def write_directory(encoder: Encoder, path: Path) -> None:
    """Writes a ViTMSN directory."""
    path.mkdir(parents=True)
    backbone = encoder.backbone
    state = with_cls_position(msn_state(backbone))
    config = configured_sizes(sizes_of_state(state)) | {
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
    }
    preprocessor = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": encoder.image_size, "width": encoder.image_size},
        "resample": 2,  # Pillow's number of its bilinear filter
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(encoder.mean),
        "image_std": list(encoder.std),
    }
    write_json(path / CONFIG_FILE, config)
    write_json(path / PREPROCESSOR_FILE, preprocessor)
    write_safetensors(path / WEIGHTS_FILE, to_hugging_face(state), {})


def read_timm(path: AnyPath) -> tuple[dict[str, np.ndarray], dict]:
    """A safetensors file with timm's names; returns and raises as `read_directory` does.

    A file that is not ours does not tell heads, GELU, epsilon and normalisation: timm's defaults
    for a Vision Transformer and ImageNet's normalisation are taken, and `num_heads` is None.
    """
    state, metadata = read_safetensors(path)
    try:
        return state, checked(**json.loads(metadata.get(METADATA, "{}")))
    except (TypeError, ValueError) as error:
        raise InputError(f"damaged metadata {METADATA!r} ({error})") from error


def write_timm(encoder: Encoder, path: Path) -> None:
    """Writes a safetensors file with timm's names."""
    kept = ("num_heads", "layer_norm_epsilon", "gelu", "mean", "std")
    arguments = {key: encoder.get_config()[key] for key in kept}
    state = with_cls_position(msn_state(encoder.backbone))
    write_safetensors(path, state, {METADATA: json.dumps(arguments)})


def from_hugging_face(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights of a ViTMSN under facebookresearch/msn's names; UNUSED ones are left out.

    Raises:
      InputError: a name is missing, or one that ViTMSN does not have.
    """
    weights = {name.removeprefix("vit."): value for name, value in weights.items()}
    blocks = {match[1] for name in weights if (match := re.match(r"encoder\.layer\.(\d+)\.", name))}
    state, found = {}, len(weights)
    for name, theirs in names(len(blocks)):
        if missing := [name for name in theirs if name not in weights]:
            raise InputError(f"no weight {missing[0]!r} among the {found} of {WEIGHTS_FILE}")
        state[name] = np.concatenate([weights.pop(name) for name in theirs])
    if unknown := [name for name in weights if not name.startswith(UNUSED)]:
        raise InputError(f"{WEIGHTS_FILE}: weight {unknown[0]!r} does not belong to a ViTMSN")
    return state


def to_hugging_face(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inverse of `from_hugging_face`."""
    weights = {}
    for name, theirs in names(sizes_of_state(state)["depth"]):
        weights |= zip(theirs, np.split(state[name], len(theirs)), strict=True)
    return weights


def names(depth: int) -> Iterator[tuple[str, list[str]]]:
    """Yields (our name, their names), for all weights of a model with this many blocks."""
    yield from NAMES.items()
    for layer, theirs in LAYERS.items():
        for block in range(depth if "{}" in layer else 1):
            for part in ("weight", "bias"):
                yield f"{layer}.{part}".format(block), [f"{n}.{part}".format(block) for n in theirs]


def configured_sizes(sizes: dict) -> dict:
    """`msn.formats.reference_names.sizes_of_state` under the keys of config.json."""
    return {
        "image_size": sizes["image_size"],
        "patch_size": sizes["patch_size"],
        "hidden_size": sizes["width"],
        "num_hidden_layers": sizes["depth"],
        "intermediate_size": int(sizes["width"] * sizes["mlp_ratio"]),
    }


def normalisation(path: AnyPath) -> dict:
    """`mean` and `std` of a directory's preprocessor, for RGB in 0..1; ImageNet's without one."""
    if not (path / PREPROCESSOR_FILE).exists():
        return {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    config = read_json(path / PREPROCESSOR_FILE)
    try:
        scale = 255 * (
            config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1
        )
        mean, std = (0.0,) * 3, (1.0,) * 3
        if config.get("do_normalize", True):
            mean, std = (
                config.get("image_mean", IMAGENET_MEAN),
                config.get("image_std", IMAGENET_STD),
            )
        mean, std = ([float(value) / scale for value in values] for values in (mean, std))
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise InputError(f"{PREPROCESSOR_FILE}: no normalisation of RGB ({error})") from error
    return {"mean": mean, "std": std}


def checked(
    num_heads=None, layer_norm_epsilon=1e-6, gelu="erf", mean=IMAGENET_MEAN, std=IMAGENET_STD
) -> dict:
    """These constructor arguments of `Encoder`, as they came from JSON; raises `InputError`."""
    try:
        return {
            "num_heads": None if num_heads is None else operator.index(num_heads),
            "layer_norm_epsilon": float(layer_norm_epsilon),
            "gelu": {name: name for name in GELU}[gelu],
            "mean": [float(value) for _, value in zip("rgb", mean, strict=True)],
            "std": [float(value) for _, value in zip("rgb", std, strict=True)],
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"num_heads {num_heads}, epsilon {layer_norm_epsilon}, gelu {gelu!r}, mean {mean}, "
            f"std {std} do not describe an encoder"
        ) from error


def read_safetensors(path: AnyPath) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and metadata of a safetensors file; raises `InputError` where it is not whole."""
    try:
        with local_copy(path) as copy, safetensors.safe_open(copy, "numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError as error:
        raise InputError(f"no {path.name}") from error
    except (safetensors.SafetensorError, TypeError) as error:
        raise InputError(
            f"{path.name} is not a complete safetensors file ({one_line(error)})"
        ) from error


def write_safetensors(path: Path, weights: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Writes a safetensors file as PyTorch projects expect it."""
    whole = {name: np.ascontiguousarray(value) for name, value in weights.items()}
    # Not its save_file, whose files only their owner can read.
    path.write_bytes(safetensors.numpy.save(whole, metadata={"format": "pt"} | metadata))


def read_json(path: AnyPath) -> dict:
    """A JSON object from a file; raises `InputError`."""
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path.name} is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path.name} does not hold a JSON object")
    return content


def write_json(path: Path, content: dict) -> None:
    """Writes a JSON object as a file."""
    path.write_text(json.dumps(content, indent=2) + "\n")
