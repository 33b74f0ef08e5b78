"""Cross-validation: every video is tested once, by a classifier that has seen none of its frames.

For tasks with too few videos or sequences for a split: a part of so few says little. The folds are
of whole videos or sequences (those of one patient stay together, as far as patients are known), and
have the classes in like shares. Each fold is an experiment of its own, whose validation videos, by
which epoch and regularisation are chosen, come from its training videos; the predictions of all
folds together are scored as those of one experiment are.
"""

import contextlib
import functools
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from data.common.errors import check_range
from data.common.logs import logger
from data.dataset.frame_index import FrameIndex
from data.splits.parts import PARTS
from data.splits.patients import NOBODY, Patients
from data.storage.folders import filled_folder
from data.storage.locking import locked
from data.storage.paths import AnyPath, local_folder
from data.storage.whole import write_json
from down_stream.cells.finished import forget
from down_stream.checks import check, check_folds
from down_stream.choices import RESULTS
from down_stream.classifiers.fitting import CHOSEN_ON, UNREADABLE
from down_stream.features.labelled_splits import (
    describe_patients,
    frames_to_fold,
    labels_fingerprint,
)
from down_stream.low_shot.subsets import draw_videos
from down_stream.metrics import multi_label, predictions, statistics
from down_stream.report.frames import read_frame
from down_stream.report.tasks import write_task_report
from down_stream.report.wording import duration
from down_stream.tasks import Task, labels_of
from msn.tracking.sending import send_finished
from msn.workdir.run_directory import plain

VALIDATION = 5  # an n-th of the training videos, or more where there are fewer


def cross_validate(config: ConfigDict, workdir: str | AnyPath, run: Callable) -> dict:
    """Runs an experiment for each of `config.folds` folds, and scores all predictions together.

    Args:
      config: see configs/phase_base.py, which explains every key. The folds are of the videos of
        all three parts of its split: those that no part names stay apart.
      workdir: receives fold1/, fold2/ and so on, what an experiment leaves each, and results.json,
        predictions and report.html of all.
      run: an experiment, `down_stream.experiment.run`.

    Returns:
      What results.json holds: what an experiment's does, and "folds", a list of {"test": names,
      "score", "chosen"}.

    Raises:
      InputError: as of `down_stream.experiment.run`; or fewer videos with labels than folds.
    """
    check(config)
    workdir = local_folder("workdir", workdir)
    *where, task = labels_of(config)
    index, patients = frames_to_fold(*where, task)
    splits = draw_splits(task, index, config.folds, config.seed, patients)
    if config.fold_videos:
        splits = [with_few_labels(split, config.fold_videos, config.seed) for split in splits]
    with locked(workdir):
        results = [
            _run_fold(config, workdir / f"fold{number}", split, number, run)
            for number, split in enumerate(splits, 1)
        ]
        found = _write(config, workdir, task, index, results, patients)
        send_finished(workdir, config.track)
        return found


def draw_splits(
    task: Task, index: FrameIndex, folds: int, seed: int, patients: Patients = NOBODY
) -> list[dict]:
    """For each fold {"train", "validation", "test"}: names of videos, of which each is tested once.

    Args:
      task: whose classes have like shares in all folds; of several labels a frame, the frames do.
      index: labelled frames.
      folds: how many; at least 2.
      seed: of the drawing.
      patients: whose videos must not be in two folds.
    """
    group = check_folds(task, index, folds, patients)
    splits = []
    for rest, test in _draw(task, index, group, np.arange(len(index)), folds, seed):
        left = len(np.unique(group[rest]))
        train, validation = rest, rest[:0]
        if left > 1:
            train, validation = _draw(task, index, group, rest, min(VALIDATION, left), seed)[0]
        splits.append(
            {
                part: [index.videos[video] for video in np.unique(index.video[rows])]
                for part, rows in zip(PARTS, (train, validation, test), strict=True)
            }
        )
    return splits


def with_few_labels(split: dict, number: int, seed: int) -> dict:
    """A fold of `draw_splits` of whose training videos only so many, drawn by a seed, are left.

    Raises:
      InputError: it has fewer.
    """
    check_range("fold_videos", number, 1, len(split["train"]))
    return split | {"train": list(draw_videos(split["train"], number, seed))}


def training_videos(config: ConfigDict, seeds: Iterable[int]) -> list[int]:
    """How many videos there are to train on in each of the folds that these seeds draw."""
    *where, task = labels_of(config)
    index, patients = frames_to_fold(*where, task)
    return [
        len(split["train"])
        for seed in seeds
        for split in draw_splits(task, index, config.folds, seed, patients)
    ]


def _draw(
    task: Task, index: FrameIndex, group: np.ndarray, rows: np.ndarray, folds: int, seed: int
) -> list[tuple]:
    """(rows of the other folds, rows of the fold) for each fold of some rows.

    Where stratified ones cannot be drawn, or one would be empty, they are of like sizes.
    """
    arguments = {"n_splits": folds, "shuffle": True, "random_state": seed}
    groups, drawn = group[rows], []
    if not task.multi_label:
        labels = task.labels(index)[rows]
        with warnings.catch_warnings(), contextlib.suppress(ValueError):  # too few of each class
            warnings.filterwarnings("ignore", "The least populated class")
            drawn = [*StratifiedGroupKFold(**arguments).split(rows, labels, groups)]
    if not drawn or not all(len(own) for _, own in drawn):
        drawn = GroupKFold(**arguments).split(rows, groups=groups)
    return [(rows[others], rows[own]) for others, own in drawn]


