"""Few labels: the same experiment for several encoders and numbers of labelled training videos.

Answers how much annotation pre-training saves (Hirsch et al., arXiv 2308.12394, section 4).
"""

import itertools
import json
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from data.storage.locking import locked
from data.storage.paths import check_local, check_output_folder
from data.storage.whole import whole_file
from down_stream.features.cache import fingerprint
from down_stream.features.encoders import open_encoder
from down_stream.features.labelled_splits import NothingToLearnError
from down_stream.low_shot.plan import MANIFEST, Cell, check, plan_cells, plan_subsets
from down_stream.low_shot.savings import savings, sentences
from down_stream.low_shot.subsets import write_subsets
from down_stream.low_shot.table import seeds_of, tabulate, write_cells
from down_stream.report.alike import what_differs
from down_stream.report.figures import save_png
from down_stream.report.low_shot_curve import low_shot_curve
from down_stream.report.wording import duration
from msn.encoders import facts_in
from msn.formats.hub import encoder_path
from msn.workdir.run_directory import check_unchanged, plain

RESULTS = "results.json"


def run_grid(
    config: ConfigDict,
    workdir: str | Path,
    *,
    run: Callable[[ConfigDict, Path], dict],
    score: tuple[str, str] = ("video", "f1"),
    unit: str = "video",
) -> dict:
    """Runs an experiment per encoder, number of labelled videos and seed; the next call goes on.

    Every cell is an experiment of its own, `workdir/<encoder>_<n>videos_seed<k>/`: seed k draws the
    videos (`workdir/label_subsets.json`), and is the seed of the experiment. A cell whose
    results.json is there is not run again, unless the encoder at its path is another one.

    Args:
      config: see configs/phase_low_shot.py, which explains every key.
      workdir: receives the cells, low_shot.json, low_shot.csv and low_shot.png.
      run: the experiment, `down_stream.experiment.run`; writes results.json when it is done.
      score: protocol and name of what is compared, in the "metrics" of its results.
      unit: what is labelled, "video" or "sequence".

    Returns:
      What low_shot.json holds: "score"; "counted", the plural of `unit`; "videos", how many of
      them there are to train on; "cells", one
      {"encoder", "videos", "seed", "score", "directory", "warnings"} each; "table", {encoder:
      {number of videos: {"mean", "std" (sample deviation over seeds, None of one), "scores"}}};
      "saved", for every other encoder than the baseline what `savings` returns; "warnings", how the
      networks of the encoders differ from the baseline's. Scores are None where undefined.

    Raises:
      InputError: the configuration or the data cannot work, or `workdir` holds cells of another
        configuration; nothing is changed then.
    """
    check(config)
    check_local("workdir", workdir)
    check_output_folder("workdir", workdir)
    with locked(Path(workdir)):
        return _run_grid(config, Path(workdir), run, score, unit)


def _run_grid(
    config: ConfigDict, workdir: Path, run: Callable, score: tuple[str, str], unit: str
) -> dict:
    manifest = plan_subsets(config, workdir)
    cells = list(plan_cells(config, workdir, manifest))
    finished = [_results_of(cell) for cell in cells]
    finished = list(map(_unless_trained_anew, cells, finished, itertools.repeat({})))
    write_subsets(workdir / MANIFEST, manifest)

    protocol, name = score
    rows, seconds, left, firsts, lasts = [], [], finished.count(None), {}, {}
    for number, (cell, results) in enumerate(zip(cells, finished, strict=True), 1):
        is_new = results is None
        if is_new:
            started = time.monotonic()
            results = _run(run, cell, protocol, name)
            seconds.append(time.monotonic() - started)
            left -= 1
        firsts.setdefault(cell.encoder, results)  # all of the same seed and the same labels
        lasts[cell.encoder] = results  # with the most labels
        value = results["metrics"][protocol][name]
        rows.append(
            {
                "encoder": cell.encoder,
                "videos": cell.videos,
                "seed": cell.seed,
                "score": value,
                "directory": cell.directory.name,
                "warnings": results["warnings"],
            }
        )
        if is_new:
            shown = "undefined" if value is None else f"{value:.3f}"
            logging.info(
                "%d of %d: %s, %d %ss, seed %d: %s %s in %.0f s; %s left",
                *(number, len(cells), cell.encoder, cell.videos, unit, cell.seed, name, shown),
                *(seconds[-1], duration(left * float(np.mean(seconds)))),
            )

    table = tabulate(rows)
    summary = {
        "score": f"{protocol} {name}",
        "counted": f"{unit}s",
        "videos": len(manifest["videos"]),
        "baseline": config.baseline,
        "table": table,
        "saved": {
            encoder: savings(by_number, table[config.baseline])
            for encoder, by_number in table.items()
            if encoder != config.baseline
        },
        "cells": rows,
        "warnings": [
            f"{encoder} differs from {config.baseline} in {', '.join(texts)}"
            for encoder, results in firsts.items()
            if (texts := what_differs(results, firsts[config.baseline]))
        ]
        + _torn_patients(lasts.values()),
    }
    _write_json(workdir / "low_shot.json", summary)
    write_cells(workdir / "low_shot.csv", rows)
    save_png(
        low_shot_curve(summary, seeds_of(summary), sentences(summary)), workdir / "low_shot.png"
    )
    return summary


def _run(run, cell: Cell, protocol: str, name: str) -> dict:
    """The results of a cell; without a score where its few labels are all of one class."""
    try:
        return run(cell.config, cell.directory)
    except NothingToLearnError as error:
        logging.warning("%s: %s", cell.directory.name, error)
        return {"metrics": {protocol: {name: None}}, "warnings": [str(error)]}


def _torn_patients(cells: Iterable[dict]) -> list[str]:
    """Patients in two parts of the split, a line once."""
    lines = (results.get("patients", {}).get("in_two_parts", ()) for results in cells)
    return list(dict.fromkeys(itertools.chain.from_iterable(lines)))


def _results_of(cell: Cell) -> dict | None:
    """The results of a cell, None where it has to be run.

    Raises:
      InputError: they are of another configuration.
    """
    path = cell.directory / RESULTS
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        before = dict(results["config"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # missing, or cut off
    check_unchanged(f"{path}: is", before, plain(cell.config))
    return results


def _unless_trained_anew(cell: Cell, results: dict | None, known: dict) -> dict | None:
    """The results of a cell; None where the encoder at its path is not that of then.

    Args:
      cell, results: of the grid; results without a fingerprint are of an earlier version.
      known: fingerprints by path, which is added to.
    """
    path = cell.config.encoder
    if not path or not results or "encoder_fingerprint" not in results:
        return results
    if not encoder_path(path).exists():  # removed since
        return results
    if path not in known:
        known[path] = fingerprint(
            open_encoder(
                encoder_path(path),
                cell.config.model.variant,
                image_size=cell.config.model.image_size,
                resnet_weights=cell.config.resnet_weights,
                seed=cell.config.seed,
                given=facts_in(cell.config, "encoder"),
            )
        )
    if known[path] == results["encoder_fingerprint"]:
        return results
    logging.warning("%s: %s has changed since; run again", cell.directory.name, path)
    return None


def _write_json(path: Path, content: dict) -> None:
    with whole_file(path, durable=True) as side:
        side.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
