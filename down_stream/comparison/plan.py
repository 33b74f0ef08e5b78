"""The plan of a comparison: which experiments it consists of, and which there cannot be."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ml_collections import ConfigDict

from data.common.errors import InputError, check_range
from data.storage.paths import file_name
from down_stream.cells.cell import Cell, make_cell
from down_stream.cells.opening import Encoders, open_all
from down_stream.choices import ATTENTIVE
from down_stream.comparison.checks import USUAL, keys_of
from down_stream.low_shot import plan as low_shot
from down_stream.low_shot.subsets import label_fraction
from msn.formats.files.feature_table import FeatureTable

OWN = "own"  # the features of a table, of which there is one kind
# Of these the temporal model after frozen features is trained once: it does not see the classifier.
BEFORE_TEMPORAL = ("probe", "logistic", "knn")


@dataclass(frozen=True)
class Labelled:
    """The labelled videos that cells of one seed have.

    Attributes:
      number: how many; with folds, in each of them.
      seed: in words.
      folder: what the folders of the cells are called by.
      overrides: {key: value} of the cells.
      are_fixed: whether every seed has the same.
    """

    number: int
    seed: str
    folder: str
    overrides: dict
    are_fixed: bool


@dataclass(frozen=True)
class Skipped:
    """Experiments that there cannot be, and why."""

    encoder: str
    what: str
    why: str


def plan_labels(
    config: ConfigDict, workdir: Path, in_folds: Sequence[int] = ()
) -> tuple[dict, list[Labelled]]:
    """The manifest of labelled videos (`label_subsets.json`), and those that cells have.

    Args:
      config: of the comparison.
      workdir: has the manifest of an earlier start.
      in_folds: with folds, how many videos there are to train on in each of them, of all seeds;
        then each fold draws its own labelled videos, and a share is one of the smallest fold.

    Raises:
      InputError: a number of videos is out of range, or `workdir` has a manifest of other videos.
    """
    if in_folds:
        return _labels_of_folds(config, workdir, in_folds)
    manifest = low_shot.plan_subsets(config, workdir)
    return manifest, [
        Labelled(
            int(number),
            seed,
            f"{number}videos",
            {"train_videos": tuple(names)},
            len(names) == len(manifest["videos"]),
        )
        for number, by_seed in manifest["subsets"].items()
        for seed, names in by_seed.items()
    ]


def _labels_of_folds(
    config: ConfigDict, workdir: Path, in_folds: Sequence[int]
) -> tuple[dict, list[Labelled]]:
    least, usual = min(in_folds), round(sum(in_folds) / len(in_folds))
    for number in config.numbers:
        check_range("a number of training videos of a fold", number, 1, least)
    smallest = [str(place) for place in range(least)]
    numbers = {len(label_fraction(smallest, share)) for share in config.fractions if share != 1}
    numbers |= set(config.numbers)
    every = config.copy_and_resolve_references()
    every.fractions, every.numbers = (1.0,), ()
    manifest = low_shot.plan_subsets(every, workdir)
    train = {"train_videos": tuple(manifest["videos"])}
    seeds = next(iter(manifest["subsets"].values()))
    labels = [
        Labelled(number, seed, f"{number}in_a_fold", train | {"fold_videos": number}, False)
        for number in sorted(numbers - {usual})
        for seed in seeds
    ]
    if 1 in config.fractions or usual in numbers:  # two rows of one number would be one
        name = f"{len(manifest['videos'])}videos"  # as earlier versions called them
        labels += [Labelled(usual, seed, name, train, False) for seed in seeds]
    return manifest, labels


def plan_cells(
    config: ConfigDict,
    workdir: Path,
    labels: Sequence[Labelled],
    encoders: Encoders,
    has_time: bool,
) -> tuple[list[Cell], list[Skipped]]:
    """Every experiment, those with few labels first; and what there cannot be.

    Of a frozen encoder that is the same for every seed, what does not depend on the seed is done
    for the first seed alone.

    Args:
      config: of the comparison.
      workdir: receives the directories of the cells.
      labels: of which there are cells, as `plan_labels` returns them.
      encoders: opens them.
      has_time: whether the task's frames are in an order of time that temporal models learn.

    Raises:
      InputError: with all that is wrong with any of the encoders; or there is nothing to run.
    """
    seeds = list(dict.fromkeys(labelled.seed for labelled in labels))
    bare = [
        make_cell(config, low_shot.of_encoder(config, entry, seed), {"encoder": entry[0]}, workdir)
        for seed in seeds
        for entry in config.encoders
    ]
    open_all(bare, encoders)
    cells, skipped = [], {}
    temporal = config.temporal if has_time else ""
    for labelled in labels:
        for entry in config.encoders:
            facts = {"encoder": entry[0], "videos": labelled.number, "seed": int(labelled.seed)}
            overrides = low_shot.of_encoder(config, entry, labelled.seed) | labelled.overrides
            is_fixed = bool(entry[1]) and "{seed}" not in entry[1] and labelled.are_fixed
            experiment = make_cell(config, overrides, facts, workdir)
            for one, reason in _ways(config, encoders, experiment, temporal):
                if reason:
                    skipped[entry[0], one.words] = Skipped(entry[0], one.words, reason)
                elif not (is_fixed and one.is_certain and labelled.seed != seeds[0]):
                    cells.append(_cell(config, workdir, one, facts, overrides, labelled.folder))
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


def _cell(config, workdir: Path, way: _Way, facts: dict, overrides: dict, labels: str) -> Cell:
    own = keys_of(config, way.mode, way.temporal, way.features)
    facts = facts | {"mode": way.mode, "kind": way.kind, "temporal": way.temporal}
    kind = "" if way.kind in (USUAL, OWN) else f"_{way.kind}"
    name = f"{facts['encoder']}_{way.mode}{kind}_{labels}_seed{facts['seed']}"
    return make_cell(config, overrides | own, facts, workdir / file_name(name))
