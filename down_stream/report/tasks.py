"""Which sections and pictures the report of each task has, from top to bottom.

Each function takes what results.json holds, {name of a model: its predictions} (those of the first
are what the results are about; others are set beside them) and a function that reads the frame of a
row of the first: row -> RGB, uint8 [height, width, 3], or None. It gives the sections for
`down_stream.report.page.write_report`.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from data.annotation_formats.clock_times import clock
from data.common.logs import logger
from down_stream.metrics.multi_label import MultiLabelPredictions
from down_stream.metrics.predictions import Predictions
from down_stream.report import class_scores, page, plots, timelines
from down_stream.report.frames import most_wrong
from down_stream.report.page import Section, drawn
from down_stream.report.wording import drawn_cases

ReadFrame = Callable[[int], np.ndarray | None]
Sections = list[Section | None]


def phases(results: dict, tables: dict[str, Predictions], read_frame: ReadFrame) -> Sections:
    """Phases of operations."""
    first = next(iter(tables))
    ribbons = timelines.timeline(tables)
    alone = ribbons if len(tables) == 1 else timelines.timeline({first: tables[first]})
    scores = class_scores.of_predictions(tables[first], pooled=False, patients=_patients(results))
    rule = "Means over the videos (protocol phase)."
    return _report(
        results,
        {
            "Accuracy": ("video", "accuracy"),
            "Macro-F1": ("video", "f1"),
            "Edit score": ("video", "edit"),
        },
        Section(
            "Phases over time", text=_RIBBONS, picture=ribbons, files={"phase_timeline.png": alone}
        ),
        _bars("Each phase", scores, "per_phase.png", rule, drawn_cases(results)),
        _confusion(tables[first]),
        most_wrong(tables[first], read_frame, clock),
    )


def classes(results: dict, tables: dict[str, Predictions], read_frame: ReadFrame) -> Sections:
    """One class per image, where images come in sequences."""
    first = next(iter(tables.values()))
    scores = class_scores.of_predictions(first, pooled=True, patients=_patients(results))
    return _report(
        results,
        {
            "Accuracy of frames": ("frame", "accuracy"),
            "Accuracy of sequences": ("sequence", "accuracy"),
            "Balanced accuracy of frames": ("frame", "balanced_accuracy"),
            "AUC of frames": ("frame", "auc"),
        },
        _bars("Each class", scores, "per_class.png", _POOLED, drawn_cases(results)),
        _confusion(first),
        drawn("ROC curve", plots.roc(first, results["positive_class"]), "roc.png", _ROC),
        most_wrong(first, read_frame, "frame {}".format),
    )


def labels(
    results: dict, tables: dict[str, MultiLabelPredictions], read_frame: ReadFrame
) -> Sections:
    """Several labels per frame, as the presence of tools."""
    scores = class_scores.of_results(results["metrics"]["tool"]["per_class"])
    return _report(
        results,
        {"Mean average precision": ("tool", "average_precision"), "F1": ("tool", "f1")},
        _bars("Each label", scores, "per_class.png", _POOLED, drawn_cases(results)),
        most_wrong(next(iter(tables.values())), read_frame, clock),
    )


def others(results: dict, tables: dict, read_frame: ReadFrame) -> Sections:
    """A task with a protocol of its own: what all tasks have; that is logged."""
    protocol, score = results["chosen_by"]
    logger.warning(
        "report: no pictures of the protocol %r of the task %s; expected one of %s; results.json "
        "has all scores",
        *(protocol, results["task"], ", ".join(REPORTS)),
    )
    return _report(results, {score.replace("_", " ").capitalize(): (protocol, score)})


# By the protocol by which tables compare, the first of `chosen_by` of a task.
REPORTS = {"video": phases, "frame": classes, "tool": labels}


def write_task_report(results: dict, tables: dict, read_frame: ReadFrame, path: Path) -> None:
    """Writes the report of the task of the results, and its pictures beside it."""
    report = REPORTS.get(results["chosen_by"][0], others)
    sections = report(results, tables, read_frame)
    title = f"{results['task']}: {results['name']}"
    subtitle = f"{results['encoder']}; features: {results['features']}"
    page.write_report(path, title, sections, subtitle)


_RIBBONS = (
    "Accuracy and F1 are in percent, by the protocol video. Probabilities of all phases are "
    "stacked in their order. Blank: no frame. Point at a ribbon for the phase and its time."
)
_POOLED = "All frames at once."
_CONFUSION = (
    "A row is a class of the truth: its cells say which percentage of its frames was given each "
    "class. Numbers that do not fit are told where you point."
)
_ROC = "Sensitivity and specificity at every threshold; the point is where the prediction stands."
_CURVES = "Solid: validation, or what was measured once an epoch; dashed: training."


def _report(results: dict, headline: dict, *sections: Section | None) -> Sections:
    """What is particular to a task, between what all have."""
    picture = plots.history(results["history"], results["best_epoch"])
    return [
        page.warnings("Warnings", results["warnings"]),
        page.summary(results, headline),
        *sections,
        drawn("Learning curves", picture, "history.png", _CURVES),
        page.protocols(results),
        page.settings(results),
    ]


def _patients(results: dict) -> dict:
    """{test video: number of its patient}, empty where none are known."""
    return results.get("patients", {}).get("test", {})


def _bars(title: str, scores, file: str, rule: str, drawn_again: str) -> Section:
    text = f"{rule} Lines, and in brackets: 95% intervals (bootstrap over {drawn_again})."
    return drawn(title, plots.class_bars(scores), file, text)


def _confusion(predictions: Predictions) -> Section:
    picture = plots.confusion_matrix(predictions)
    return drawn("Confusion matrix", picture, "confusion_matrix.png", _CONFUSION)
