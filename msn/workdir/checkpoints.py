"""Checkpoints of pre-training: one safetensors file holds everything needed to go on.

`msn.workdir.checkpoint_files` says when it is whole.
"""

import json
import time
from collections.abc import Iterable

import keras

from data.storage.paths import AnyPath
from msn.formats.reference_names import named_variables
from msn.workdir.checkpoint_files import read_newest, read_state, save_state


class SaveClock:
    """Says when a checkpoint is due by time.

    Args:
      minutes: between two checkpoints; 0 for never.
    """

    def __init__(self, minutes: float):
        self._seconds = 60 * minutes
        self.restart()

    def restart(self) -> None:
        """A checkpoint was written."""
        self._since = time.monotonic()

    def is_time(self) -> bool:
        """Whether the time is up; True once, and again when it has passed again."""
        if not self._seconds or time.monotonic() - self._since < self._seconds:
            return False
        self.restart()
        return True


def save_checkpoint(
    directory: AnyPath,
    model,
    step: int,
    keep: int,
    keep_every: int = 0,
    skipped: Iterable[int] = (),
) -> AnyPath:
    """Writes the state of a run after `step` steps and removes old files.

    Args:
      directory: made if it is missing.
      model: `msn.method.model.MSN`.
      step: int.
      keep, keep_every: as `msn.workdir.checkpoint_files.save_state` takes them.
      skipped: steps that were left out, kept with the file.

    Raises:
      InputError: the file cannot be written, as on a full disk; those before it are as they were.
    """
    state = {name: keras.ops.convert_to_numpy(value) for name, value in run_state(model).items()}
    metadata = {"step": str(step), "skipped": json.dumps(list(skipped))}
    return save_state(directory, step, state, metadata, keep, keep_every)


def restore_checkpoint(path: AnyPath, model) -> tuple[int, tuple[int, ...]]:
    """Sets all variables of a run from a checkpoint.

    Returns:
      Its step, and the steps that were left out before it.

    Raises:
      InputError: the file is damaged, or of another model; nothing is set then.
    """
    variables = run_state(model)
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    values, metadata = read_state(path, shapes)
    for name, variable in variables.items():
        variable.assign(values[name])
    return int(metadata["step"]), tuple(json.loads(metadata["skipped"]))


def restore_newest(directory: AnyPath, model) -> tuple[int, tuple[int, ...]]:
    """As `restore_checkpoint`, from the newest that is whole; 0 and () without a checkpoint.

    Raises:
      InputError: there are checkpoints, but none that can be used.
    """
    return read_newest(directory, lambda path: restore_checkpoint(path, model)) or (0, ())


def run_state(model) -> dict:
    """Every variable of an `msn.method.model.MSN`, by name."""
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
    for variable in model.teacher_variables:
        name = names[id(variable.value)] = f"teacher/{'/'.join(variable.path.split('/')[-2:])}"
        state[name] = variable
    moments = zip(
        model.optimizer.trained, model.optimizer.first, model.optimizer.second, strict=True
    )
    for variable, first, second in moments:
        state[f"optimizer/first/{names[id(variable)]}"] = first
        state[f"optimizer/second/{names[id(variable)]}"] = second
    return state
