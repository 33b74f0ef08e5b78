"""One down-stream experiment: fit a classifier on some videos, evaluate it on others."""

import functools
import json
import logging
import time
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from data.cholec80_images import TRANSFORMATIONS
from data.common.errors import InputError, check_names, check_range
from data.dataset.frame_index import FrameIndex
from data.images.image_io import read_image
from data.storage.folders import filled_folder, remove_folder
from data.storage.paths import check_local, check_output_folder, to_path
from down_stream.classifiers import finetuning
from down_stream.classifiers.fitting import CHANGEABLE, FITS
from down_stream.classifiers.frame_model import save_frame_model
from down_stream.features.encoders import Frames, open_encoder
from down_stream.features.labelled_splits import remarks, select_splits, videos_seen
from down_stream.metrics import statistics
from down_stream.report import plots, tasks
from down_stream.report.page import write_report
from down_stream.tasks import Task, open_task
from down_stream.temporal.fitting import TEMPORAL_MODELS, fit_sequences
from down_stream.temporal.model import save_temporal
from msn.networks.resnet import RESNET
from msn.workdir.run_directory import CHECKPOINTS, check_configuration, plain

RESULTS = "results.json"


def run(config: ConfigDict, workdir: str | Path) -> dict:
    """Fits and evaluates a classifier; writes results, predictions, pictures and the model.

    Args:
      config: see configs/phase_base.py, which explains every key.
      workdir: receives results.json, predictions.csv, report.html, the pictures and model/.

    Returns:
      What results.json holds.

    Raises:
      InputError: the configuration or the data cannot work, and nothing is written then; or what
        is found out later, as a loss that is not finite: there are no results then.
      StoppedError: SIGTERM stopped fine-tuning; the same call goes on.
    """
    started = time.monotonic()
    # ---- input ---------------------------------------------------------------------------------
    check(config)
    check_output_folder("workdir", workdir)
    workdir = to_path(workdir)
    if (workdir / CHECKPOINTS).exists():  # of fine-tuning that was stopped
        check_configuration(workdir, config, CHANGEABLE)
    task = open_task(config.task, config.data.root)
    if config.temporal and not task.is_video:
        raise InputError(f"temporal={config.temporal}: {task.name} have no order in time")
    splits = select_splits(config, task)
    encoder = open_encoder(config)
    seen = videos_seen(config.encoder)
    warnings = remarks(task, splits, seen)

    # ---- fit: the best epoch on the validation videos stays ------------------------------------
    cache = None if config.mode == "finetune" else config.feature_cache
    frames = Frames(encoder, splits, config.batch_size, cache)
    fitted = FITS[config.mode](config, task, frames, workdir)
    sequences = fit_sequences(config, task, frames) if config.temporal else None
    seconds_to_fit = time.monotonic() - started

    # ---- evaluate ------------------------------------------------------------------------------
    features, test = frames("test")
    tables = {config.mode: task.table(test, fitted.probabilities(features))}
    if sequences:
        tables[config.temporal] = task.table(test, sequences.probabilities(features, test))
    warnings += remarks_on_fit(task, fitted, frames.unreadable)
    scores = {name: task.evaluate(table) for name, table in tables.items()}
    results = {
        "name": workdir.name,
        "task": task.name,
        "mode": config.mode,
        "encoder": describe_encoder(config),
        "seconds": round(time.monotonic() - started, 1),
        "seconds_to_fit": round(seconds_to_fit, 1),
        "frames": {name: len(index) for name, index in splits.items()},
        "videos": {name: list(index.videos) for name, index in splits.items()},
        "unreadable_frames": frames.unreadable,
        "history": fitted.history,
        "best_epoch": fitted.best_epoch,
        "chosen": fitted.chosen,
        "chosen_by": list(task.chosen_by),
        "warnings": warnings,
        "metrics": scores.pop(config.mode),
        "temporal": {name: {"metrics": s} | sequences.facts for name, s in scores.items()},
        "config": plain(config),
    }

    # ---- report: results.json comes last and says that all is there ----------------------------
    with filled_folder(workdir, RESULTS) as folder:
        forget(folder)
        write_report_of(task, results, tables, functools.partial(read_frame, test), folder)
        if fitted.model is not None:
            learnt = splits["train"].videos if config.mode == "finetune" else ()
            source = {"experiment": str(workdir), "mode": config.mode}
            source |= {"encoder": results["encoder"], "videos": sorted({*seen, *learnt})}
            path = save_frame_model(fitted.model, folder / "model", source)
            if sequences:
                save_temporal(sequences.model, path / "temporal")
        beside = folder / f"{RESULTS}.part"
        beside.write_text(json.dumps(statistics.plain(results), indent=2, allow_nan=False) + "\n")
        beside.replace(folder / RESULTS)
    remove_folder(workdir / CHECKPOINTS)
    return results


