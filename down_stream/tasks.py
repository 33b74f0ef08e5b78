"""What an experiment recognises in frames: where labels come from, how predictions are scored.

One experiment serves every task; what differs between them is said here and nowhere else.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from data.annotation_formats.labels import MODEL, PHASE
from data.annotations.corrections import read_labelled_by
from data.common.errors import InputError
from data.dataset.classes import CLASSES_FILE, Classes, read_classes
from data.dataset.frame_index import FrameIndex
from data.splits.parts import PARTS
from data.storage.paths import AnyPath, to_paths
from down_stream.metrics import classification, multi_label, statistics
from down_stream.metrics import phases as phase_metrics
from down_stream.metrics.positive import find_positive
from down_stream.metrics.predictions import Predictions, write_predictions

# Below so many groups of validation frames the best of many epochs is the best by luck. A sequence
# is one case, right or wrong: of 30, a share of right ones has a standard error of up to 9 points,
# and of 8, 18. A video has most of the phases in thousands of frames: it is less a matter of luck.
FEW = {"sequence": 30, "video": 5}
CHOICES = (None, "score", "likelihood")  # of what epochs are chosen by


@dataclass(frozen=True)
class Task:
    """A description of what is recognised.

    Attributes:
      name: as configurations and results name it.
      classes: names, in the order of their ids.
      multi_label: whether a frame has any number of the classes, rather than one.
      labels: index of n frames -> int [n], a class id or -1 unknown; with several labels int
        [n, classes]: 1 present, 0 absent, -1 unknown.
      is_video: whether frames are moments of a video, in phases that take time: then temporal
        models apply.
      evaluate: predictions -> scores by protocol, as results.json has them.
      chosen_by: protocol and score by which tables compare, and by which the best epoch is chosen
        unless there are few groups to validate (see `choosing`).
      score_name: of what the epoch is chosen by in a history, after "val_".
      score: (videos int [n], labels, probabilities [n, classes]) -> that alone, as quickly as one
        is wanted that is computed after every epoch; higher is better, NaN where undefined.
      write: path, predictions -> None; the table predictions.csv.
      unit: what frames come in, and what is labelled: "video" or "sequence".
      positive: name of the positive class of two; None where there is none, or none is known.
      by_models: names of the videos whose labels are a model's, which nobody has corrected.
      pseudo_labels: what a frame of these counts in training; 0 leaves them out. They are never
        validated or tested on.
    """

    name: str
    classes: tuple[str, ...]
    multi_label: bool
    labels: Callable[[FrameIndex], np.ndarray]
    is_video: bool
    evaluate: Callable[..., dict[str, dict]]
    chosen_by: tuple[str, str]
    score_name: str
    score: Callable[[np.ndarray, np.ndarray, np.ndarray], float]
    write: Callable[[Path, Any], None]
    unit: str = "video"
    positive: str | None = None
    by_models: frozenset[str] = frozenset()
    pseudo_labels: float = 0.0

    @property
    def number(self) -> int:
        """How many classes there are."""
        return len(self.classes)

    def is_few(self, validation: FrameIndex) -> bool:
        """Whether the validation frames come in too few groups for the score to choose by."""
        return len(np.unique(validation.video)) < FEW[self.unit]

    def choosing(self, validation: FrameIndex, by: str | None) -> "Task":
        """The same task, whose epochs are chosen by the score or the likelihood of the labels.

        Args:
          validation: labelled frames.
          by: of CHOICES; None for the likelihood where there are few groups of frames.
        """
        if by == "score" or (by is None and not self.is_few(validation)):
            return self
        score = statistics.log_likelihood
        return dataclasses.replace(self, score=score, score_name="log_likelihood")

    def labelled(self, index: FrameIndex) -> FrameIndex:
        """The frames of an index whose label is known."""
        known = self.labels(index) >= 0
        return index.take(np.flatnonzero(known.any(axis=1) if self.multi_label else known))

    def frame_weights(self, index: FrameIndex) -> np.ndarray | None:
        """What each frame counts in training, float32 [n]; None where all count alike."""
        of_video = [self.pseudo_labels if v in self.by_models else 1.0 for v in index.videos]
        weights = np.array(of_video, np.float32)[index.video]
        return weights if (weights != 1).any() else None

    def usable(self, names: Sequence[str], part: str) -> tuple[str, ...]:
        """Those of the videos of a split, "train", "validation" or "test", that may be in it."""
        if part == "train" and self.pseudo_labels:
            return tuple(names)
        return tuple(name for name in names if name not in self.by_models)

    def present(self, index: FrameIndex) -> set[int]:
        """Ids of the classes that labels of an index have."""
        labels = self.labels(index)
        if self.multi_label:
            return set(np.flatnonzero((labels == 1).any(axis=0)).tolist())
        return set(np.unique(labels[labels >= 0]).tolist())

    def check_labels(self, index: FrameIndex, name: str) -> None:
        """Raises `InputError` for labels of the split `name` that are no class ids."""
        labels = self.labels(index)
        highest = 1 if self.multi_label else len(self.classes) - 1
        if ((labels < -1) | (labels > highest)).any():
            wrong = labels[(labels < -1) | (labels > highest)][0]
            raise InputError(
                f"{name}_videos: label {wrong}; expected 0 to {highest}, or -1 for unknown"
            )

    def scorer(self, index: FrameIndex) -> Callable[[np.ndarray], float]:
        """Function of probabilities [frames, classes] of an index: their score."""
        labels = self.labels(index)
        return lambda probabilities: self.score(index.video, labels, probabilities)

    def write_tables(self, tables: Mapping[str, Any], folder: Path) -> None:
        """Writes predictions.csv of the first model; predictions_NAME.csv of those after it."""
        for number, (name, table) in enumerate(tables.items()):
            file = "predictions.csv" if not number else f"predictions_{name}.csv"
            self.write(folder / file, table)

    def table(self, index: FrameIndex, probabilities: np.ndarray):
        """Joins probabilities [frames, classes] with the frames they belong to, row by row."""
        columns = {
            "video": np.asarray(index.videos)[index.video],
            "second": index.second,
            "label": self.labels(index).astype(np.int64),
            "probabilities": probabilities.astype(np.float32),
            "classes": self.classes,
        }
        if self.multi_label:
            return multi_label.MultiLabelPredictions(**columns)
        return Predictions(**columns, prediction=probabilities.argmax(axis=1))


def phases(classes: Classes) -> Task:
    """Phases of operations, whatever they are."""
    return Task(
        name="phases",
        classes=classes.phases,
        multi_label=False,
        labels=lambda index: index.phase,
        is_video=True,
        evaluate=phase_metrics.evaluate,
        chosen_by=("video", "f1"),
        score_name="macro_f1",
        score=phase_metrics.video_macro_f1,
        write=write_predictions,
    )


def multi_label_group(group: str, classes: Classes) -> Task:
    """Presence of tools, or of the names of another group of which a frame has any number."""
    return Task(
        name=group,
        classes=classes.multi_label[group],
        multi_label=True,
        labels=lambda index: index.presence[group],
        is_video=False,
        evaluate=multi_label.evaluate,
        chosen_by=("tool", "average_precision"),
        score_name="average_precision",
        score=multi_label.mean_average_precision,
        write=multi_label.write_predictions,
    )


def image_classes(classes: Classes, positive_class: str | None = None) -> Task:
    """One class per image: polyps, or any folders of images; two may have a positive one."""
    positive = find_positive(classes.classes, positive_class)
    return Task(
        name="classes",
        classes=classes.classes,
        multi_label=False,
        labels=lambda index: index.label,
        is_video=False,
        evaluate=functools.partial(classification.evaluate, positive_class=positive_class),
        chosen_by=("frame", "f1"),
        score_name="macro_f1",
        score=classification.frame_macro_f1,
        write=write_predictions,
        unit="sequence",
        positive=None if positive is None else classes.classes[positive],
    )


def open_task(
    name: str,
    roots: Sequence[AnyPath],
    positive_class: str | None = None,
    pseudo_labels: float = 0.0,
    trust_model_labels: bool = False,
) -> Task:
    """The task that a configuration names, for the data sets at `roots`, joined by name.

    Args:
      name: of the task.
      roots: dataset directories.
      positive_class: that of a task of two classes per image.
      pseudo_labels: as of `Task`.
      trust_model_labels: whether a model's labels that nobody has corrected count as people's.

    Returns:
      The task.

    Raises:
      InputError: no such task, the data sets do not carry it, or `positive_class` is no class.
    """
    if not roots:
        raise InputError("data.root is empty; expected one or more dataset directories")
    classes = functools.reduce(Classes.joined, map(read_classes, roots))
    of_images = functools.partial(image_classes, positive_class=positive_class)
    tasks = {"phases": phases, "classes": of_images}
    tasks |= {group: functools.partial(multi_label_group, group) for group in classes.multi_label}
    if name in ("phases", "tools", "classes") and name not in tasks:
        raise InputError(_none_annotated(name, classes, roots))
    if name not in tasks:
        raise InputError(f"task is {name!r}; expected {', '.join(sorted({*tasks, 'tools'}))}")
    task = tasks[name](classes)
    if not task.classes:
        raise InputError(_none_annotated(name, classes, roots))
    group = PHASE if name == "phases" else name
    authors = (
        {} if trust_model_labels else {v: a for r in roots for v, a in read_labelled_by(r).items()}
    )
    by_models = frozenset(video for video, of in authors.items() if of.get(group) == MODEL)
    return dataclasses.replace(task, by_models=by_models, pseudo_labels=pseudo_labels)


def labels_of(config: ConfigDict) -> tuple[list[AnyPath], dict[str, Sequence[str]], Task]:
    """What the configuration of an experiment says of labels.

    Returns:
      Its dataset directories; {part of the split: names or patterns of videos}; and its task.

    Raises:
      InputError: as of `open_task`.
    """
    roots = to_paths(config.data.root)
    task = open_task(config.task, roots, config.positive_class, **model_labels(config))
    return roots, {part: config[f"{part}_videos"] for part in PARTS}, task


def model_labels(config: Mapping) -> dict:
    """What a configuration says of labels by models, as arguments of `open_task`."""
    # Configurations of earlier versions do not say it.
    return {
        "pseudo_labels": config.get("pseudo_labels", 0.0),
        "trust_model_labels": config.get("trust_model_labels", False),
    }


def _none_annotated(name: str, classes: Classes, roots: Sequence[AnyPath]) -> str:
    where = ", ".join(str(root / CLASSES_FILE) for root in roots)
    if classes.classes:
        return (
            f"task={name}: {where} has classes of images, without the time that {name} need; "
            "expected task=classes"
        )
    return f"task={name}: no {name} in {where}; annotate some, and run prepare.py again"
