"""The plan of a low-shot grid: which experiments it consists of."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from data.common.configurations import flatten, unknown_part
from data.common.errors import InputError, one_line
from down_stream.cells.cell import Cell, file_name, make_cell, without_grid_keys
from down_stream.features.encoders import is_frozen
from down_stream.low_shot.subsets import draw_subsets, read_subsets
from msn.formats.hub import encoder_path

MANIFEST = "label_subsets.json"
# What all encoders of a grid have in common, or the grid sets in each cell.
COMMON = (
    *("workdir", "data", "task", "positive_class", "folds", "mode", "temporal"),
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
    for key, value in own.items():
        experiment = without_grid_keys(config)
        if unknown := unknown_part(experiment, key):
            raise InputError(f"encoders: {name}: {unknown}")
        if key.split(".")[0] in COMMON:
            raise InputError(
                f"encoders: {name}: {key} in its third place; expected keys of this encoder "
                f"alone: {', '.join(COMMON)} are not"
            )
        try:
            experiment.update_from_flattened_dict({key: value})
        except (TypeError, ValueError) as error:
            raise InputError(f"encoders: {name}: {key} is {value!r}; {one_line(error)}") from error


def plan_subsets(config: ConfigDict, workdir: Path) -> dict:
    """The manifest of labelled videos; what an earlier start has drawn stays as it was.

    Raises:
      InputError: `workdir` has a manifest of other videos.
    """
    manifest = draw_subsets(config.train_videos, config.fractions, config.seeds, config.numbers)
    if not (workdir / MANIFEST).is_file():
        return manifest
    before = read_subsets(workdir / MANIFEST)
    if before["videos"] != manifest["videos"]:
        raise InputError(
            f"{workdir / MANIFEST}: drawn from other train_videos; expected the same, or another "
            "--config.workdir"
        )
    for number, by_seed in manifest["subsets"].items():
        for seed in by_seed:
            by_seed[seed] = before["subsets"].get(number, {}).get(seed, by_seed[seed])
    return manifest


def plan_cells(config: ConfigDict, workdir: Path, manifest: dict) -> Iterator[Cell]:
    """Every cell, those with few labels first."""
    for number, by_seed in manifest["subsets"].items():
        for seed, names in by_seed.items():
            for entry in config.encoders:
                facts = {"encoder": entry[0], "videos": int(number), "seed": int(seed)}
                overrides = of_encoder(config, entry, seed) | {"train_videos": tuple(names)}
                directory = workdir / f"{entry[0]}_{number}videos_seed{seed}"
                yield make_cell(config, overrides, facts, directory)


def of_encoder(config: ConfigDict, entry: tuple, seed: str) -> dict:
    """The keys that an entry of `encoders` sets in a cell of this seed, which {seed} stands for."""
    name, path, *more = entry
    own = flatten(dict(*more))
    keys = {"encoder": path.replace("{seed}", seed), "model.like": None, "seed": int(seed)}
    return keys | ({} if path else _like(config, name, own, seed)) | own


def _like(config: ConfigDict, name: str, own: Mapping, seed: str) -> dict:
    """Which encoder one from scratch resembles, and what the file of that one does not say.

    None where its architecture is named. Of this list, it is the first that has one.
    """
    like = own.get("model.like") or config.model.like
    others = {}
    for _, path, *more in config.encoders:
        if path:
            others.setdefault(path.replace("{seed}", seed), flatten(dict(*more)))
    if not like and not config.model.variant and not own.get("model.variant") and others:
        like = next((one for one in others if not is_frozen(encoder_path(one))), None)
        if not like:
            raise InputError(
                f"{name}: no encoder of this list can be trained, so that none says what random "
                "initialisation is to be like; expected --model=vits (for instance), or "
                "--config.model.like=PATH"
            )
    told = {key: of for key, of in others.get(like, {}).items() if key.startswith("encoder_")}
    return {"model.like": like} | told


def _is_entry(value) -> bool:
    """Whether it is (name, path), or (name, path, keys of a configuration and their values)."""
    if not isinstance(value, tuple) or not 2 <= len(value) <= 3:
        return False
    return all(isinstance(one, str) for one in value[:2]) and all(
        isinstance(one, Mapping | ConfigDict) for one in value[2:]
    )
