"""Runs the cells of a grid: those that are not done, one after another, or some of them each."""

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from data.common.errors import InputError
from data.storage.whole import whole_file
from down_stream.cells.cell import Cell
from down_stream.cells.finished import WITHOUT, results_of, unless_changed, without_score
from down_stream.cells.labels import Labels
from down_stream.cells.opening import Encoders
from down_stream.features.labelled_splits import NothingToLearnError
from down_stream.report.wording import duration
from msn.workdir.run_directory import plain


@dataclass(frozen=True)
class Shard:
    """Which of several processes this is, that share the cells of a grid: I of N, from 1."""

    number: int = 1
    count: int = 1

    def has(self, place: int) -> bool:
        """Whether the cell at this place of the list is one of its own."""
        return place % self.count == self.number - 1


def read_shard(text: str | None) -> Shard:
    """The shard that I/N names, all for None; raises `InputError`."""
    if text is None:
        return Shard()
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise InputError(f"--shard is {text!r}; expected I/N, as 1/4 to 4/4 for four processes")
    return Shard(int(number), int(count))


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
      score: protocol and name of what is compared, in the "metrics" of the results.
      encoders: what the cells have now.
      shard: the others' cells are left to other processes.

    Returns:
      What results.json holds, in the order of the cells; without a score where few labels are all
      of one class; None for another process' cell that is not done yet.
    """
    shard, found = shard or Shard(), list(found)
    left = [place for place, one in enumerate(found) if one is None and shard.has(place)]
    seconds, protocol, name = [], *score
    for number, place in enumerate(left, 1):
        started = time.monotonic()
        found[place] = _run(run, cells[place], protocol, name)
        seconds.append(time.monotonic() - started)
        value = found[place]["metrics"][protocol][name]
        shown = "undefined" if value is None else f"{value:.3f}"
        rest = duration((len(left) - number) * float(np.mean(seconds)))
        logging.info(
            "%d of %d: %s: %s %s in %.0f s; %s left",
            *(number, len(left), cells[place].name, name, shown, seconds[-1], rest),
        )
    labels = Labels()
    for place, one in enumerate(found):  # others may have ended meanwhile
        if one is None:
            done = unless_changed(cells[place], results_of(cells[place]), encoders, labels)
            found[place] = done or without_score(cells[place], labels)
    return found


def _run(run, cell: Cell, protocol: str, name: str) -> dict:
    """The results of a cell; without a score where its few labels are all of one class."""
    note = cell.directory / WITHOUT
    try:
        results = run(cell.config, cell.directory)
        note.unlink(missing_ok=True)
        return results
    except NothingToLearnError as error:
        logging.warning("%s: %s", cell.name, error)
        noted = {"metrics": {protocol: {name: None}}, "warnings": [str(error)]}
        cell.directory.mkdir(parents=True, exist_ok=True)
        with whole_file(note) as side:
            known = {"labels_fingerprint": Labels().fingerprint(cell.config)}
            side.write_text(json.dumps(noted | known | {"config": plain(cell.config)}) + "\n")
        return noted