def _run_fold(config: ConfigDict, workdir: Path, split: dict, number: int, run: Callable) -> dict:
    """The results of a fold: features are cached, and fine-tuning is done once."""
    cell = config.copy_and_resolve_references()
    cell.folds = cell.fold_videos = 0
    for part, names in split.items():
        cell[f"{part}_videos"] = tuple(names)
    cell.workdir = str(workdir)
    started = time.monotonic()
    results = run(cell, workdir, is_fold=True)
    logger.info(
        "fold %d of %d: %s in %s",
        *(number, config.folds, _score(results), duration(time.monotonic() - started)),
    )
    return results


def _score(results: dict) -> str:
    protocol, name = results["chosen_by"]
    score = results["metrics"][protocol][name]
    return f"{protocol} {name} " + ("undefined" if score is None else f"{score:.3f}")


def _write(
    config: ConfigDict,
    workdir: Path,
    task: Task,
    index: FrameIndex,
    folds: Sequence[dict],
    patients: Patients,
) -> dict:
    """Scores all predictions, and writes results.json, the tables and the report."""
    models = [config.mode, *folds[0]["temporal"]]
    tables = {
        name: _joined(
            task, [workdir / f"fold{n}" / _file(place, name) for n in range(1, len(folds) + 1)]
        )
        for place, name in enumerate(models)
    }
    known = describe_patients(patients, {"test": index})
    scores = {name: task.evaluate(table, patients=known["test"]) for name, table in tables.items()}
    protocol, score = folds[0]["chosen_by"]
    results = folds[0] | {
        "name": workdir.name,
        "seconds": sum(fold["seconds"] for fold in folds),
        "seconds_to_fit": sum(fold["seconds_to_fit"] for fold in folds),
        "frames": {part: sum(fold["frames"][part] for fold in folds) for part in ("test",)},
        "videos": {"test": [name for fold in folds for name in fold["videos"]["test"]]},
        "unreadable_frames": {"test": sum(fold["unreadable_frames"]["test"] for fold in folds)},
        "history": {},
        "best_epoch": None,
        "chosen": {},
        "patients": known,
        "warnings": _warnings(folds),
        "metrics": scores.pop(config.mode),
        "temporal": {name: {"metrics": found} for name, found in scores.items()},
        "folds": [
            {
                "test": fold["videos"]["test"],
                "score": fold["metrics"][protocol][score],
                "chosen": fold["chosen"],
            }
            for fold in folds
        ],
        "labels_fingerprint": labels_fingerprint(task, {"all": index}),
        "config": plain(config),
    }
    results = statistics.plain(results)
    frames = _in_order(index, tables[config.mode])
    with filled_folder(workdir, RESULTS) as folder:
        forget(folder)
        task.write_tables(tables, folder)
        write_task_report(
            results, tables, functools.partial(read_frame, frames), folder / "report.html"
        )
        write_json(folder / RESULTS, results, indent=2, allow_nan=False, durable=True)
    return results


def _warnings(folds: Sequence[dict]) -> list[str]:
    """Those of all folds; how few videos were chosen on, and what cannot be read, last and once."""
    texts = [text for fold in folds for text in fold["warnings"]]
    few = [text.removeprefix(CHOSEN_ON) for text in texts if text.startswith(CHOSEN_ON)]
    texts = [
        text
        for text in dict.fromkeys(texts)
        if not text.startswith(CHOSEN_ON) and not text.endswith(UNREADABLE)
    ]
    if few:
        counts = sorted((int(text.split()[0]), text.partition(" ")[2]) for text in few)
        (fewest, _), (most, rest) = counts[0], counts[-1]
        span = f"{most}" if fewest == most else f"{fewest} to {most}"
        texts.append(f"in {len(few)} of {len(folds)} folds {CHOSEN_ON}{span} {rest}")
    count = sum(fold["unreadable_frames"]["test"] for fold in folds)
    return texts + [f"{count} frames {UNREADABLE}"] * (count > 0)


def _file(place: int, name: str) -> str:
    """Of an experiment's predictions by its models."""
    return f"predictions_{name}.csv" if place else "predictions.csv"


def _joined(task: Task, files: Sequence[Path]):
    """The predictions of several files as one table."""
    read = multi_label if task.multi_label else predictions
    tables = [read.read_predictions(file) for file in files]
    columns = {field.name for field in fields(tables[0])} - {"classes"}
    joined = {name: np.concatenate([getattr(table, name) for table in tables]) for name in columns}
    return type(tables[0])(**joined, classes=tables[0].classes)


def _in_order(index: FrameIndex, table) -> FrameIndex:
    """The frames that a table's rows are of."""
    names = np.asarray(index.videos)[index.video]
    rows = {key: row for row, key in enumerate(zip(names, index.second, strict=True))}
    return index.take(np.array([rows[key] for key in zip(table.video, table.second, strict=True)]))
