"""One down-stream experiment: fit a classifier on some videos, evaluate it on others."""

import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras.ops import convert_to_numpy
from ml_collections import ConfigDict

from data.common.configurations import configured
from data.common.machine import user_cache
from data.common.stopping import StoppedError, StopSignal
from data.storage.folders import filled_folder, remove_folder
from data.storage.locking import locked
from data.storage.paths import AnyPath, output_folder
from data.storage.whole import write_json
from down_stream import cross_validation
from down_stream.cells.cell import without_grid_keys
from down_stream.cells.finished import finished_results, forget
from down_stream.cells.model_card import write_model_card
from down_stream.cells.opening import open_configured
from down_stream.checks import check, check_time
from down_stream.choices import ATTENTIVE, RESULTS
from down_stream.classifiers import finetuning, fitting
from down_stream.classifiers.frame_model import save_frame_model
from down_stream.classifiers.linear_head import Fitted
from down_stream.classifiers.linear_probe import fit_linear_probe
from down_stream.classifiers.logistic_regression import fit_logistic
from down_stream.features.cache import fingerprint
from down_stream.features.encoders import SplitFeatures, describe_encoder, facts_of
from down_stream.features.labelled_splits import (
    contents_fingerprint,
    describe_patients,
    images_fingerprint,
    labels_fingerprint,
    model_remarks,
    patients_of,
    remarks,
    seen_by,
    select_splits,
)
from down_stream.metrics import statistics
from down_stream.report.frames import read_frame
from down_stream.report.tasks import write_task_report
from down_stream.tasks import Task, labels_of
from down_stream.temporal.fitting import fit_sequences
from down_stream.temporal.model import save_temporal
from msn.formats.hub import encoder_path
from msn.formats.model_card import licence_beside
from msn.networks.usual_keras import usual_keras
from msn.tracking.sending import send_finished
from msn.workdir.run_directory import (
    CHECKPOINTS,
    CONFIG_FILE,
    check_configuration,
    plain,
    write_configuration,
)


