"""The plan of a low-shot grid: which experiments it consists of."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ml_collections import ConfigDict

from data.common.errors import InputError
from down_stream.low_shot.subsets import draw_subsets, read_subsets

MANIFEST = "label_subsets.json"
GRID_KEYS = ("encoders", "baseline", "fractions", "numbers", "seeds")  # of the grid, not of a cell


@dataclass(frozen=True)
class Cell:
    """One experiment of the grid.

    Attributes:
      encoder: its name in the grid.
      videos: how many have labels.
      seed: of the choice of these videos, and of the experiment.
      directory: of its results.
      config: of the experiment.
    """

    encoder: str
    videos: int
    seed: int
    directory: Path
    config: ConfigDict


def check(config: ConfigDict) -> None:
    """Raises `InputError` for values with which there is no grid."""
    wrong = [one for one in config.encoders if not _is_pair(one)]
    names = [one[0] for one in config.encoders if one not in wrong]
    if wrong or not names or len(set(names)) < len(names) or not all(names):
        raise InputError(
            f"encoders: found {config.encoders!r}; expected (('NAME', 'PATH'), ...), each name once"
        )
    if unfit := [name for name in names if "/" in name]:
        raise InputError(f"encoders: {unfit[0]!r} has a /; expected names without one")
    for key, kind in (("fractions", int | float), ("numbers", int), ("seeds", int)):
        if odd := [one for one in config[key] if not isinstance(one, kind)]:
            raise InputError(f"{key}: found {odd[0]!r}; expected only numbers")
    if config.baseline not in names:
        raise InputError(f"baseline is {config.baseline!r}; expected one of {', '.join(names)}")


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
    shared = ConfigDict({name: value for name, value in config.items() if name not in GRID_KEYS})
    for number, by_seed in manifest["subsets"].items():
        for seed, names in by_seed.items():
            for encoder, path in config.encoders:
                directory = workdir / f"{encoder}_{number}videos_seed{seed}"
                cell = shared.copy_and_resolve_references()
                cell.encoder = path.replace("{seed}", seed)
                cell.model.like = None if path else _like(config, seed)
                cell.seed, cell.train_videos, cell.workdir = int(seed), tuple(names), str(directory)
                yield Cell(encoder, int(number), int(seed), directory, cell)


def _like(config: ConfigDict, seed: str) -> str | None:
    """The encoder that one from scratch resembles; None where its architecture is named."""
    if config.model.like or config.model.variant:
        return config.model.like
    paths = [path for _, path in config.encoders if path]
    return paths[0].replace("{seed}", seed) if paths else None


def _is_pair(value) -> bool:
    return isinstance(value, tuple) and [type(one) for one in value] == [str, str]
