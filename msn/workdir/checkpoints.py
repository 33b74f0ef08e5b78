"""Files of pre-training: checkpoints of a run, and encoder directories that outlive it.

A checkpoint is one safetensors file that holds everything needed to go on;
`msn.workdir.checkpoint_files` says when it is whole. An encoder directory is what pre-training
exports and everything else opens.
"""

import json
from collections.abc import Iterable

import keras
import safetensors

from data.common.errors import InputError, one_line
from data.storage.paths import AnyPath
from msn.formats.reference_names import named_variables
from msn.workdir.checkpoint_files import (
    checkpoints,
    open_state,
    read_metadata,
    remove,
    step_of,
    unmarked,
    write_state,
)


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
      keep: the newest so many files stay.
      keep_every: so does every file of a multiple of so many steps; 0 for none.
      skipped: steps that were left out, kept with the file.

    Raises:
      InputError: the file cannot be written, as on a full disk; those before it are as they were.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"step_{step:08d}.safetensors"
    state = {name: keras.ops.convert_to_numpy(value) for name, value in run_state(model).items()}
    metadata = {"step": str(step), "skipped": json.dumps(list(skipped))}
    try:
        write_state(path, state, metadata)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(
            f"{path}: the checkpoint cannot be written ({one_line(error)}); the same command goes "
            "on from the one before"
        ) from error
    for left in unmarked(directory):
        left.unlink()  # of a run that was killed while it wrote
    finished = checkpoints(directory)
    # Files of later steps were refused as damaged, or the run went back behind them.
    new = [old for old in finished if step_of(old) <= step][-keep:]
    for old in finished:
        is_kept_for_good = keep_every and step_of(old) % keep_every == 0 and step_of(old) <= step
        if old not in new and not is_kept_for_good:
            remove(old)
    return path


def restore_checkpoint(path: AnyPath, model) -> int:
    """Sets all variables of a run from a checkpoint and returns its step.

    Raises:
      InputError: the file is damaged, or of another model; nothing is set then.
    """
    variables = run_state(model)
    with open_state(path) as file:
        step = int(file.metadata()["step"])
        found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        needed = {name: tuple(variable.shape) for name, variable in variables.items()}
        if found != needed:
            wrong = sorted(set(found.items()) ^ set(needed.items()))[0]
            raise InputError(
                f"{path}: is of another model or an earlier version; {wrong[0]!r} differs"
            )
        values = {name: file.get_tensor(name) for name in needed}
    for name, variable in variables.items():
        variable.assign(values[name])
    return step


def skipped_steps(path: AnyPath) -> tuple[int, ...]:
    """The steps that were left out before a checkpoint."""
    return tuple(json.loads(read_metadata(path)["skipped"]))


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
    moments = zip(
        model.optimizer.trained, model.optimizer.first, model.optimizer.second, strict=True
    )
    for variable, first, second in moments:
        state[f"optimizer/first/{names[id(variable)]}"] = first
        state[f"optimizer/second/{names[id(variable)]}"] = second
    return state
