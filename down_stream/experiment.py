"""One down-stream experiment: fit a phase model on some videos, evaluate it on others."""

import json
import logging
import time
from pathlib import Path

import keras
import numpy as np
from ml_collections import ConfigDict

from data.cholec80 import LABEL_FPS, PHASES
from data.cholec80_images import class_weights
from data.errors import InputError, check_names, check_output_folder, check_range
from data.frames import read_record
from data.index import FrameIndex, load_index
from data.recordings import overlaps
from down_stream import metrics, plots, training
from down_stream.features import over_frames, probabilities_and_representation, representation
from down_stream.model import PhaseModel, save_phase_model
from down_stream.predictions import Predictions, write_predictions
from msn.checkpoint import ENCODER_FILE, load_encoder
from msn.vit import Encoder, create_encoder, variant_arguments

MODES = ("probe", "finetune")


def run(config: ConfigDict, workdir: str | Path) -> dict:
    """Fits and evaluates a phase model; writes results, predictions, pictures and the model.

    Args:
      config: see configs/phase_base.py, which explains every key.
      workdir: receives results.json, predictions.csv, the pictures and model/.

    Returns:
      What results.json holds.

    Raises:
      InputError: the configuration or the data cannot work; nothing is written then.
    """
    started = time.monotonic()
    # ---- input ---------------------------------------------------------------------------------
    check(config)
    check_output_folder("workdir", workdir)
    workdir = Path(workdir)
    splits = select_splits(config)
    encoder = open_encoder(config)
    warnings = remarks(splits, videos_seen(config.encoder))
    for warning in warnings:
        logging.warning("%s", warning)

    # ---- model ---------------------------------------------------------------------------------
    model = PhaseModel(encoder, PHASES, seed=config.seed)
    outputs = probabilities_and_representation(model)

    # ---- fit: the best epoch on the validation videos stays ------------------------------------
    fit = {"probe": fit_probe, "finetune": fit_finetune}[config.mode]
    history, best_epoch = fit(config, model, outputs, splits)
    fitted = time.monotonic()

    # ---- evaluate ------------------------------------------------------------------------------
    predictions = predict(config, model, outputs, splits["test"], "test videos")
    unreadable = len(splits["test"]) - len(predictions.video)
    if unreadable:
        warnings.append(f"{unreadable} test frames cannot be read and are not scored")
    results = {
        "name": workdir.name,
        "mode": config.mode,
        "encoder": str(config.encoder) or f"{config.model.variant}, random initialisation",
        "seconds": round(time.monotonic() - started, 1),
        "seconds_to_fit": round(fitted - started, 1),
        "frames": {name: len(index) for name, index in splits.items()},
        "videos": {name: list(index.videos) for name, index in splits.items()},
        "unreadable_test_frames": unreadable,
        "history": history,
        "best_epoch": best_epoch,
        "warnings": warnings,
        "metrics": metrics.evaluate(predictions),
        "config": json.loads(json.dumps(config.to_dict(), default=list)),
    }

    # ---- report --------------------------------------------------------------------------------
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    write_predictions(workdir / "predictions.csv", predictions)
    plots.phase_timeline(predictions, workdir / "phase_timeline.png")
    plots.confusion_matrix(predictions, workdir / "confusion_matrix.png")
    if history:
        plots.history(history, workdir / "history.png")
    source = {"experiment": str(workdir), "mode": config.mode, "encoder": results["encoder"]}
    save_phase_model(model, workdir / "model", source)
    return results


def check(config: ConfigDict) -> None:
    """Raises `InputError` for values that no experiment can work with."""
    choices = {"mode": MODES, "optimizer.name": tuple(training.OPTIMIZERS)}
    values = {"mode": config.mode, "optimizer.name": config.optimizer.name}
    for name, allowed in choices.items():
        if values[name] not in allowed:
            raise InputError(f"{name} is {values[name]!r}; right would be {', '.join(allowed)}")
    check_range("seed", config.seed, 0)
    check_range("epochs", config.epochs, 1)
    check_range("batch_size", config.batch_size, 1)
    check_range("optimizer.learning_rate", config.optimizer.learning_rate, 0)
    check_range("optimizer.weight_decay", config.optimizer.weight_decay, 0)
    check_range("optimizer.warmup", config.optimizer.warmup, 0, 1)
    check_names("data.root", config.data.root)
    for name in ("train_videos", "validation_videos", "test_videos"):
        check_names(name, config[name])
    if not config.encoder and not config.model.variant:
        raise InputError(
            "no encoder: set --config.encoder=PATH, or --model=vits (for instance) to start from "
            "random initialisation"
        )


