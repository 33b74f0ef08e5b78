"""What a run directory has for a tracker: configuration, curves, scores and files."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from data.common.configurations import flatten
from data.common.errors import InputError
from data.storage.paths import AnyPath
from msn.workdir.metrics_file import lines_after

CONFIG_FILE = "config.json"  # as msn.workdir.run_directory names it, whose import takes seconds
METRICS, RESULTS, COMPARISON, LOW_SHOT = (
    *("metrics.jsonl", "results.json"),
    *("comparison.json", "low_shot.json"),
)
# Pictures, pages and tables of scores, whatever made them; tables of predictions stay at home.
FILES = ("*.png", "*.html", CONFIG_FILE, RESULTS, COMPARISON, "comparison.csv", "low_shot.*")
SUBSETS = "label_subsets.json"  # beside the cells of a low-shot grid
ENCODERS = ("encoder", "model")
PROJECT = "endoscopy-msn"  # in the tracker, unless its own variables name one
PASSED_OVER = "saved_model"  # the same weights again, which load_encoder does not read


@dataclass
class Contents:
    """What is to be sent of a run directory.

    Attributes:
      kind: "pre-training", "experiment" or "comparison".
      config: the configuration, flat: dotted keys.
      rows: (step, {name: value}) of the curves, in the order of their steps, which are from 1.
      scores: {name: value} of what was measured at the end.
      files: {name in the tracker: file}.
      encoder: the same for the files of the encoder, or of the model with its encoder.
    """

    kind: str
    config: dict
    rows: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    files: dict[str, AnyPath] = field(default_factory=dict)
    encoder: dict[str, AnyPath] = field(default_factory=dict)


def read_contents(folder: AnyPath, step: int = 0, with_files: bool = True) -> Contents:
    """What a run directory has.

    Args:
      folder: of pre-training, an experiment, a low-shot grid or a comparison.
      step: rows up to it are left out.
      with_files: whether files are listed, which are whole when a run is.

    Raises:
      InputError: it is no run directory, or a damaged one.
    """
    check_begun(folder)
    readers = {
        COMPARISON: _of_comparison,
        LOW_SHOT: _of_low_shot,
        RESULTS: _of_experiment,
        METRICS: _of_pretraining,
    }
    name = next(name for name in readers if (folder / name).is_file())
    try:
        contents = readers[name](folder, step)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder / name}: damaged; expected what the run wrote") from error
    if with_files:
        contents.files = {p.name: p for pattern in FILES for p in sorted(folder.glob(pattern))}
        for place in ENCODERS:
            contents.encoder |= _files_below(folder / place, place)
    return contents


def is_begun(folder: AnyPath) -> bool:
    """Whether a run has something to send."""
    return any((folder / name).is_file() for name in (METRICS, RESULTS, COMPARISON, LOW_SHOT))


def is_complete(folder: AnyPath) -> bool:
    """Whether a run that is begun has ended: pre-training writes its encoder last."""
    is_pretraining = not any((folder / name).is_file() for name in (RESULTS, COMPARISON, LOW_SHOT))
    return not is_pretraining or (folder / "encoder").is_dir()


def check_begun(folder: AnyPath) -> None:
    """Raises `InputError` where a folder holds no run."""
    if not is_begun(folder):
        raise InputError(
            f"{folder}: not a run; expected the workdir of pre-training, an experiment or a "
            "comparison"
        )


def title_of(folder: AnyPath) -> tuple[str, str]:
    """A name for a run directory, and what it belongs to: a grid, folds, a sweep; "" for nothing.

    >>> title_of(Path("/runs/comparison/cells/msn_probe"))
    ('comparison/msn_probe', 'comparison')
    """
    above = None
    if folder.parent.name == "cells":
        above = folder.parent.parent
    else:
        is_of_sweep = "=" in folder.name  # as it calls its cells
        is_fold = re.fullmatch(r"fold\d+", folder.name)
        if is_of_sweep or is_fold or (folder.parent / SUBSETS).is_file():
            above = folder.parent
    return (f"{above.name}/{folder.name}", above.name) if above else (folder.name, "")


def _files_below(folder: AnyPath, name: str) -> dict[str, AnyPath]:
    """{name: file} of all in a folder and those in it, but for copies of the weights."""
    files = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_dir() and path.name != PASSED_OVER:
            files |= _files_below(path, f"{name}/{path.name}")
        elif path.is_file():
            files[f"{name}/{path.name}"] = path
    return files


def _of_pretraining(folder: AnyPath, step: int) -> Contents:
    rows = lines_after(step, (folder / METRICS).read_bytes())
    config = json.loads((folder / CONFIG_FILE).read_text())
    return Contents("pre-training", flatten(config), [(r.pop("step"), r) for r in rows])


def _of_experiment(folder: AnyPath, step: int) -> Contents:
    results = json.loads((folder / RESULTS).read_text())
    history = results.get("history") or {}
    epochs = zip(*history.values(), strict=True)
    rows = [
        (epoch, dict(zip(history, values, strict=True))) for epoch, values in enumerate(epochs, 1)
    ]
    scores = _scores("test", results["metrics"])
    for name, found in results.get("temporal", {}).items():
        scores |= _scores(name, found["metrics"])
    return Contents(
        "experiment", flatten(results["config"]), [row for row in rows if row[0] > step], scores
    )


def _of_comparison(folder: AnyPath, step: int) -> Contents:
    summary = json.loads((folder / COMPARISON).read_text())
    scores = {
        f"{row['way']}/{row['kind']}/{row['videos']}/{row['encoder']}": row["score"]
        for row in summary["rows"]
    }
    config = {key: summary[key] for key in ("task", "baseline", "score", "labelled")}
    return Contents("comparison", config, scores=_numbers(scores))


def _of_low_shot(folder: AnyPath, step: int) -> Contents:
    summary = json.loads((folder / LOW_SHOT).read_text())
    config = {key: value for key, value in summary.items() if isinstance(value, str | int)}
    return Contents("comparison", config)


def _scores(name: str, metrics: Mapping) -> dict[str, float]:
    """{"name/protocol/score": number} of the videos together, not of single ones."""
    return {
        f"{name}/{protocol}/{score}": value
        for protocol, values in metrics.items()
        for score, value in _numbers(values).items()
    }


def _numbers(values: Mapping) -> dict[str, float]:
    """Those values that are finite numbers."""
    return {
        key: float(value)
        for key, value in values.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
