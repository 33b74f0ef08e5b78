"""Which cells of a grid are done: results are there, of this configuration and this encoder."""

import json
import logging
from collections.abc import Sequence

from down_stream.cells.cell import Cell
from down_stream.cells.opening import Encoders
from msn.formats.hub import encoder_path
from msn.workdir.run_directory import check_unchanged, plain

RESULTS = "results.json"
WITHOUT = "without_score.json"  # of a cell whose few labels are all of one class


def finished(cells: Sequence[Cell], encoders: Encoders) -> list[dict | None]:
    """The results of each cell; None where it is to be run.

    Raises:
      InputError: the directory of a cell has results of another configuration.
    """
    found = [results_of(cell) for cell in cells]  # all of them, before an encoder is opened
    return [
        unless_trained_anew(cell, results, encoders)
        for cell, results in zip(cells, found, strict=True)
    ]


def results_of(cell: Cell) -> dict | None:
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


def unless_trained_anew(cell: Cell, results: dict | None, encoders: Encoders) -> dict | None:
    """The results of a cell; None where the encoder that it has now is not that of then.

    Results without a fingerprint are of an earlier version, and count.
    """
    if not results or "encoder_fingerprint" not in results:
        return results
    path = cell.config.encoder or cell.config.model.like
    if not path or not encoder_path(path).exists():  # removed since
        return results
    if encoders.fingerprint(cell.config) == results["encoder_fingerprint"]:
        return results
    logging.warning("%s: %s has changed since; run again", cell.name, path)
    return None


def without_score(cell: Cell) -> dict | None:
    """What another process noted of a cell that it could not score, None where it did not."""
    try:
        noted = json.loads((cell.directory / WITHOUT).read_text(encoding="utf-8"))
        return noted if noted["config"] == plain(cell.config) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
