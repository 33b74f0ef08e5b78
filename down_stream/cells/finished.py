"""What is done: results are there, of this configuration, this encoder, these labels."""

import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from data.common.errors import InputError
from data.common.logs import logger
from data.splits.parts import PARTS
from data.storage.folders import remove_folder
from data.storage.paths import AnyPath
from down_stream.cells.cell import Cell
from down_stream.cells.labels import Labels
from down_stream.cells.opening import Encoders
from down_stream.choices import RESULTS
from down_stream.report.wording import percent
from msn.formats.hub import encoder_path
from msn.workdir.run_directory import (
    CHANGEABLE,
    CHECKPOINTS,
    changed_keys,
    check_unchanged,
    plain,
)

WITHOUT = "without_score.json"  # of a cell whose few labels are all of one class, or that failed
FAILED = "failed"  # in it: why
_SPLIT = tuple(f"{part}_videos" for part in PARTS)


def finished(cells: Sequence[Cell], encoders: Encoders) -> list[dict | None]:
    """The results of each cell; None where it is to be run.

    Raises:
      InputError: directories of cells have results of another configuration; with all of them.
    """
    found, others = [], {}  # all of them, before an encoder is opened
    for cell in cells:
        try:
            found.append(results_of(cell))
        except InputError as error:
            others[str(cell.directory)] = error
    if others:
        raise InputError(
            f"{next(iter(others.values()))}; or remove the folders of the {len(others)} of "
            f"{len(cells)} cells that are of another one, which are run again then: rm -r "
            f"{shlex.join(others)}"
        )
    labels = Labels()
    return [
        unless_changed(cell, results, encoders, labels)
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


def unless_changed(
    cell: Cell, results: dict | None, encoders: Encoders, labels: Labels
) -> dict | None:
    """The results of a cell; None where its encoder now, or its labels, are not those of then.

    Results without a fingerprint are of an earlier version, and count.
    """
    if not results or not _has_same_encoder(cell, results, encoders):
        return None
    before = results.get("labels_fingerprint")
    if before is None or before == labels.fingerprint(cell.config):
        return results
    logger.warning("%s: the labels, or the frames, have changed since; run again", cell.name)
    return None


def _has_same_encoder(cell: Cell, results: dict, encoders: Encoders) -> bool:
    path = cell.config.encoder or cell.config.model.like
    if "encoder_fingerprint" not in results or not path or not encoder_path(path).exists():
        return True  # nothing to tell by: of an earlier version, random, or removed since
    if encoders.fingerprint(cell.config) == results["encoder_fingerprint"]:
        return True
    logger.warning("%s: %s has changed since; run again", cell.name, path)
    return False


def without_score(cell: Cell, labels: Labels) -> dict | None:
    """What another process noted of a cell that it could not score, None where it did not."""
    try:
        noted = json.loads((cell.directory / WITHOUT).read_text(encoding="utf-8"))
        before = noted["config"], noted["labels_fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return noted if before == (plain(cell.config), labels.fingerprint(cell.config)) else None


def finished_results(
    workdir: AnyPath, config: ConfigDict, facts: dict, contents: Callable[[], str]
) -> dict | None:
    """The results in `workdir`, if they are of this configuration, encoder, labels and images.

    Args:
      workdir: of the experiment.
      config: its configuration.
      facts: the fingerprints of now, those of images by sizes and times of change.
      contents: gives that of what the images hold, which a copy with other times has, too; it is
        asked for where the times alone are others.
    """
    if (workdir / CHECKPOINTS).exists():  # training has begun again since
        return None
    try:
        results = json.loads((workdir / RESULTS).read_text())
        changes = changed_keys(results["config"], plain(config))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or damaged
        return None
    if results.get("labels_fingerprint") == facts["labels_fingerprint"]:
        # Whichever names say so, the frames of each part are those of then.
        changes = {key: text for key, text in changes.items() if key not in _SPLIT}
    if others := [text for key, text in changes.items() if key not in CHANGEABLE]:
        logger.warning(
            "%s is finished, but of another configuration (%s): trained again, and replaced; to "
            "keep it, stop this (Ctrl-C) and use another --config.workdir",
            *(workdir, ", ".join(others)),
        )
        return None
    noted = {"images_fingerprint": facts["images_fingerprint"]} | results  # since it is noted
    others = [name for name, value in facts.items() if noted.get(name) != value]
    if others == ["images_fingerprint"] and "contents_fingerprint" in results:
        logger.info("%s: times of change of images are others; what they hold is compared", workdir)
        others = [] if results["contents_fingerprint"] == contents() else others
    if others == ["images_fingerprint"]:
        logger.warning(
            "%s is finished, but sizes or times of change of images differ since: trained again",
            workdir,
        )
    if others:
        return None
    protocol, score = results["chosen_by"]
    logger.warning(
        "%s is finished, with this configuration, encoder, labels and images: %s %s %s. Nothing is "
        "trained; to train again, use another --config.workdir, or remove this one",
        *(workdir, protocol, score, percent(results["metrics"][protocol][score])),
    )
    return results


def forget(folder: Path) -> None:
    """Removes what an earlier experiment has left in a folder, its results.json first."""
    (folder / RESULTS).unlink(missing_ok=True)
    for path in (folder / "history.png", *folder.glob("predictions_*.csv")):
        path.unlink(missing_ok=True)
    remove_folder(folder / "model")
