"""Encoder directories: what pre-training exports and everything else opens.

`load_encoder` also opens the formats of other projects (`msn.formats`), telling them apart by
content.
"""

import errno
import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from data.common.errors import InputError, one_line
from data.common.logs import logger
from data.images.image_io import resize_rule
from data.storage.cards import CARD
from data.storage.folders import copy_folder, local_copy
from data.storage.paths import AnyPath, to_path
from data.storage.whole import whole_folder
from msn.formats import hugging_face, onnx_encoder, saved_model, single_files
from msn.formats.files.flax_files import read_flax
from msn.formats.files.recognising import ENCODER_FILE, recognise
from msn.formats.hub import encoder_path
from msn.formats.model_card import write_card
from msn.formats.onnx_encoder import OnnxEncoder
from msn.formats.reference_names import Foreign, encoder_of_state, how_to_give
from msn.formats.saved_model import FrozenEncoder, save_saved_model, write_resample
from msn.networks.encoder import Encoder, resample_of
from msn.networks.resnet import ResNetEncoder
from msn.networks.variants import RESNET

WEIGHTS_FILE = "encoder.weights.h5"
SAVED_MODEL = saved_model.INSIDE
FORMAT = "msn encoder 1"
AnyEncoder = Encoder | ResNetEncoder | FrozenEncoder | OnnxEncoder
GRAPH_BYTES = 10_000_000  # more than a SavedModel has beside its weights


def save_encoder(encoder: AnyEncoder, path: str | AnyPath, origin: dict[str, Any]) -> AnyPath:
    """Writes an encoder directory: encoder.json, encoder.weights.h5, saved_model/ and README.md.

    Args:
      encoder: what to write; of a frozen one, the SavedModel or ONNX file is copied, with a card.
      path: the directory; one that is there is replaced when the new one is complete.
      origin: JSON-ready facts about where the weights came from (run, step, network).

    Returns:
      The path of the directory.

    Raises:
      InputError: it cannot be written, as on a full disk; one that is there is as it was.
    """
    path = to_path(path)
    last = {FrozenEncoder: saved_model.MODEL_FILE, OnnxEncoder: onnx_encoder.MODEL_FILE}.get(
        type(encoder), ENCODER_FILE
    )
    try:
        with whole_folder(path, last) as folder:
            if isinstance(encoder, FrozenEncoder):
                copy_folder(encoder.directory, folder, last)
                write_resample(encoder, folder)
            elif isinstance(encoder, OnnxEncoder):
                onnx_encoder.write_onnx(encoder, folder)
            else:
                write_encoder(encoder, folder, origin)
            if not (folder / CARD).exists():  # else that of a SavedModel's authors
                write_card(folder, encoder, origin, "keras")
    except OSError as error:
        raise InputError(
            f"{path}: the encoder cannot be written ({error}); the same command tries again"
        ) from error
    return path


def write_encoder(encoder: Encoder | ResNetEncoder, path: Path, origin: dict[str, Any]) -> None:
    """Writes the files of an encoder directory into a new one."""
    path.mkdir(parents=True)
    check_room(path, encoder)
    if encoder.compute_dtype != encoder.variable_dtype:  # trained in mixed precision
        mixed, encoder = encoder, Encoder(**encoder.get_config(), dtype=encoder.variable_dtype)
        encoder.set_weights(mixed.get_weights())
    description = {
        "format": FORMAT,
        "encoder": encoder.get_config(),
        "preprocessing": {
            "input": "RGB 0..255, [batch, height, width, 3]",
            "resize": resize_rule(resample_of(encoder)),
            "image_size": encoder.image_size,
            "mean": encoder.mean,
            "std": encoder.std,
        },
        "source": origin,
    }
    (path / ENCODER_FILE).write_text(json.dumps(description, indent=2) + "\n")
    encoder.save_weights(path / WEIGHTS_FILE)
    save_saved_model(encoder, path / SAVED_MODEL)


def check_room(folder: Path, encoder: Encoder) -> None:
    """Raises `OSError` where an encoder has no room: HDF5 would end the process, at a full disk."""
    needed = 2 * sum(4 * math.prod(weight.shape) for weight in encoder.weights) + GRAPH_BYTES
    if shutil.disk_usage(folder).free < needed:
        reason = f"{os.strerror(errno.ENOSPC)}: {needed / 1e6:,.0f} MB are needed"
        raise OSError(errno.ENOSPC, reason, str(folder))


