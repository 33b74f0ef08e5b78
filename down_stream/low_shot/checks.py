"""What is no low-shot grid, said before TensorFlow is imported."""

from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict

from data.common.configurations import flatten, unknown_part
from data.common.errors import InputError, one_line
from data.storage.paths import file_name
from down_stream import checks as of_experiments
from down_stream.cells.cell import make_cell, without_grid_keys
from msn.workdir.seen import check_encoder_at

# What all encoders of a grid have in common, or the grid sets in each cell.
COMMON = (
    *("workdir", "data", "task", "positive_class", "folds", "fold_videos", "mode", "temporal"),
    *("train_videos", "validation_videos", "test_videos", "seed", "encoder"),
)


def check(config: ConfigDict) -> None:
    """Raises `InputError` for values with which there is no grid."""
    wrong = [one for one in config.encoders if not _is_entry(one)]
    names = [one[0] for one in config.encoders if one not in wrong]
    if wrong or not names or len(set(names)) < len(names) or not all(names):
        raise InputError(
            f"encoders: found {config.encoders!r}; expected (('NAME', 'PATH'), ...), each name once"
        )
    if unfit := [name for name in names if "/" in name]:
        raise InputError(f"encoders: {unfit[0]!r} has a /; expected names without one")
    check_folders(names)
    for name, _, *own in config.encoders:
        _check_own(config, name, flatten(dict(*own)))
    for key, kind in (("fractions", int | float), ("numbers", int), ("seeds", int)):
        if odd := [one for one in config[key] if not isinstance(one, kind)]:
            raise InputError(f"{key}: found {odd[0]!r}; expected only numbers")
    if config.baseline not in names:
        raise InputError(f"baseline is {config.baseline!r}; expected one of {', '.join(names)}")


def check_grid(config: ConfigDict) -> None:
    """Raises `InputError` as `check` does, and for values with which no experiment of it works."""
    check(config)
    if config.folds:
        raise InputError(
            f"folds is {config.folds} in a low-shot grid; expected 0 there, or a comparison "
            "(configs/encoder_comparison.py), which has curves over labels with folds, too"
        )
    for name, path, *own in config.encoders:
        keys = {"encoder": path, "model.like": None} if path else {"model.like": name}
        check_cell(config, name, keys | flatten(dict(*own)))


def check_cell(config: ConfigDict, name: str, keys: Mapping) -> None:
    """Raises `InputError` where an experiment with these keys, the cell `name`, cannot work.

    One from scratch is like another encoder: which one is found when encoders are opened.
    """
    try:
        of_experiments.check(make_cell(config, keys, {}, "").config)
    except InputError as error:
        raise InputError(f"cells of {name}: {error}") from error


def check_folders(names: Sequence[str]) -> None:
    """Raises `InputError` where results of two encoders would have the same folder's name."""
    folders = {}
    for name in names:
        other = folders.setdefault(file_name(name).casefold(), name)
        if other != name:
            raise InputError(
                f"encoders: {other!r} and {name!r} would have the same folders; expected names "
                "that differ in letters or numbers"
            )


def _check_own(config: ConfigDict, name: str, own: Mapping) -> None:
    """Raises `InputError` for keys that no encoder alone can have."""
    check_keys(config, own, f"encoders: {name}", ": ")
    if common := [key for key in own if key.split(".")[0] in COMMON]:
        raise InputError(
            f"encoders: {name}: {common[0]} in its third place; expected keys of this encoder "
            f"alone: {', '.join(COMMON)} are not"
        )


def check_keys(config: ConfigDict, keys: Mapping, where: str, joint: str) -> None:
    """Raises `InputError` for keys that no experiment has, or values of another kind.

    Args:
      config: of a grid.
      keys: {dotted key: value}, of some of its cells.
      where: they are said, for the message.
      joint: what is between it and a key there.
    """
    for key, value in keys.items():
        experiment = without_grid_keys(config)
        if unknown := unknown_part(experiment, key):
            raise InputError(f"{where}: {unknown}")
        try:
            experiment.update_from_flattened_dict({key: value})
        except (TypeError, ValueError) as error:
            raise InputError(f"{where}{joint}{key} is {value!r}; {one_line(error)}") from error


def check_paths(config: ConfigDict) -> None:
    """Raises `InputError` where no encoder is at a path of the list; with all that are missing."""
    wrong = {}
    for name, path, *_ in config.encoders:
        for seed in config.seeds if path else ():
            try:
                check_encoder_at(path.replace("{seed}", str(seed)))
            except InputError as error:
                wrong.setdefault(name, str(error))
    if wrong:
        listed = "; ".join(f"{name}: {reason}" for name, reason in wrong.items())
        raise InputError(f"encoders: {len(wrong)} cannot be used: {listed}")


def _is_entry(value) -> bool:
    """Whether it is (name, path), or (name, path, keys of a configuration and their values)."""
    if not isinstance(value, tuple) or not 2 <= len(value) <= 3:
        return False
    return all(isinstance(one, str) for one in value[:2]) and all(
        isinstance(one, Mapping | ConfigDict) for one in value[2:]
    )