def select_splits(config: ConfigDict) -> dict[str, FrameIndex]:
    """The labelled frames of each split.

    Raises:
      InputError: a video in two splits, a split without labels, fewer than two classes to learn.
    """
    names = {
        "train": config.train_videos,
        "validation": config.validation_videos,
        "test": config.test_videos,
    }
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        if shared := overlaps(names[one], names[other])[0]:
            raise InputError(
                f"{', '.join(shared)}: in {one}_videos and in {other}_videos; a video belongs to "
                "one split"
            )
    for root in config.data.root:
        fps = read_record(Path(root, "frames"))["fps"]
        if fps != LABEL_FPS:
            raise InputError(f"{root}: frames at {fps} per second; phases are evaluated at 1")
    index = load_index(config.data.root)
    splits = {}
    for name, videos in names.items():
        selected = index.select(videos=videos)
        splits[name] = selected.take(np.flatnonzero(selected.phase >= 0))
        if not len(splits[name]) and (videos or name != "validation"):
            raise InputError(
                f"{name}_videos ({', '.join(videos) or 'none'}): no labelled frames; annotations "
                "go to phase_annotations/, then run prepare.py again"
            )
    if len(np.unique(splits["train"].phase)) < 2:
        raise InputError("train_videos: fewer than two phases in the labels, nothing to learn")
    return splits


def videos_seen(encoder: str) -> list[str]:
    """The videos that an encoder was pre-trained on, as far as it says so."""
    description = Path(encoder, ENCODER_FILE)
    if not encoder or not description.is_file():
        return []
    return json.loads(description.read_text())["source"].get("videos", [])


def remarks(splits: dict[str, FrameIndex], seen: list[str]) -> list[str]:
    """What a reader of the results should know about the data; `seen` in pre-training."""
    missing = sorted(set(range(len(PHASES))) - set(splits["train"].phase.tolist()))
    found = [f"no training frame of phase {PHASES[phase]}" for phase in missing]
    same, possible = overlaps(splits["test"].videos, seen)
    if same:
        found.append(f"pre-training has seen test videos: {', '.join(same)}")
    if possible:
        found.append(f"pre-training may have seen test videos: {', '.join(possible)}")
    if not len(splits["validation"]):
        found.append("no validation videos: the last epoch is tested")
    return found


def open_encoder(config: ConfigDict) -> Encoder:
    """The encoder of the configuration, or a random one.

    Raises:
      InputError: nothing to open, or it is not of the variant that the configuration names.
    """
    variant = config.model.variant
    if not config.encoder:
        return create_encoder(variant, image_size=config.model.image_size, seed=config.seed)
    encoder = load_encoder(config.encoder)
    if variant:
        found, named = encoder.get_config(), variant_arguments(variant)
        wrong = [
            f"{key} {found[key]} instead of {named[key]}"
            for key in named
            if key in found and found[key] != named[key]  # a SavedModel does not tell all of them
        ]
        if wrong:
            raise InputError(f"{config.encoder} is no {variant}: {', '.join(wrong)}")
    return encoder


def fit_probe(config, model, outputs, splits):
    """Linear probe on features that are computed once; returns history and best epoch."""
    compiled = representation(model.encoder)

    def features_of(name):
        (features,), rows = over_frames(
            compiled,
            splits[name],
            image_size=model.encoder.image_size,
            batch_size=config.batch_size,
            description=f"features of {name} videos",
        )
        return features, splits[name].take(rows)

    features, index = features_of("train")
    validate = None
    if len(splits["validation"]):
        held_out, held_out_index = features_of("validation")

        def validate():
            probabilities = keras.ops.softmax(model.classify(held_out))
            return macro_f1(table_of(held_out_index, np.asarray(probabilities)))

    return training.fit_head(
        model,
        features,
        index.phase.astype(np.int32),
        validate=validate,
        **fit_arguments(config, index),
    )


def fit_finetune(config, model, outputs, splits):
    """End-to-end fine-tuning; returns history and best epoch."""
    validate = None
    if len(splits["validation"]):

        def validate():
            return macro_f1(predict(config, model, outputs, splits["validation"], "validation"))

    return training.fit_all(
        model, splits["train"], validate=validate, **fit_arguments(config, splits["train"])
    )


def fit_arguments(config, index) -> dict:
    """What both ways to fit take from the configuration."""
    return {
        "epochs": config.epochs,
        "batch_size": config.batch_size,
        "seed": config.seed,
        "optimizer": config.optimizer.to_dict(),
        "weights": class_weights(index.phase) if config.balance_classes else None,
    }


def predict(config, model, outputs, index, description) -> Predictions:
    """Predictions for all readable frames of an index."""
    (probabilities, _), rows = over_frames(
        outputs,
        index,
        image_size=model.encoder.image_size,
        batch_size=config.batch_size,
        description=description,
    )
    return table_of(index.take(rows), probabilities)


def macro_f1(predictions: Predictions) -> float:
    """Macro-F1 by protocol `video`, by which the best epoch is chosen."""
    return metrics.evaluate(predictions, draws=0)["video"]["f1"]


def table_of(index: FrameIndex, probabilities: np.ndarray) -> Predictions:
    """Joins probabilities [frames, classes] with the frames they belong to, row by row."""
    return Predictions(
        video=np.asarray(index.videos)[index.video],
        second=index.second.astype(np.int64),
        label=index.phase.astype(np.int64),
        prediction=probabilities.argmax(axis=1),
        probabilities=probabilities.astype(np.float32),
    )
