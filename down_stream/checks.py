"""What no down-stream experiment can work with, said before TensorFlow is imported.

The command asks before the import, which takes seconds, and `down_stream.experiment.run` again.
"""

import math

import numpy as np
from ml_collections import ConfigDict

from data.common.configurations import flatten
from data.common.errors import InputError, check_choices, check_names, check_range, check_ranges
from data.dataset.frame_index import FrameIndex
from data.frames.opening import check_roots
from data.splits.parts import PARTS
from data.splits.patients import Patients
from data.storage.paths import check_local
from data.views.randaug import TRANSFORMATIONS
from down_stream.choices import ATTENTIVE, FEATURES, MODES, OPTIMIZERS, TEMPORAL_MODELS
from down_stream.features.labelled_splits import frames_to_fold, labelled_splits
from down_stream.tasks import CHOICES as CHOSEN_BY
from down_stream.tasks import Task, labels_of
from msn.networks.options import check_sizes
from msn.networks.variants import RESNET, variant_arguments
from msn.tracking.trackers import tracker_names
from msn.workdir.seen import check_encoder_at

CHOICES = {
    "mode": MODES,
    "optimizer.name": OPTIMIZERS,
    "temporal": ("", *TEMPORAL_MODELS),
    "augmentation": TRANSFORMATIONS,
    "features": (None, *FEATURES, ATTENTIVE),
    "choose_by": CHOSEN_BY,
}
INF = math.inf
# Key, least and largest value that an experiment can work with.
RANGES = (
    ("seed", 0, INF),
    ("folds", 0, INF),
    ("fold_videos", 0, INF),
    ("pseudo_labels", 0, 1),
    ("epochs", 1, INF),
    ("batch_size", 1, INF),
    ("optimizer.learning_rate", 0, INF),
    ("optimizer.weight_decay", 0, INF),
    ("optimizer.warmup", 0, 1),
    ("optimizer.layer_decay", 0, 1),
    ("label_smoothing", 0, 1),
    ("attentive.epochs", 1, INF),
    ("attentive.learning_rate", 0, INF),
    ("attentive.weight_decay", 0, INF),
    ("randaug.layers", 0, INF),
    ("randaug.magnitude", 0, 10),
    ("tecno.epochs", 1, INF),
    ("tecno.num_stages", 1, INF),
    ("tecno.num_layers", 1, INF),
    ("tecno.num_maps", 1, INF),
    ("tecno.dropout", 0, 0.99),
    ("tecno.learning_rate", 0, INF),
)


def check(config: ConfigDict) -> None:
    """Raises `InputError` for values that no experiment can work with."""
    values = flatten(config.to_dict())
    check_choices(values, CHOICES)
    check_ranges(values, RANGES)
    for name in ("learning_rate", "weight_decay"):
        for value in config.probe[f"{name}s"]:
            check_range(f"probe.{name}s", value, 0)
        if not config.probe[f"{name}s"]:
            raise InputError(f"probe.{name}s is empty; expected one or more numbers")
    if config.features == ATTENTIVE and config.mode in ("knn", "logistic"):
        raise InputError(
            f"features is {ATTENTIVE!r} with mode {config.mode!r}: it is trained with the "
            "classifier; expected mode probe or finetune"
        )
    if config.pseudo_labels and config.mode == "knn":
        raise InputError(
            f"pseudo_labels is {config.pseudo_labels:g} with mode 'knn', in which nothing is "
            "weighted; expected mode probe, logistic or finetune"
        )
    if config.fold_videos and not config.folds:
        raise InputError(
            f"fold_videos is {config.fold_videos} without folds; expected --config.folds=5 (for "
            "instance), or fewer train_videos"
        )
    check_names("data.root", config.data.root)
    check_local("feature_cache", config.feature_cache or "")
    tracker_names(config.track)
    if config.resnet_weights != "none" and (config.encoder or config.model.variant != RESNET):
        raise InputError(
            f"resnet_weights is {config.resnet_weights!r} without resnet50v2 from scratch; "
            "expected none, or --model=resnet50 without an encoder"
        )
    for part in PARTS:
        check_names(f"{part}_videos", config[f"{part}_videos"])
    if config.encoder and config.model.like:
        raise InputError(
            f"model.like is {config.model.like!r} with encoder {config.encoder!r}; expected one of "
            "them: model.like is for random initialisation"
        )
    if not (config.encoder or config.model.variant or config.model.like):
        raise InputError(
            "no encoder; expected --config.encoder=PATH, or --model=vits (for instance) or "
            "--config.model.like=PATH to start from random initialisation"
        )
    _check_variant(config)


def _check_variant(config: ConfigDict) -> None:
    """Raises `InputError` for an architecture that there is not, or not of that image size."""
    variant = config.model.variant
    if not variant or variant == RESNET:
        return
    sizes = variant_arguments(variant)
    if not (config.encoder or config.model.like):
        names = ("patch_size", "width", "num_heads")
        known = {name: sizes[name] for name in names}
        check_sizes(config.model.image_size, **known, stem_channels=sizes.get("stem_channels", ()))


def check_inputs(config: ConfigDict) -> Task:
    """The task of an experiment whose data and encoder are there, as far as names and labels tell.

    Raises:
      InputError: a data set, its index or labels are missing, a part of the split has no such
        videos, the folds cannot be drawn; or no encoder is at a path.
    """
    check_roots(config.data.root)
    for path in filter(None, (config.encoder, config.model.like)):
        check_encoder_at(path)
    roots, videos, task = labels_of(config)
    if config.temporal:
        check_time(config.temporal, task)
    if config.folds:
        index, patients = frames_to_fold(roots, videos, task)
        check_folds(task, index, config.folds, patients)
    else:
        labelled_splits(roots, videos, task)
    return task


def check_time(temporal: str, task: Task) -> None:
    """Raises `InputError` where a temporal model is to learn of frames without time."""
    if not task.is_video:
        raise InputError(f"temporal={temporal}: {task.name} have no order in time")


def check_folds(task: Task, index: FrameIndex, folds: int, patients: Patients) -> np.ndarray:
    """What folds are drawn of: int [n], frames of one number must not be in two folds.

    They are of one video, or of one patient.

    Raises:
      InputError: there are fewer of them than `folds`.
    """
    groups = patients.group(index.videos).groups
    name_of = {video: name for name, videos in groups.items() for video in videos}
    names = [name_of[video] for video in index.videos]
    group = np.unique(names, return_inverse=True)[1][index.video]
    number = len(np.unique(group))
    if not 2 <= folds <= number:
        what = "patients" if number < len(np.unique(index.video)) else f"{task.unit}s"
        raise InputError(
            f"folds is {folds}; expected 2 to {number}, as many as there are {what} with labels"
        )
    return group
