"""The rows of a comparison: scores over seeds, with intervals and differences to the baseline."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.common.errors import InputError
from data.storage.whole import write_csv
from down_stream.cells.cell import Cell
from down_stream.cells.finished import FAILED
from down_stream.metrics import draws, multi_label, predictions
from down_stream.tasks import Task

# Title of each way to put an encoder to use, as they stand on the page.
WAYS = {
    "knn": "k nearest neighbours",
    "logistic": "Logistic regression",
    "probe": "Linear probe",
    "frozen": "Temporal model on frozen features",
    "finetune": "Fine-tuning",
    "finetuned": "Temporal model after fine-tuning",
}
COLUMNS = (
    *("way", "kind", "videos", "encoder", "seeds", "score", "interval", "std"),
    *("difference", "difference_interval", "baseline_kind", "why", "cells"),
)


def compare(
    cells: Sequence[Cell], results: Sequence[dict], baseline: str, task: Task
) -> list[dict]:
    """A row for each encoder, way to use it, kind of features and number of labelled videos.

    Args:
      cells, results: of a comparison, all of them done.
      baseline: the encoder that the others are compared with, where it is used in the same way.
      task: whose score it is.

    Returns:
      {"way": of WAYS; "kind" of features; "videos", how many are labelled; "encoder"; "seeds", how
      many; "score", the mean over the seeds; "interval", of 95 %, bootstrap over the test videos of
      that mean, or over their patients where these are known; "std", over the seeds, None of one;
      "difference" to the baseline's score and "difference_interval", on the same draws of the test
      videos, None for the baseline; "baseline_kind", the features that the baseline has in it,
      which are others where it has none of this kind; "why", where there is no interval of it;
      "cells", their names}, NaN where undefined.
    """
    grouped, patients = {}, patients_in(results)
    for cell, found in zip(cells, results, strict=True):
        for way, file in _tables_of(cell):
            key = way, cell.facts["kind"], cell.facts["videos"]
            grouped.setdefault(key, {}).setdefault(cell.facts["encoder"], []).append(
                (cell, found, file)
            )
    order = {way: place for place, way in enumerate(WAYS)}
    rows = []
    for key in sorted(grouped, key=lambda key: (order[key[0]], -key[2])):
        by_encoder = {name: _read(ones, task) for name, ones in grouped[key].items()}
        kind, theirs = key[1], by_encoder.get(baseline)
        if theirs is None:
            kind, theirs = _other_kind(grouped, key, baseline, task)
        for name, tables in by_encoder.items():
            facts = dict(zip(("way", "kind", "videos"), key, strict=True)) | {"encoder": name}
            names = [cell.name for cell, _, _ in grouped[key][name]]
            row = facts | {"seeds": len(tables)} | _scored(names, tables, task, patients)
            row |= _difference(name, tables, baseline, theirs, task, patients)
            row |= {"baseline_kind": None if row["difference"] is None else kind}
            reasons = [found[FAILED] for _, found, _ in grouped[key][name] if FAILED in found]
            if name != baseline and not tables and reasons:
                row["why"] = f"no score: {reasons[0]}"
            rows.append(row | {"cells": names})
    return rows


def patients_in(results: Sequence[dict]) -> dict:
    """{test video: number of its patient} of all that are known."""
    known = [found.get("patients", {}).get("test", {}) for found in results]
    return {video: number for one in known for video, number in one.items()}


def _tables_of(cell: Cell):
    """Yields (way, file of predictions) of each model of a cell."""
    mode, temporal = cell.facts["mode"], cell.facts["temporal"]
    yield mode, cell.directory / "predictions.csv"
    if temporal:
        after = "finetuned" if mode == "finetune" else "frozen"
        yield after, cell.directory / f"predictions_{temporal}.csv"


def _other_kind(grouped, key, baseline: str, task: Task) -> tuple[str | None, list]:
    """(kind, tables) of the baseline with what features it has, where it has not this kind."""
    for (way, kind, videos), by_encoder in grouped.items():
        if (way, videos) == (key[0], key[2]) and baseline in by_encoder:
            return kind, _read(by_encoder[baseline], task)
    return None, []


def _read(ones, task: Task) -> list:
    """The predictions of cells that have some."""
    read = multi_label if task.multi_label else predictions
    return [read.read_predictions(file) for _, found, file in ones if "videos" in found]


def _scored(names: list[str], tables: list, task: Task, patients: dict) -> dict:
    if not tables:  # too few labels
        return {"score": np.nan, "interval": [np.nan, np.nan], "std": None}
    each = [draws.mean_score(*task.chosen_by, [table])[0] for table in tables]
    try:
        score, interval = draws.mean_score(*task.chosen_by, tables, patients=patients)
    except InputError as error:
        raise InputError(
            f"cells {' and '.join(names)}: {error}; expected the same; remove the folder of the "
            "one that is out of date, and start again"
        ) from error
    std = float(np.std(each, ddof=1)) if len(each) > 1 else None
    return {"score": score, "interval": interval, "std": std}


def _difference(
    name: str, tables: list, baseline: str, theirs: list, task: Task, patients: dict
) -> dict:
    nothing = {"difference": None, "difference_interval": None, "why": None}
    if name == baseline:
        return nothing
    if not tables or not theirs:
        why = f"{baseline} has no score in this way" if tables else "no score"
        return nothing | {"why": why}
    try:
        difference, interval = draws.paired_difference(
            *task.chosen_by, tables, theirs, patients=patients
        )
    except InputError as error:
        return nothing | {"why": str(error)}
    return {"difference": difference, "difference_interval": interval, "why": None}


def write_rows(path: Path, rows: Sequence[dict]) -> None:
    """Writes comparison.csv: a line for each row."""
    lines = [COLUMNS]
    for row in rows:
        lists = {name: row[name] for name in ("interval", "difference_interval", "cells")}
        texts = {name: " ".join(map(str, value or ())) for name, value in lists.items()}
        lines.append([(row | texts)[name] for name in COLUMNS])
    write_csv(path, lines, line_end="\r\n")
