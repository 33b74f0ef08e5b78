"""Encoder directories: what pre-training exports and everything else opens.

`load_encoder` also opens the formats of other projects (`msn.formats`), telling them apart by
content.
"""

import errno
import json
import math
import os
import shutil
from pathlib import Path, PurePath

from data.common.errors import InputError, one_line
from data.images.image_io import RESIZE_RULE
from data.storage.folders import copy_folder, local_copy, read_part
from data.storage.paths import AnyPath, to_path
from data.storage.whole import whole_folder
from msn.formats import hugging_face, saved_model, torch_files
from msn.formats.flax_files import FLAX_FILE, is_flax, read_flax
from msn.formats.reference_names import encoder_of_state, read_msn_checkpoint
from msn.formats.saved_model import FrozenEncoder, save_saved_model
from msn.networks.encoder import Encoder
from msn.networks.resnet import RESNET, ResNetEncoder

ENCODER_FILE = "encoder.json"
WEIGHTS_FILE = "encoder.weights.h5"
SAVED_MODEL = "saved_model"
FORMAT = "msn encoder 1"
GRAPH_BYTES = 10_000_000  # more than a SavedModel has beside its weights


def save_encoder(
    encoder: Encoder | ResNetEncoder | FrozenEncoder, path: str | PurePath, origin: dict
) -> AnyPath:
    """Writes an encoder directory: encoder.json, encoder.weights.h5 and saved_model/.

    Args:
      encoder: what to write; of a frozen one, the SavedModel is copied.
      path: the directory; one that is there is replaced when the new one is complete.
      origin: JSON-ready facts about where the weights came from (run, step, network).

    Raises:
      InputError: it cannot be written, as on a full disk; one that is there is as it was.
    """
    path = to_path(path)
    last = saved_model.MODEL_FILE if isinstance(encoder, FrozenEncoder) else ENCODER_FILE
    try:
        with whole_folder(path, last) as folder:
            if isinstance(encoder, FrozenEncoder):
                copy_folder(encoder.directory, folder, last)
            else:
                write_encoder(encoder, folder, origin)
    except OSError as error:
        raise InputError(
            f"{path}: the encoder cannot be written ({error}); the same command tries again"
        ) from error
    return path


def write_encoder(encoder: Encoder | ResNetEncoder, path: Path, origin: dict) -> None:
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
            "resize": RESIZE_RULE,
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
    path: str | PurePath, num_heads: int | None = None
) -> Encoder | ResNetEncoder | FrozenEncoder:
    """Opens an encoder of any known format: `tokens, cls = encoder(images)`, raw RGB 0..255.

    By content, it is told apart what `path` is: an encoder directory; a TensorFlow SavedModel (it
    comes back frozen, without a backbone); a Flax checkpoint of the published EndoSSL weights, or
    the folder with `checkpoint_0`; a `.pth.tar` of facebookresearch/msn, of which the target
    encoder is taken; a Hugging Face ViTMSN directory; a safetensors file with timm's names. No code
    in a file is run.

    Args:
      path: file or directory, on a disk or a remote file system.
      num_heads: attention heads, for files that do not say it (PyTorch's, timm's) and whose width
        is of no known variant.

    Raises:
      InputError: nothing there that is an encoder, or a damaged one, or `num_heads` is missing or
        is not the file's; the message names the path and what was found.
    """
    path = to_path(path)
    try:
        encoder = (_open_directory if path.is_dir() else _open_file)(path, num_heads)
        if num_heads is not None and isinstance(encoder, Encoder):
            found = encoder.backbone.num_heads
            if found != num_heads:
                raise InputError(f"has {found} heads; expected num_heads={num_heads}")
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return encoder


def _open_directory(path, num_heads):
    if (path / ENCODER_FILE).is_file():
        return _open_encoder_directory(path)
    if (path / saved_model.MODEL_FILE).is_file():
        return FrozenEncoder(path)
    for name, inner in (("encoder", "encoder"), ("model", "model/encoder")):
        if (path / inner / ENCODER_FILE).is_file():  # the directory of a run, or an experiment
            raise InputError(f"a directory with {name}/ in it; expected {path / name}")
    if (path / hugging_face.CONFIG_FILE).is_file():
        return _encoder(*hugging_face.read_directory(path), num_heads)
    if (path / FLAX_FILE).is_file():  # a release of EndoSSL; its SavedModel is the same, frozen
        return _open_file(path / FLAX_FILE, num_heads)
    found = ", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "nothing"
    raise InputError(
        f"found: {found}; expected an encoder directory ({ENCODER_FILE}), a SavedModel "
        f"({saved_model.MODEL_FILE}), a Hugging Face directory ({hugging_face.CONFIG_FILE}) or "
        f"{FLAX_FILE}"
    )


def _open_file(path, num_heads):
    if not path.is_file():
        raise InputError("no such file or directory; pre-training writes encoder/")
    start = read_part(path, 0, 16)
    if start.startswith(torch_files.ZIP_MAGIC):
        return _encoder(*read_msn_checkpoint(path), num_heads)
    if start.startswith(torch_files.LEGACY_MAGIC):
        raise InputError(
            "a PyTorch file of the format before 1.6; expected the same content written by a newer "
            "torch.save"
        )
    if start[8:9] == b"{":  # after the length of the header
        return _encoder(*hugging_face.read_timm(path), num_heads)
    if is_flax(start):
        return _encoder(*read_flax(path), num_heads)
    raise InputError(
        f"{path.stat().st_size} bytes of an unknown format (begins with {start!r}); expected a "
        "PyTorch, Flax or safetensors file, or an encoder directory"
    )


def _open_encoder_directory(path):
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
    if rule != RESIZE_RULE:
        raise InputError(
            f"{ENCODER_FILE} asks for frames resized by {rule!r}; expected {RESIZE_RULE!r}"
        )
    return encoder


def _encoder(state, arguments, num_heads):
    """The encoder with these weights; `num_heads` counts where the file does not say it."""
    if arguments["num_heads"] is None:
        arguments = arguments | {"num_heads": num_heads}
    return encoder_of_state(state, **arguments)
