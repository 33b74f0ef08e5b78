"""Files of pre-training: checkpoints of a run, and encoder directories that outlive it.

A checkpoint is one safetensors file that holds everything needed to go on: it is written to the
side and renamed, so that what carries its final name is whole. An encoder directory is what
pre-training exports and everything else opens.
"""

import json
import os
import shutil
from pathlib import Path

import keras
import safetensors
import safetensors.numpy

from data.errors import InputError
from data.images import RESIZE_RULE
from msn.formats import named_variables
from msn.vit import Encoder

ENCODER_FILE = "encoder.json"
WEIGHTS_FILE = "encoder.weights.h5"
SAVED_MODEL = "saved_model"
FORMAT = "msn encoder 1"


def save_checkpoint(directory: Path, model, step: int, keep: int) -> Path:
    """Writes the state of a run after `step` steps and removes all but the newest `keep` files."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"step_{step:08d}.safetensors"
    partial = path.with_suffix(".partial")
    state = {name: keras.ops.convert_to_numpy(value) for name, value in run_state(model).items()}
    safetensors.numpy.save_file(state, partial, metadata={"step": str(step)})
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
    for old in checkpoints(directory)[:-keep]:
        old.unlink()
    return path


def restore_checkpoint(path: Path, model) -> int:
    """Sets all variables of a run from a checkpoint and returns its step.

    Raises:
      InputError: the file is damaged, or of another model; nothing is set then.
    """
    variables = run_state(model)
    try:
        with safetensors.safe_open(path, "numpy") as file:
            step = int(file.metadata()["step"])
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            needed = {name: tuple(variable.shape) for name, variable in variables.items()}
            if found != needed:
                wrong = sorted(set(found.items()) ^ set(needed.items()))[0]
                raise InputError(f"{path}: is of another model; {wrong[0]!r} differs")
            values = {name: file.get_tensor(name) for name in needed}
    except safetensors.SafetensorError as error:
        raise InputError(f"{path}: damaged checkpoint ({error})") from error
    for name, variable in variables.items():
        variable.assign(values[name])
    return step


def checkpoints(directory: Path) -> list[Path]:
    """Finished checkpoints in a directory, oldest first."""
    return sorted(directory.glob("step_*.safetensors"))


def run_state(model) -> dict:
    """Every variable of an `msn.model.MSN`, by name."""
    state = {"prototypes": model.prototypes, "optimizer/steps": model.optimizer.steps}
    networks = {
        "anchor": (model.anchor_encoder.backbone, model.anchor_head),
        "target": (model.target_encoder.backbone, model.target_head),
    }
    names = {id(model.prototypes.value): "prototypes"}
    for network, parts in networks.items():
        for name, variable in named_variables(*parts).items():
            state[f"{network}/{name}"] = variable
            names[id(variable.value)] = name
    moments = zip(
        model.optimizer.trained, model.optimizer.first, model.optimizer.second, strict=True
    )
    for variable, first, second in moments:
        state[f"optimizer/first/{names[id(variable)]}"] = first
        state[f"optimizer/second/{names[id(variable)]}"] = second
    return state


def save_encoder(encoder: Encoder, path: str | Path, source: dict) -> Path:
    """Writes an encoder directory: encoder.json, encoder.weights.h5 and saved_model/.

    Args:
      encoder: what to write.
      path: the directory; one that is there is replaced when the new one is complete.
      source: JSON-ready facts about where the weights came from (run, step, network).
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
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
        "source": source,
    }
    (partial / ENCODER_FILE).write_text(json.dumps(description, indent=2) + "\n")
    encoder.save_weights(partial / WEIGHTS_FILE)
    save_saved_model(encoder, partial / SAVED_MODEL)
    shutil.rmtree(path, ignore_errors=True)
    partial.rename(path)
    return path


def save_saved_model(encoder: Encoder, path: Path) -> None:
    """Writes a TensorFlow SavedModel: __call__(float32 [batch, size, size, 3]) -> (tokens, cls)."""
    import tensorflow as tf  # here alone: opening an encoder works under every Keras backend

    size = encoder.image_size
    module = tf.Module()
    module.encoder = encoder
    module.__call__ = tf.function(
        encoder.call, input_signature=[tf.TensorSpec((None, size, size, 3), tf.float32)]
    )

    tf.saved_model.save(module, str(path))


def load_encoder(path: str | Path) -> Encoder:
    """Opens an encoder directory as a trainable Keras model: `tokens, cls = encoder(images)`.

    Raises:
      InputError: nothing there that is an encoder; the message says what was found.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{path}: no such encoder directory; pre-training writes one, encoder/")
    if not (path / ENCODER_FILE).is_file():
        found = ", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "nothing"
        raise InputError(f"{path}: not an encoder directory (no {ENCODER_FILE}); found: {found}")
    try:
        description = json.loads((path / ENCODER_FILE).read_text())
        encoder = Encoder(**description["encoder"])
        encoder.load_weights(path / WEIGHTS_FILE)
    except (KeyError, TypeError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path}: damaged encoder directory ({reason})") from error
    return encoder