def load_encoder(
    path: str | AnyPath,
    num_heads: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> AnyEncoder:
    """Opens an encoder of any known format: `tokens, cls = encoder(images)`, raw RGB 0..255.

    By content, it is told apart what `path` is: an encoder directory; a TensorFlow SavedModel (it
    comes back frozen, without a backbone); a Flax checkpoint of the published EndoSSL weights, or
    the folder with `checkpoint_0`; a directory of transformers (ViT, ViTMSN, MAE, DINOv2, DINOv3,
    I-JEPA) or of timm; a PyTorch or safetensors file of msn, DINO, DINOv2, DINOv3, MAE, EndoViT,
    I-JEPA, timm, or with such an encoder in it; an ONNX file with its description beside it, frozen
    (docs/encoders.md). No code in a file is run. What
    of a file is not used is named in the log.

    Args:
      path: file or directory, on a disk or a remote file system; or an address on the Hugging Face
        Hub, hf://owner/name[@revision] or hf-hub:owner/name.
      num_heads: attention heads, for files that do not say it (PyTorch's, timm's) and whose width
        is of no known variant.
      mean, std: of RGB in 0..1, for files that do not say it and whose family has several; where a
        file says it, they must agree.

    Returns:
      A Keras model, images [batch, size, size, 3] -> tokens [batch, 1 + patches, width] and the
      representation [batch, width].

    Raises:
      InputError: nothing there that is an encoder, or a damaged one, or an argument is missing or
        is not the file's; the message names the path and what was found.
    """
    path = encoder_path(path)
    given = {"num_heads": num_heads, "mean": mean, "std": std}
    given = {name: value for name, value in given.items() if value is not None}
    check_colours(given)
    try:
        encoder = _open(path, given)
        if isinstance(encoder, Encoder):
            check_given(encoder, given)
        elif given:
            raise InputError(f"says its {', '.join(given)} itself; expected none")
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return encoder


def check_colours(given: dict[str, Any]) -> None:
    """Raises `InputError` unless mean and std, where they are given, are three numbers each."""
    for name in given.keys() & {"mean", "std"}:
        values = given[name]
        if np.shape(values) != (3,) or not all(
            isinstance(value, Real) and 0 <= float(value) < np.inf and (value or name == "mean")
            for value in values
        ):
            limit = "from 0" if name == "mean" else "above 0"
            raise InputError(f"{name} is {values!r}; expected three numbers {limit}, R, G, B")


def facts_in(config: ConfigDict, key: str) -> dict[str, Any]:
    """What a configuration says of the encoder that its `key` names: `load_encoder`'s arguments.

    They are `key`_mean, `key`_std and `key`_num_heads; None where the file says it.
    """
    names = ("num_heads", "mean", "std")
    return {name: config[f"{key}_{name}"] for name in names}


def check_given(encoder: Encoder, given: dict[str, Any]) -> None:
    """Raises `InputError` where an encoder has another value than what was given."""
    found = {"num_heads": encoder.backbone.num_heads, "mean": encoder.mean, "std": encoder.std}
    for name, value in given.items():
        if not np.allclose(found[name], value, rtol=1e-4):
            has = f"{found[name]} heads" if name == "num_heads" else f"{name} {found[name]}"
            raise InputError(f"has {has}; expected {name}={value}")


def _open(path: AnyPath, given: dict[str, Any]) -> AnyEncoder:
    kind, place = recognise(path)
    if kind == "encoder":
        return _open_encoder_directory(place)
    if kind == "saved_model":
        return FrozenEncoder(place)
    if kind == "onnx":
        return OnnxEncoder(place)
    if kind == "flax":
        return _encoder(place, Foreign(*read_flax(place)), given)
    read = {
        "hugging_face": hugging_face.read_directory,
        "torch": single_files.read_torch,
        "safetensors": single_files.read_safetensors,
    }[kind]
    return _encoder(place, read(place), given)


def _open_encoder_directory(path: AnyPath) -> Encoder | ResNetEncoder:
    try:
        description = json.loads((path / ENCODER_FILE).read_text())
        rule = description["preprocessing"]["resize"]
        arguments = description["encoder"]
        is_resnet = arguments.pop("architecture", None) == RESNET
        encoder = (ResNetEncoder if is_resnet else Encoder)(**arguments)
        with local_copy(path / WEIGHTS_FILE) as file:
            encoder.load_weights(file)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise InputError(f"damaged encoder directory ({one_line(error)})") from error
    expected = resize_rule(resample_of(encoder))
    if rule != expected:
        raise InputError(
            f"{ENCODER_FILE} asks for frames resized by {rule!r}; expected {expected!r}"
        )
    return encoder


def _encoder(path: AnyPath, found: Foreign, given: dict[str, Any]) -> Encoder:
    """The encoder that was found; what is given counts where the file does not say it."""
    arguments = {"num_heads": None} | given | found.arguments
    for name in given:
        if arguments[name] is None:
            arguments[name] = given[name]
    if missing := [name for name in ("mean", "std") if arguments.get(name) is None]:
        raise InputError(
            f"{found.family.title} that does not say how its images are normalised; expected "
            f"{' and '.join(missing)} of RGB in 0..1 ({how_to_give(missing)}): "
            f"{found.family.hint}"
        )
    encoder = encoder_of_state(found.state, **arguments)
    encoder.remarks = tuple(found.remarks)
    for remark in found.remarks:
        logger.warning("%s: %s", path, remark)
    if found.unused:
        logger.warning("%s: not used, without effect: %s", path, in_short(found.unused))
    return encoder


def in_short(names: list[str]) -> str:
    """Names of weights, by what they begin with and how many there are."""
    counts = Counter(name.partition(".")[0] for name in names)
    return ", ".join(f"{name} ({count})" if count > 1 else name for name, count in counts.items())
