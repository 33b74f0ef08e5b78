"""Where the weights of a run come from: another encoder, or random numbers."""

import json
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from data.common.errors import InputError
from data.frames.frames import Frames
from data.storage.paths import AnyPath
from msn.encoders import load_encoder
from msn.formats.files.flax_files import FLAX_FILE
from msn.formats.files.recognising import ENCODER_FILE
from msn.formats.hub import encoder_path
from msn.formats.model_card import licence_beside
from msn.formats.reference_names import named_variables
from msn.formats.saved_model import FrozenEncoder
from msn.networks.embedding import position_matrix, resampled_kernel
from msn.networks.encoder import Encoder
from msn.workdir.seen import seen_of


def open_pretrained(path: AnyPath, given: dict) -> Encoder:
    """Opens the encoder that a run begins from; `path` is anything `load_encoder` opens.

    `given` are further arguments of `load_encoder`.

    Raises:
      InputError: it is no Vision Transformer, or frozen.
    """
    try:
        encoder = load_encoder(path, **given)
    except InputError as error:
        raise InputError(f"init={error}") from error
    if isinstance(encoder, FrozenEncoder):
        raise InputError(f"init={path}: a SavedModel is frozen; {trainable_instead(path)}")
    if not isinstance(encoder, Encoder):
        raise InputError(
            f"init={path}: not a Vision Transformer, of which MSN masks patches; expected one"
        )
    return encoder


def continued_arguments(encoder: Encoder, image_size: int, patch_size: int | None) -> dict:
    """Arguments of the encoder with which a run goes on from another.

    What experiments take as its features is what the run trains; there is one position per patch
    of `image_size`.

    Args:
      encoder: where the run begins.
      image_size: of its views, in pixels; a multiple of the patch size.
      patch_size: None, or another one than the encoder's.

    Raises:
      InputError: another patch size than a convolutional stem's.
    """
    arguments = encoder.get_config()
    if patch_size not in (None, arguments["patch_size"]) and arguments["stem_channels"]:
        raise InputError(
            f"init_patch_size is {patch_size}; expected {arguments['patch_size']}, what its "
            "convolutional stem makes"
        )
    arguments["patch_size"] = patch_size or arguments["patch_size"]
    arguments["pooling"] = arguments.pop("features", encoder.backbone.pooling)
    arguments["position_grid"] = None
    arguments.pop("resample", None)  # what the run sees are views, resized as ours are
    return arguments | {"image_size": image_size}


def copy_weights(source, target) -> None:
    """Sets a backbone's weights from another's of the same width and depth.

    Positions for another number of patches are interpolated, as the encoder does it for focal
    views; kernels for patches of another size are resampled.
    """
    values = named_variables(source)
    for name, variable in named_variables(target).items():
        value = np.asarray(values[name])
        if name == "pos_embed":
            value = positions_for(target.grid, value, source)
        elif name == "patch_embed.proj.weight":
            value = resampled_kernel(value, source.patch_size, target.patch_size)
        variable.assign(value)


def positions_for(grid: int, positions: np.ndarray, source) -> np.ndarray:
    """Positions [1, CLS + patches, width] of a backbone for another grid of patches."""
    first, before = int(source.cls_position), source.position_grid or source.grid
    if grid == before:
        return positions
    patches = position_matrix(before, grid, grid, source.interpolation) @ positions[0, first:]
    return np.concatenate([positions[:, :first], patches[None].astype(positions.dtype)], axis=1)


def origin_of(path: AnyPath) -> dict:
    """Where the weights at `path` came from, for encoder.json: {"path", "source" if it says so}."""
    origin = {"path": str(path)}
    description = path / ENCODER_FILE
    if description.is_file():
        origin["source"] = json.loads(description.read_text())["source"]
    return origin


def trainable_instead(path: AnyPath) -> str:
    """What to give instead of a SavedModel."""
    for file in (path / FLAX_FILE, path.parent / FLAX_FILE):
        if file.is_file():
            return f"expected the same weights in {file}"
    if (path.parent / ENCODER_FILE).is_file():
        return f"expected the same encoder in {path.parent}"
    return (
        f"expected the file its weights came from: {FLAX_FILE} of the EndoSSL release, or an "
        "encoder directory"
    )


def describe_origin(config: ConfigDict, source: Frames, total_steps: int) -> dict[str, Any]:
    """Where the weights of a run come from, for encoder.json."""
    origin = {
        "method": "MSN (arXiv 2204.07141)",
        "network": config.export,
        "step": total_steps,
        "data": [str(root) for root in config.data.root],
        "videos": list(source.videos),
    }
    if not config.init:
        origin["variant"] = config.model.variant
    else:
        origin["init"] = origin_of(encoder_path(config.init)) | {"path": str(config.init)}
        origin["licence"] = licence_beside(encoder_path(config.init))
        seen = seen_of(encoder_path(config.init))
        origin["init"].setdefault("source", {"seen": seen.to_json()})
        origin["videos"] += [video for video in seen.videos if video not in source.videos]
    if config.teacher:
        path = encoder_path(config.teacher)
        seen = seen_of(path)
        origin["teacher"] = {"source": {"seen": seen.to_json()}} | origin_of(path)
        origin["teacher"]["path"] = str(config.teacher)
        origin["teacher"]["licence"] = licence_beside(path)
        origin["videos"] += [video for video in seen.videos if video not in origin["videos"]]
    return origin
