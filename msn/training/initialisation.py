"""Pre-training that begins from the weights of an encoder, instead of random ones."""

import json

import numpy as np

from data.common.errors import InputError
from data.storage.paths import AnyPath
from msn.encoders import load_encoder
from msn.formats.files.flax_files import FLAX_FILE
from msn.formats.files.recognising import ENCODER_FILE
from msn.formats.reference_names import named_variables
from msn.formats.saved_model import FrozenEncoder
from msn.networks.embedding import position_matrix, resampled_kernel
from msn.networks.encoder import Encoder


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
