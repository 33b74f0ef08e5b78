"""Encoders side by side under one protocol: every one of them put to use in every way, and a page.

What is compared is the score of the task on the same test videos, with intervals over them, and
the difference of each encoder to a baseline on the same draws of the videos.
"""

import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from data.common.errors import InputError, LockedError, some
from data.common.logs import logger
from data.storage.locking import locked, owner_of
from data.storage.paths import local_folder
from data.storage.whole import write_json
from down_stream.cells.cell import Cell, command
from down_stream.cells.finished import finished
from down_stream.cells.opening import Encoders
from down_stream.cells.running import failures, run_cells
from down_stream.comparison.checks import USUAL, check
from down_stream.comparison.cost import measure_costs
from down_stream.comparison.page import mark_old, write_page
from down_stream.comparison.plan import OWN, plan_cells, plan_labels
from down_stream.comparison.scores import compare, patients_in, write_rows
from down_stream.low_shot.plan import MANIFEST
from down_stream.metrics import statistics
from down_stream.report.alike import what_differs
from down_stream.tasks import Task
from msn.sweep import Shard
from msn.tracking.sending import send_finished
from msn.workdir.seen import seen_in_json

CELLS = "cells"
SUMMARY, PAGE = "comparison.json", "comparison.html"


def run_comparison(
    config: ConfigDict,
    workdir: str | Path,
    *,
    run: Callable[[ConfigDict, Path], dict],
    task: Task,
    start: Sequence[str],
    shard: Shard | None = None,
    in_folds: Sequence[int] = (),
) -> tuple[dict | None, list[str]]:
    """Runs every cell of a comparison that is not done, and writes comparison.html.

    Every cell is an experiment of its own in `workdir/cells`. One that is done is not done again,
    unless the encoder at its path is another one; a comparison that was stopped goes on.

    Args:
      config: see configs/encoder_comparison.py, which explains every key.
      workdir: receives the cells, comparison.json, comparison.csv and comparison.html.
      run: the experiment, `down_stream.experiment.run` or, with folds, `cross_validate`.
      task: what is learnt.
      start: the command of the comparison, in words, for those of its cells.
      shard: which of several processes this is; they may run at once, on several machines that
        share `workdir`.
      in_folds: with folds, how many videos there are to train on in each, of all seeds
        (`down_stream.cross_validation.training_videos`).

    Returns:
      What comparison.json holds: "score" and "baseline"; "rows", see
      `down_stream.comparison.scores.compare`; "encoders", what each is, costs and has seen;
      "skipped"; "failed", a line for each cell that failed for a reason of its own; "cells", the
      command of each; "warnings". None where cells of other processes are not done yet. And a line
      for each cell that failed, as far as this process knows.

    Raises:
      InputError: the configuration, an encoder or the data cannot work (nothing is run then), or
        `workdir` holds cells of another configuration.
    """
    check(config)
    workdir, shard = local_folder("workdir", workdir), shard or Shard()
    note = "lock" if shard.count == 1 else f"lock.{shard.number}of{shard.count}"
    with locked(workdir, note):
        return _run(config, workdir, run, task, start, shard, in_folds)


def _run(config, workdir: Path, run, task: Task, start, shard: Shard, in_folds) -> tuple:
    manifest, labels = plan_labels(config, workdir, in_folds)
    encoders = Encoders(kind for kind in config.feature_kinds if kind != USUAL)
    cells, skipped = plan_cells(config, workdir / CELLS, labels, encoders, task.is_video)
    for one in skipped:
        logger.info("not compared: %s, %s: %s", one.encoder, one.what, one.why)
    found = finished(cells, encoders)
    write_json(workdir / MANIFEST, manifest, writer=uuid.uuid4().hex)

    for who in _others(workdir, shard):
        logger.warning("%s is still running; the cells that it has begun are left to it", who)
    if missing := found.count(None):
        mark_old(workdir / PAGE, f"{missing} of {len(cells)} cells are missing or run again")
    results = run_cells(cells, found, run, task.chosen_by, encoders, shard)
    failed = failures(cells, results)
    if left := results.count(None):
        logger.info("%d of %d cells are left to other processes", left, len(cells))
        return None, failed
    if len(failed) == len(cells):
        raise InputError(f"none of {len(cells)} cells could be run: {some(failed, '; ')}")
    try:
        with locked(workdir, "page.lock"):
            summary = _write(config, workdir, task, start, encoders, cells, results, skipped)
            send_finished(workdir, config.track)
            return summary, failed
    except LockedError:
        if shard.count == 1:
            raise
        logger.info("another process, which found all cells done, too, writes the page")
        return None, failed


