"""The directory of a run: one configuration, room for its checkpoints."""

import json
import math
import os
import shutil

from ml_collections import ConfigDict

from data.common.configurations import flatten
from data.common.errors import InputError
from data.common.logs import logger
from data.storage.paths import AnyPath, is_remote
from data.storage.whole import whole_file
from msn.method.model import MSN
from msn.workdir import checkpoint_files, checkpoints

CONFIG_FILE = "config.json"
CHECKPOINTS = "checkpoints"
# What may change between two starts of a run: what it writes, and how often; how a step is
# computed, not what (the last bits of its numbers alone); what happens when something is wrong.
CHANGEABLE = (
    "checkpoint_every",
    "checkpoint_minutes",
    "keep_checkpoints",
    "keep_every",
    "log_every",
    "export",
    "probe_every",
    "probe.root",
    "probe.task",
    "probe.train_videos",
    "probe.test_videos",
    "probe.max_frames",
    "strategy",
    "wait_minutes",
    "accumulation",
    "compile_with_xla",
    "gradient_checkpointing",
    "data.max_unreadable",
    "on_nan",
    "max_rollbacks",
    "track",
    # of down-stream experiments
    "workdir",
    "folds",  # each is an experiment in a workdir of its own
    "feature_cache",
    "choose_by",  # fine-tuning itself refuses a change between its epochs
)
# {how keys begin: (key, whether its value gives them a say)}; earlier versions had none of them.
OPTIONAL = {
    "teacher": ("teacher", bool),
    "teacher_sees": ("teacher_sees", lambda sees: sees == "view"),
    "track": ("track", bool),
    "pseudo_labels": ("pseudo_labels", bool),
    "trust_model_labels": ("trust_model_labels", bool),
    "data.balance_sources": ("data.balance_sources", bool),
    "data.one_source_per_batch": ("data.one_source_per_batch", bool),
    "fold_videos": ("fold_videos", bool),
    "attentive.": ("features", lambda features: features == "attentive"),
}


def check_unchanged(what: str, before: dict, now: dict, longer: str = "") -> list[str]:
    """What differs between two configurations, as "key old -> new".

    Args:
      what: what the one before is of, for the message.
      before, now: as `plain` returns them.
      longer: how to go on for more steps or epochs, where there is a way, for the message.

    Raises:
      InputError: keys differ that are not CHANGEABLE.
    """
    changes = changed_keys(before, now)
    if refused := [key for key in changes if key not in CHANGEABLE]:
        expected = "use another workdir or the same configuration"
        if longer and set(refused) <= {"steps", "epochs"}:
            expected = longer
        raise InputError(
            f"{what} of another configuration ({', '.join(map(changes.get, refused))}); {expected}"
        )
    return list(changes.values())


def changed_keys(before: dict, now: dict) -> dict[str, str]:
    """{key: "key old -> new"} of what differs between two configurations and has a say."""
    before, now = flatten(before), flatten(now)
    changes = {
        key: f"{key} {before.get(key)!r} -> {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    }
    for start, (key, has_say) in OPTIONAL.items():
        if not (has_say(before.get(key)) or has_say(now.get(key))):
            changes = {name: text for name, text in changes.items() if not name.startswith(start)}
    return changes


def check_configuration(workdir: AnyPath, config: ConfigDict) -> list[str]:
    """What changed since the last start in `workdir`, as `check_unchanged`; writes nothing."""
    path = workdir / CONFIG_FILE
    if not path.is_file():
        return []
    try:
        before = flatten(json.loads(path.read_text()))
    except (ValueError, AttributeError) as error:
        raise InputError(f"{path}: damaged; use another workdir") from error
    longer = "init" in config and (  # else it is an experiment, with no encoder/ to go on from
        "its schedules end with its last step. Complete it as it is; to train for longer, begin "
        f"with its encoder in another workdir: --config.init={workdir / 'encoder'}"
    )
    return check_unchanged(f"{workdir} holds a run", before, plain(config), longer or "")


def write_configuration(workdir: AnyPath, config: ConfigDict) -> None:
    """Checks as `check_configuration`, says what changed, and writes config.json."""
    if changes := check_configuration(workdir, config):
        logger.info("changed since the last start: %s", ", ".join(changes))
    with whole_file(workdir / CONFIG_FILE) as side:
        side.write_text(as_json(config))


def plain(config: ConfigDict) -> dict:
    """A configuration as JSON brings it back: dicts, lists, strings and numbers."""
    return json.loads(json.dumps(config.to_dict(), default=list))


def as_json(config: ConfigDict) -> str:
    """A configuration as config.json has it."""
    return json.dumps(plain(config), indent=2, sort_keys=True) + "\n"


def check_writable(workdir: AnyPath) -> None:
    """Raises `InputError` if nothing can be written to `workdir`, or it cannot be made.

    A remote one is not checked: only writing shows it.
    """
    if is_remote(workdir):
        return
    for folder in (workdir / CHECKPOINTS, workdir):
        place = next(place for place in (folder, *folder.parents) if place.exists())
        if not os.access(place, os.W_OK | os.X_OK):
            raise InputError(f"workdir={workdir}: no permission to write to {place}")


def check_room(workdir: AnyPath, model: MSN, keep: int, keep_every: int, total_steps: int) -> None:
    """Raises `InputError` if the disk has no room for the checkpoints of a run, and its encoder.

    Args:
      workdir: the run directory; it need not exist. A remote one has room.
      model, total_steps: of the run.
      keep, keep_every: as `msn.workdir.checkpoints.save_checkpoint` takes them.
    """
    if is_remote(workdir):
        return
    one = sum(_bytes(variable) for variable in checkpoints.run_state(model).values())
    encoder = sum(_bytes(variable) for variable in model.target_encoder.weights)
    # One more than is kept, because the oldest goes when the newest is there; an encoder twice, as
    # weights and as SavedModel, and both once more while one that is there is replaced.
    number = keep + 1 + (total_steps // keep_every if keep_every else 0)
    used = sum(path.stat().st_size for path in checkpoint_files.checkpoints(workdir / CHECKPOINTS))
    place = next(place for place in (workdir, *workdir.parents) if place.exists())
    needed, free = number * one + 4 * encoder - used, shutil.disk_usage(place).free
    if free < needed:
        raise InputError(
            f"workdir={workdir}: {free / 1e6:,.0f} MB free, {needed / 1e6:,.0f} MB needed "
            f"for {number} checkpoints of {one / 1e6:,.1f} MB and the encoder; make room, or keep "
            "fewer (keep_checkpoints, keep_every)"
        )


def _bytes(variable) -> int:
    return 4 * math.prod(variable.shape)  # float32, whatever the precision of the run
