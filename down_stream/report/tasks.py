"""Which sections the report of each task has, from top to bottom, and which pictures go beside it.

Each function takes what results.json holds, {name of a model: its predictions} (those of the first
are what the results are about; others are set beside them) and a function that reads the frame of a
row of the first: row -> RGB, uint8 [height, width, 3], or None. It gives the sections for
`down_stream.report.page.write_report`.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from down_stream.metrics.multi_label import MultiLabelPredictions
from down_stream.metrics.predictions import Predictions
from down_stream.report import class_scores, page, plots
from down_stream.report.curves import learning_curves, roc
from down_stream.report.frames import most_wrong
from down_stream.report.page import Section
from down_stream.report.pictures import class_bars, confusion, phase_ribbons
from down_stream.report.wording import clock

ReadFrame = Callable[[int], np.ndarray | None]
Sections = list[Section | None]

_INTERVALS = "Bars in percent; the thin line is the 95% interval (bootstrap over {})."


def phases(results: dict, tables: dict[str, Predictions], read_frame: ReadFrame) -> Sections:
    """Phases of operations."""
    first = next(iter(tables.values()))
    scores = class_scores.of_predictions(first, pooled=False)
    over_videos = _INTERVALS.format("videos")
    return [
        page.warnings(results),
        page.summary(
            results,
            [("Accuracy", "video", "accuracy"), ("Macro-F1", "video", "f1"),
             ("Edit score", "video", "edit")],
        ),
        phase_ribbons(tables),
        class_bars(scores, "Each phase", f"Means over the videos (protocol phase). {over_videos}"),
        confusion(first),
        most_wrong(first, read_frame, clock),
        learning_curves(results["history"], results["best_epoch"]),
        page.protocols(results),
        page.settings(results),
    ]  # fmt: skip


def classes(results: dict, tables: dict[str, Predictions], read_frame: ReadFrame) -> Sections:
    """One class per image, where images come in sequences."""
    first = next(iter(tables.values()))
    scores = class_scores.of_predictions(first, pooled=True)
    return [
        page.warnings(results),
        page.summary(
            results,
            [("Accuracy of frames", "frame", "accuracy"),
             ("Accuracy of sequences", "sequence", "accuracy"),
             ("Balanced accuracy of frames", "frame", "balanced_accuracy"),
             ("AUC of frames", "frame", "auc")],
            noun="sequence",
        ),
        class_bars(scores, "Each class", f"All frames at once. {_INTERVALS.format('sequences')}"),
        confusion(first),
        roc(first),
        most_wrong(first, read_frame, "frame {}".format),
        learning_curves(results["history"], results["best_epoch"]),
        page.protocols(results),
        page.settings(results),
    ]  # fmt: skip


def labels(
    results: dict, tables: dict[str, MultiLabelPredictions], read_frame: ReadFrame
) -> Sections:
    """Several labels per frame, as the presence of tools."""
    first = next(iter(tables.values()))
    scores = class_scores.of_results(results["metrics"]["tool"]["per_class"])
    return [
        page.warnings(results),
        page.summary(
            results,
            [("Mean average precision", "tool", "average_precision"), ("F1", "tool", "f1")],
        ),
        class_bars(scores, "Each label", f"All frames at once. {_INTERVALS.format('videos')}"),
        most_wrong(first, read_frame, clock),
        learning_curves(results["history"], results["best_epoch"]),
        page.protocols(results),
        page.settings(results),
    ]


def draw_phases(results: dict, predictions: Predictions, folder: Path) -> None:
    """The PNG files of phases: timeline, confusion matrix, bars of each phase."""
    plots.phase_timeline(predictions, folder / "phase_timeline.png")
    plots.confusion_matrix(predictions, folder / "confusion_matrix.png")
    scores = class_scores.of_predictions(predictions, pooled=False)
    plots.class_bars(scores, folder / "per_phase.png")


def draw_classes(results: dict, predictions: Predictions, folder: Path) -> None:
    """The PNG files of single classes: confusion matrix, bars of each class, ROC of two."""
    plots.confusion_matrix(predictions, folder / "confusion_matrix.png")
    scores = class_scores.of_predictions(predictions, pooled=True)
    plots.class_bars(scores, folder / "per_class.png")
    if plots.roc(predictions) is not None:
        plots.roc_picture(predictions, folder / "roc.png")


def draw_labels(results: dict, predictions: MultiLabelPredictions, folder: Path) -> None:
    """The PNG file of several labels: bars of each label."""
    scores = class_scores.of_results(results["metrics"]["tool"]["per_class"])
    plots.class_bars(scores, folder / "per_class.png")


SECTIONS = {"phases": phases, "classes": classes, "tools": labels}
PICTURES = {"phases": draw_phases, "classes": draw_classes, "tools": draw_labels}