def check(config: ConfigDict) -> None:
    """Raises `InputError` for values that no experiment can work with."""
    for name, found, allowed in (
        ("mode", config.mode, FITS),
        ("optimizer.name", config.optimizer.name, finetuning.OPTIMIZERS),
        ("temporal", config.temporal, ("", *TEMPORAL_MODELS)),
        ("augmentation", config.augmentation, TRANSFORMATIONS),
    ):
        if found not in allowed:
            right = ", ".join(choice or "empty" for choice in allowed)
            raise InputError(f"{name} is {found!r}; expected {right}")
    check_range("seed", config.seed, 0)
    check_range("epochs", config.epochs, 1)
    check_range("batch_size", config.batch_size, 1)
    for name in ("learning_rate", "weight_decay"):
        check_range(f"optimizer.{name}", config.optimizer[name], 0)
        for value in config.probe[f"{name}s"]:
            check_range(f"probe.{name}s", value, 0)
        if not config.probe[f"{name}s"]:
            raise InputError(f"probe.{name}s is empty; expected one or more numbers")
    check_range("optimizer.warmup", config.optimizer.warmup, 0, 1)
    check_range("optimizer.layer_decay", config.optimizer.layer_decay, 0, 1)
    check_range("label_smoothing", config.label_smoothing, 0, 1)
    check_range("randaug.layers", config.randaug.layers, 0)
    check_range("randaug.magnitude", config.randaug.magnitude, 0, 10)
    for name in ("epochs", "num_stages", "num_layers", "num_maps"):
        check_range(f"tecno.{name}", config.tecno[name], 1)
    check_range("tecno.dropout", config.tecno.dropout, 0, 0.99)
    check_range("tecno.learning_rate", config.tecno.learning_rate, 0)
    check_names("data.root", config.data.root)
    check_local("feature_cache", config.feature_cache)
    if config.resnet_weights != "none" and (config.encoder or config.model.variant != RESNET):
        raise InputError(
            f"resnet_weights is {config.resnet_weights!r} without resnet50v2 from scratch; "
            "expected none, or --model=resnet50 without an encoder"
        )
    for name in ("train_videos", "validation_videos", "test_videos"):
        check_names(name, config[name])
    if not config.encoder and not config.model.variant:
        raise InputError(
            "no encoder: set --config.encoder=PATH, or --model=vits (for instance) to start from "
            "random initialisation"
        )


def describe_encoder(config: ConfigDict) -> str:
    """Where the encoder of an experiment is from, in words."""
    if config.encoder:
        return str(config.encoder)
    weights = config.resnet_weights
    origin = "from scratch" if weights == "none" else f"weights: {weights}"
    return f"{config.model.variant}, {origin}"


def remarks_on_fit(task: Task, fitted, unreadable: dict[str, int]) -> list[str]:
    """What a reader of the results should know about how they came about; also in the log."""
    found = []
    scores = fitted.history.get(f"val_{task.score_name}", [0])
    if np.isnan(scores).all():
        found.append(f"val_{task.score_name} is undefined in every epoch: the last one is tested")
    if counts := [f"{count} {part} frames" for part, count in unreadable.items() if count]:
        found.append(f"{', '.join(counts)} cannot be read and do not count")
    for remark in found:
        logging.warning("%s", remark)
    return found


def forget(folder: Path) -> None:
    """Removes what an earlier experiment has left in a folder, its results.json first."""
    (folder / RESULTS).unlink(missing_ok=True)
    for path in (folder / "history.png", *folder.glob("predictions_*.csv")):
        path.unlink(missing_ok=True)
    remove_folder(folder / "model")


def write_report_of(task: Task, results: dict, tables: dict, read_frame, folder: Path) -> None:
    """Writes report.html, pictures and predictions.csv; predictions_NAME.csv of later tables."""
    for number, (name, table) in enumerate(tables.items()):
        file = "predictions.csv" if not number else f"predictions_{name}.csv"
        task.write(folder / file, table)
    tasks.PICTURES[task.name](results, next(iter(tables.values())), folder)
    if results["history"]:
        plots.history(results["history"], folder / "history.png", results["best_epoch"])
    sections = tasks.SECTIONS[task.name](results, tables, read_frame)
    title = f"{task.name}: {results['name']}"
    write_report(folder / "report.html", title, sections, subtitle=results["encoder"])


def read_frame(index: FrameIndex, row: int) -> np.ndarray | None:
    """A frame, uint8 RGB; None if it cannot be read any more."""
    try:
        return read_image(index.paths([row])[0])
    except (InputError, OSError):
        return None
