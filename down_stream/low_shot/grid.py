"""Few labels: the same experiment for several encoders and numbers of labelled training videos.

Answers how much annotation pre-training saves (Hirsch et al., arXiv 2308.12394, section 4).
"""

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

from ml_collections import ConfigDict

from data.common.errors import LockedError, some
from data.storage.locking import locked
from data.storage.paths import local_folder
from data.storage.whole import write_json
from down_stream.cells.finished import FAILED, finished
from down_stream.cells.opening import Encoders
from down_stream.cells.running import failures, run_cells
from down_stream.low_shot.checks import check_grid
from down_stream.low_shot.plan import MANIFEST, plan_cells, plan_subsets
from down_stream.low_shot.savings import savings, sentences
from down_stream.low_shot.subsets import write_subsets
from down_stream.low_shot.table import seeds_of, tabulate, write_cells
from down_stream.report.alike import what_differs
from down_stream.report.figures import save_png
from down_stream.report.plots import low_shot_curve
from msn.tracking.sending import send_finished


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
      "failed", a line for each cell that failed for a reason of its own;
      "saved", for every other encoder than the baseline what `savings` returns; "warnings", how the
      networks of the encoders differ from the baseline's. Scores are None where undefined.

    Raises:
      InputError: the configuration or the data cannot work, or `workdir` holds cells of another
        configuration; nothing is changed then.
    """
    check_grid(config)
    workdir = local_folder("workdir", workdir)
    with locked(workdir):
        return _run_grid(config, workdir, run, score, unit)


def _run_grid(
    config: ConfigDict, workdir: Path, run: Callable, score: tuple[str, str], unit: str
) -> dict:
    manifest = plan_subsets(config, workdir)
    cells = list(plan_cells(config, workdir, manifest))
    encoders = Encoders()
    found = finished(cells, encoders)
    write_subsets(workdir / MANIFEST, manifest)

    rows, firsts, lasts = [], {}, {}
    protocol, name = score
    every = run_cells(cells, found, run, score, encoders)
    if left := [cell.name for cell, one in zip(cells, every, strict=True) if one is None]:
        raise LockedError(
            f"{len(left)} cells are being run by other processes ({some(left)}); the same command, "
            "once they are done, makes the table"
        )
    for cell, results in zip(cells, every, strict=True):
        if FAILED not in results:
            firsts.setdefault(cell.facts["encoder"], results)  # all of the same seed and labels
        lasts[cell.facts["encoder"]] = results  # with the most labels
        rows.append(
            {
                **cell.facts,
                "score": results["metrics"][protocol][name],
                "directory": cell.name,
                "warnings": results["warnings"],
            }
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
        "failed": failures(cells, every),
        "warnings": [
            f"{encoder} differs from {config.baseline} in {', '.join(texts)}"
            for encoder, results in firsts.items()
            if config.baseline in firsts
            and (texts := what_differs(results, firsts[config.baseline]))
        ]
        + _torn_patients(lasts.values()),
    }
    write_json(workdir / "low_shot.json", summary, indent=2, durable=True)
    write_cells(workdir / "low_shot.csv", rows)
    save_png(
        low_shot_curve(summary, seeds_of(summary), sentences(summary)), workdir / "low_shot.png"
    )
    send_finished(workdir, config.track)
    return summary


def _torn_patients(cells: Iterable[dict]) -> list[str]:
    """Patients in two parts of the split, a line once."""
    lines = (results.get("patients", {}).get("in_two_parts", ()) for results in cells)
    return list(dict.fromkeys(itertools.chain.from_iterable(lines)))
