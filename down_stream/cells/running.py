"""Runs the cells of a grid: those that are not done, one after another, or some of them each."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from data.common.errors import InputError, LockedError, one_line
from data.common.logs import logger
from data.storage.whole import write_json
from down_stream.cells.cell import Cell
from down_stream.cells.finished import (
    FAILED,
    WITHOUT,
    results_of,
    unless_changed,
    without_score,
)
from down_stream.cells.labels import Labels
from down_stream.cells.opening import Encoders
from down_stream.features.labelled_splits import NothingToLearnError
from down_stream.report.wording import duration
from msn.sweep import Shard
from msn.workdir.run_directory import plain


def run_cells(
    cells: Sequence[Cell],
    found: Sequence[dict | None],
    run: Callable[[ConfigDict, Path], dict],
    score: tuple[str, str],
    encoders: Encoders,
    shard: Shard | None = None,
) -> list[dict | None]:
    """The results of every cell, of which those that are not done are run.

    Args:
      cells: of one grid.
      found: the results of those that are done, as `finished` returns them.
      run: the experiment, `down_stream.experiment.run`; writes results.json when it is done.
      score: protocol and name of what is compared, in the "metrics" of the results; of results with
        "chosen_by", that.
      encoders: what the cells have now.
      shard: the others' cells are left to other processes.

    Returns:
      What results.json holds, in the order of the cells; without a score where few labels are all
      of one class, and where the cell failed for a reason of its own, which is then under FAILED;
      None for a cell of another process that is not done yet, or is being run by one.
    """
    shard, found = shard or Shard(), list(found)
    left = [place for place, one in enumerate(found) if one is None and shard.has(place)]
    seconds, protocol, name = [], *score
    for number, place in enumerate(left, 1):
        started = time.monotonic()
        found[place] = _run(run, cells[place], protocol, name)
        seconds.append(time.monotonic() - started)
        if found[place] is None:
            continue
        protocol_of, name_of = found[place].get("chosen_by", score)
        value = found[place]["metrics"][protocol_of][name_of]
        shown = "undefined" if value is None else f"{value:.3f}"
        rest = duration((len(left) - number) * float(np.mean(seconds)))
        logger.info(
            "%d of %d: %s: %s %s in %.0f s; %s left",
            *(number, len(left), cells[place].name, name_of, shown, seconds[-1], rest),
        )
    labels = Labels()
    for place, one in enumerate(found):  # others may have ended meanwhile
        if one is None:
            done = unless_changed(cells[place], results_of(cells[place]), encoders, labels)
            found[place] = done or without_score(cells[place], labels)
    return found


def failures(cells: Sequence[Cell], results: Sequence[dict | None]) -> list[str]:
    """A line for each cell that failed: its name, and why."""
    pairs = zip(cells, results, strict=True)
    return [f"{cell.name}: {one[FAILED]}" for cell, one in pairs if one and FAILED in one]


def _run(run, cell: Cell, protocol: str, name: str) -> dict | None:
    """The results of a cell; without a score where it has none, None where it is run elsewhere."""
    note = cell.directory / WITHOUT
    if note.exists():
        note.unlink(missing_ok=True)  # another process may have been faster
    try:
        return run(cell.config, cell.directory)
    except LockedError as error:
        logger.warning("%s: left to another process: %s", cell.name, error)
        return None
    except NothingToLearnError as error:
        logger.warning("%s: %s", cell.name, error)
        noted = {"warnings": [str(error)]}
    except (InputError, tf.errors.ResourceExhaustedError) as error:  # of this cell alone
        reason = str(error) if isinstance(error, InputError) else one_line(error)
        logger.warning("%s failed, the others go on: %s", cell.name, reason)
        noted = {"warnings": [], FAILED: reason}
    noted |= {"metrics": {protocol: {name: None}}}
    cell.directory.mkdir(parents=True, exist_ok=True)
    known = {"labels_fingerprint": Labels().fingerprint(cell.config)}
    write_json(note, noted | known | {"config": plain(cell.config)}, indent=None)
    return noted
