"""The plan of a low-shot grid: which experiments it consists of."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from ml_collections import ConfigDict

from data.common.configurations import flatten
from data.common.errors import InputError
from down_stream.cells.cell import Cell, make_cell
from down_stream.low_shot.subsets import draw_subsets, read_subsets
from msn.formats.files.recognising import is_frozen
from msn.formats.hub import encoder_path

MANIFEST = "label_subsets.json"


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