def _others(workdir: Path, shard: Shard) -> list[str]:
    """Which shards of others are running in a folder, in words."""
    found = []
    for note in sorted(workdir.glob("lock.*of*")):
        number, _, count = note.name.removeprefix("lock.").partition("of")
        if (number, count) != (str(shard.number), str(shard.count)) and (who := owner_of(note)):
            found.append(f"shard {number}/{count} ({who})")
    return found


def _write(config, workdir, task, start, encoders, cells, results, skipped) -> dict:
    """Compares what is there, and writes it down, comparison.json last."""
    rows = compare(cells, results, config.baseline, task)
    summary = {
        "score": list(task.chosen_by),
        "task": task.name,
        "counted": f"{task.unit}s",
        "baseline": config.baseline,
        "labelled": max(cell.facts["videos"] for cell in cells),
        "test": _test(results),
        "drawn": "patients" if patients_in(results) else f"{task.unit}s",
        "rows": rows,
        "encoders": _describe(config, encoders, cells, results),
        "skipped": [vars(one) for one in skipped],
        "failed": failures(cells, results),
        "cells": [
            {"name": cell.name, "command": command(start, cell), **cell.facts} for cell in cells
        ],
        "folds": config.folds,
        "warnings": _warnings(config.baseline, cells, results),
    }
    measure_costs(summary["encoders"], cells, encoders, workdir / "costs.json")
    summary = statistics.plain(summary)
    write_rows(workdir / "comparison.csv", rows)
    write_page(workdir / PAGE, summary)
    write_json(workdir / SUMMARY, summary, indent=2, allow_nan=False, durable=True)
    return summary


def _test(results: Sequence[dict]) -> dict:
    """How many videos and frames are tested."""
    whole = next((one for one in results if "videos" in one), None)
    if whole is None:
        return {"videos": 0, "frames": 0}
    return {"videos": len(whole["videos"]["test"]), "frames": whole["frames"]["test"]}


def _describe(config, encoders: Encoders, cells: Sequence[Cell], results) -> dict:
    """By encoder, what it is and what it has seen, as far as one can know."""
    described = {}
    for cell, found in zip(cells, results, strict=True):
        name = cell.facts["encoder"]
        if name in described or "network" not in found:
            continue
        opened = encoders.of(cell.config)
        path = cell.config.encoder
        described[name] = {
            "path": found["encoder"],
            "kind": opened.kind if path else "random initialisation",
            "network": found["network"],
            "parameters": opened.parameters,
            "features": found["features"] if cell.facts["kind"] in (USUAL, OWN) else None,
            "seen": seen_in_json(found.get("encoder_seen")).words if path else "nothing",
            "leaks": [text for text in found["warnings"] if "pre-training" in text],
        }
    return described


def _warnings(baseline: str, cells: Sequence[Cell], results: Sequence[dict]) -> list[str]:
    """What a reader must know, each once: how networks differ, and what all cells warn of."""
    firsts = {}
    for cell, found in zip(cells, results, strict=True):
        way = tuple(cell.facts[key] for key in ("mode", "kind", "videos", "seed"))
        firsts.setdefault(way, {}).setdefault(cell.facts["encoder"], found)
    texts = []
    for by_encoder in firsts.values():
        reference = by_encoder.get(baseline)
        for name, found in by_encoder.items():
            if reference and name != baseline and "network" in found and "network" in reference:
                differs = what_differs(found, reference)
                texts += [f"{name} differs from {baseline} in {text}" for text in differs]
    told = {}
    for cell, found in zip(cells, results, strict=True):
        for text in found["warnings"]:
            told.setdefault(text, []).append(cell)
    for text, where in told.items():
        names = list(dict.fromkeys(cell.facts["encoder"] for cell in where))
        everywhere = len(where) == len(cells)
        texts.append(text if everywhere else f"{', '.join(names)} ({len(where)} cells): {text}")
    return list(dict.fromkeys(texts))