def experiment(
    config: ConfigDict | str | Path,
    workdir: str | AnyPath | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Fits a classifier on some videos and evaluates it on others, or cross-validates it.

    Args:
      config: a configuration, or the file of one, as "configs/phase_probe.py"; configs/
        phase_base.py explains every key. Those of a grid are left out: it is one experiment.
      workdir: receives results.json, predictions.csv, report.html, the pictures and model/; with
        `folds` the models are in fold1/ and so on. The configuration's where it is not given.
      overrides: {dotted key: value} of the configuration, as {"data.root": "datasets/ours"}.

    Returns:
      What results.json holds: "metrics" by protocol, shares of 1 or None where undefined,
      "videos", "warnings", "classes" and more.

    Raises:
      InputError, StoppedError: as `run` does.
    """
    config = without_grid_keys(configured(config, overrides, "configs/phase_demo.py"))
    workdir = config.workdir if workdir is None else workdir
    if config.folds:
        return cross_validation.cross_validate(config, workdir, run)
    return run(config, workdir)


@usual_keras()
def run(config: ConfigDict, workdir: str | AnyPath, *, is_fold: bool = False) -> dict[str, Any]:
    """Fits and evaluates a classifier; writes results, predictions, pictures and the model.

    Args:
      config: see configs/phase_base.py, which explains every key.
      workdir: receives results.json, predictions.csv, report.html, the pictures and model/.
      is_fold: whether it is a part of a cross-validation, which is then no advice.

    Returns:
      What results.json holds; fine-tuning that is finished is not done again.

    Raises:
      InputError: the configuration or the data cannot work, and nothing is written then; or what
        is found out later, as a loss that is not finite: there are no results then.
      StoppedError: (a KeyboardInterrupt) Ctrl-C or, in a command, a signal stopped fine-tuning;
        the same call goes on.
    """
    started = time.monotonic()
    # ---- input ---------------------------------------------------------------------------------
    check(config)
    workdir = output_folder("workdir", workdir)
    with locked(workdir):
        results = _run(config, workdir, started, is_fold)
        send_finished(workdir, config.track)
        return results


def _run(config: ConfigDict, workdir: AnyPath, started: float, is_fold: bool) -> dict[str, Any]:
    """What `run` does after its first checks; nobody else writes to `workdir` meanwhile."""
    if (workdir / CHECKPOINTS).exists():  # of fine-tuning that was stopped
        check_configuration(workdir, config)
    path = encoder_path(config.encoder) if config.encoder else None
    roots, videos, task = labels_of(config)
    if config.temporal:
        check_time(config.temporal, task)
    splits = select_splits(roots, videos, task)
    task = task.choosing(splits["validation"], config.choose_by)
    encoder = open_configured(config)
    content = fingerprint(encoder)  # before it is trained
    if config.mode == "finetune":
        finetuning.check_trainable(encoder)
    seen = seen_by(path)
    patients = patients_of(roots, splits)
    warnings = remarks(task, splits, seen, patients) + model_remarks(roots, videos, task)
    warnings += [f"encoder: {text}" for text in getattr(encoder, "remarks", ())]
    facts = {"encoder_fingerprint": content, "labels_fingerprint": labels_fingerprint(task, splits)}
    if is_trained(config):
        facts["images_fingerprint"] = images_fingerprint(splits)
        contents = functools.partial(contents_fingerprint, splits)
        if results := finished_results(workdir, config, facts, contents):
            return results

    # ---- fit: the best epoch on the validation videos stays ------------------------------------
    cache = feature_folder(config)
    frames = SplitFeatures(encoder, splits, config.batch_size, cache, config.features)
    fitted = fit_classifier(config, task, frames, workdir)
    sequences = None
    if config.temporal:
        shared = {"seed": config.seed, "balance_classes": config.balance_classes}
        sequences = fit_sequences(task, frames, name=config.temporal, **shared, **config.tecno)
    seconds_to_fit = time.monotonic() - started
    if is_trained(config):
        held = contents_fingerprint(splits)
        if images_fingerprint(splits) == facts["images_fingerprint"]:  # else others were trained on
            facts["contents_fingerprint"] = held

    # ---- evaluate ------------------------------------------------------------------------------
    features, test = frames("test")
    tables = {
        config.mode: task.table(test, convert_to_numpy(fitted.classifier.probabilities(features)))
    }
    if sequences:
        tables[config.temporal] = task.table(test, sequences.probabilities(features, test))
    warnings += fitting.remarks(task, fitted, frames, is_fold)
    facts_of_time = sequences.facts if sequences else {}
    known = describe_patients(patients, splits)
    scores = {name: task.evaluate(table, patients=known["test"]) for name, table in tables.items()}
    results = {
        "name": workdir.name,
        "task": task.name,
        "unit": task.unit,
        "mode": config.mode,
        "encoder": describe_encoder(config.encoder, config.resnet_weights, config.model),
        **facts,
        "network": facts_of(encoder),
        "encoder_seen": seen.to_json(),
        "features": frames.features,
        "classes": list(task.classes),
        "positive_class": task.positive,
        "patients": known,
        "seconds": round(time.monotonic() - started, 1),
        "seconds_to_fit": round(seconds_to_fit, 1),
        "frames": {name: len(index) for name, index in splits.items()},
        "videos": {name: list(index.videos) for name, index in splits.items()},
        "unreadable_frames": frames.unreadable,
        "history": fitted.history,
        "best_epoch": fitted.best_epoch,
        "chosen": fitted.chosen,
        "chosen_by": list(task.chosen_by),
        "epoch_chosen_by": task.score_name if len(splits["validation"]) else None,
        "warnings": warnings,
        "metrics": scores.pop(config.mode),
        "temporal": {name: {"metrics": s} | facts_of_time for name, s in scores.items()},
        "config": plain(config),
    }

    # ---- report: results.json comes last and says that all is there ----------------------------
    with filled_folder(workdir, RESULTS) as folder:
        forget(folder)
        task.write_tables(tables, folder)
        write_task_report(
            results, tables, functools.partial(read_frame, test), folder / "report.html"
        )
        if fitted.model is not None:
            learnt = splits["train"].videos if config.mode == "finetune" else ()
            origin = {"experiment": str(workdir), "mode": config.mode}
            origin |= {"encoder": results["encoder"], "videos": sorted({*seen.videos, *learnt})}
            licence = licence_beside(path) if path else None
            origin |= {"seen": seen.to_json(), "licence": licence}
            model = save_frame_model(fitted.model, folder / "model", origin)
            if sequences:
                save_temporal(sequences.model, model / "temporal")
            write_model_card(model, statistics.plain(results), licence)
        content = statistics.plain(results)
        write_json(folder / RESULTS, content, indent=2, allow_nan=False, durable=True)
    remove_folder(workdir / CHECKPOINTS)
    return results


def fit_classifier(
    config: ConfigDict, task: Task, frames: SplitFeatures, workdir: AnyPath
) -> Fitted:
    """The classifier of the configuration's mode; raises as `run` does."""
    if config.mode == "knn":
        return fitting.fit_neighbours(task, frames)
    if config.mode == "logistic":
        return fitting.fit_head(fit_logistic, task, frames, balance_classes=config.balance_classes)
    names = ("epochs", "batch_size", "seed", "label_smoothing", "balance_classes")
    training = {name: config[name] for name in names}
    if config.mode == "probe" and not is_trained(config):
        return fitting.fit_head(
            fit_linear_probe,
            task,
            frames,
            learning_rates=config.probe.learning_rates,
            weight_decays=config.probe.weight_decays,
            optimizer=config.optimizer.name,
            warmup=config.optimizer.warmup,
            score_name=task.score_name,
            **training,
        )
    with StopSignal() as stop:
        if not (workdir / CHECKPOINTS).exists():  # what is here, if anything, is finished
            (workdir / CONFIG_FILE).unlink(missing_ok=True)
        write_configuration(workdir, config)
        training |= _finetuning(config) if config.mode == "finetune" else _attentive(config)
        fitted = fitting.fit_end_to_end(
            task, frames, directory=workdir / CHECKPOINTS, stop=stop, **training
        )
    if stop.requested:  # since the last look at it: all updates are done, and saved
        raise StoppedError(f"stopped by {stop.requested} after training; start again to go on")
    return fitted


def is_trained(config: ConfigDict) -> bool:
    """Whether frames pass the encoder anew in every epoch, since what pools them is trained."""
    return bool(config.mode == "finetune" or config.features == ATTENTIVE)


def _finetuning(config: ConfigDict) -> dict[str, Any]:
    """Arguments of training everything."""
    augmentation = {"transformation": config.augmentation, **config.randaug}
    return {"optimizer": config.optimizer.to_dict(), "augmentation": augmentation}


def _attentive(config: ConfigDict) -> dict[str, Any]:
    """Arguments of training attentive pooling and a linear classifier on a frozen encoder."""
    own = config.attentive
    optimizer = {"name": config.optimizer.name, "warmup": config.optimizer.warmup}
    optimizer |= {"learning_rate": own.learning_rate, "weight_decay": own.weight_decay}
    return {
        "epochs": own.epochs,
        "optimizer": optimizer | {"layer_decay": 1.0},
        "augmentation": {"transformation": "resize", **config.randaug},
        "is_frozen": True,
    }


def feature_folder(config: ConfigDict) -> str | None:
    """Where features are kept; None where they are not, as of an encoder that is trained."""
    if is_trained(config) or config.feature_cache == "off":
        return None
    return config.feature_cache or str(user_cache("features"))
