"""The plan of a comparison: which experiments it consists of, and which there cannot be."""

from dataclasses import dataclass
from pathlib import Path

from ml_collections import ConfigDict

from data.common.errors import InputError
from data.storage.paths import file_name
from down_stream.cells.cell import Cell, make_cell
from down_stream.cells.opening import Encoders, open_all
from down_stream.choices import ATTENTIVE
from down_stream.comparison.checks import USUAL, keys_of
from down_stream.low_shot import plan as low_shot
from msn.formats.files.feature_table import FeatureTable

OWN = "own"  # the features of a table, of which there is one kind
# Of these the temporal model after frozen features is trained once: it does not see the classifier.
BEFORE_TEMPORAL = ("probe", "logistic", "knn")


@dataclass(frozen=True)
class Skipped:
    """Experiments that there cannot be, and why."""

    encoder: str
    what: str
    why: str


def plan_cells(
    config: ConfigDict, workdir: Path, manifest: dict, encoders: Encoders, has_time: bool
) -> tuple[list[Cell], list[Skipped]]:
    """Every experiment, those with few labels first; and what there cannot be.

    Of a frozen encoder that is the same for every seed, what does not depend on the seed is done
    for the first seed alone.

    Args:
      config: of the comparison.
      workdir: receives the directories of the cells.
      manifest: of the labelled videos, as `down_stream.low_shot.plan.plan_subsets` returns it.
      encoders: opens them.
      has_time: whether the task's frames are in an order of time that temporal models learn.

    Raises:
      InputError: with all that is wrong with any of the encoders; or there is nothing to run.
    """
    subsets = manifest["subsets"]
    bare = [
        make_cell(config, low_shot.of_encoder(config, entry, seed), {"encoder": entry[0]}, workdir)
        for seed in next(iter(subsets.values()))
        for entry in config.encoders
    ]
    open_all(bare, encoders)
    cells, skipped = [], {}
    temporal = config.temporal if has_time else ""
    for number, by_seed in subsets.items():
        for seed, names in by_seed.items():
            for entry in config.encoders:
                facts = {"encoder": entry[0], "videos": int(number), "seed": int(seed)}
                overrides = low_shot.of_encoder(config, entry, seed)
                overrides["train_videos"] = tuple(names)
                is_fixed = bool(entry[1]) and "{seed}" not in entry[1]
                same_videos = is_fixed and len(names) == len(manifest["videos"])
                experiment = make_cell(config, overrides, facts, workdir)
                for one, reason in _ways(config, encoders, experiment, temporal):
                    if reason:
                        skipped[entry[0], one.words] = Skipped(entry[0], one.words, reason)
                    elif not (same_videos and one.is_certain and seed != next(iter(by_seed))):
                        cells.append(_cell(config, workdir, one, facts, overrides))
    if not cells:
        why = "; ".join(f"{one.encoder}, {one.what}: {one.why}" for one in skipped.values())
        raise InputError(f"nothing to compare: {why}")
    assert len({cell.name.casefold() for cell in cells}) == len(cells), "cells share a folder"
    return cells, list(skipped.values())


@dataclass(frozen=True)
class _Way:
    """How an encoder is put to use."""

    mode: str
    kind: str
    features: str | None
    temporal: str

    @property
    def words(self) -> str:
        return self.mode if self.kind in (USUAL, OWN) else f"{self.mode} on {self.kind}"

    @property
    def is_certain(self) -> bool:
        """Whether no seed has a part in it."""
        return self.mode in ("knn", "logistic") and not self.temporal


def _ways(config, encoders: Encoders, experiment: Cell, temporal: str):
    """Yields (way, why there cannot be one or "")."""
    opened = encoders.of(experiment.config)
    kinds = (OWN,) if opened.kind == FeatureTable.kind else config.feature_kinds
    frozen = [mode for mode in BEFORE_TEMPORAL if mode in config.modes]
    for mode in config.modes:
        for kind in kinds:
            features = None if kind in (USUAL, OWN) else kind
            has_temporal = mode == "finetune" or kind == ATTENTIVE or mode in frozen[:1]
            way = _Way(mode, kind, features, temporal if has_temporal else "")
            reason = ""
            if mode == "finetune" and not opened.is_trainable:
                reason = f"{opened.kind} cannot be trained"
            elif kind == ATTENTIVE and mode in ("knn", "logistic"):
                reason = "attentive pooling is trained with the classifier"
            elif features:
                reason = opened.problems[features]
            yield way, reason


def _cell(config, workdir: Path, way: _Way, facts: dict, overrides: dict) -> Cell:
    own = keys_of(config, way.mode, way.temporal, way.features)
    facts = facts | {"mode": way.mode, "kind": way.kind, "temporal": way.temporal}
    kind = "" if way.kind in (USUAL, OWN) else f"_{way.kind}"
    name = f"{facts['encoder']}_{way.mode}{kind}_{facts['videos']}videos_seed{facts['seed']}"
    return make_cell(config, overrides | own, facts, workdir / file_name(name))
