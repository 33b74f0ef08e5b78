"""What several down-stream experiments came to, side by side, and whether they can be compared.

  python -m down_stream.compare runs/demo/probe runs/demo/random runs/demo/finetune

A run directory is the workdir of an experiment of down_stream/main.py. Intervals are of 95 %, by
bootstrap over the test videos, or over their patients where these are known; the last one is of the
difference to the first row, on the same draws of the same test videos. What differs between the
rows beside what is compared (image size, patch, features, mode, data, split) is said below the
table, and which patients are in two parts of a split.
"""

if __name__ == "__main__":  # before what takes long to import
    from data.common import stopping

    stopping.end_at_once()

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.common import cli
from data.common.errors import InputError
from down_stream.metrics import multi_label, predictions
from down_stream.metrics.draws import paired_difference
from down_stream.report.alike import not_noted, what_differs
from down_stream.report.wording import drawn_cases, duration, percent, points, say_difference

_TITLES = {"f1": "macro-F1", "average_precision": "mAP"}


@dataclass(frozen=True)
class Row:
    """A model of an experiment: the frame model, or the temporal model after it.

    Attributes:
      name: of the experiment, and of the temporal model.
      results: what results.json of the experiment holds.
      metrics: the model's, by protocol.
      predictions: its table, a file that may be missing.
    """

    name: str
    results: dict
    metrics: dict
    predictions: Path

    @property
    def chosen_by(self) -> tuple[str, str]:
        """Protocol and score that experiments of its task are compared by."""
        return tuple(self.results["chosen_by"])

    @property
    def title(self) -> str:
        """Of that score."""
        score = self.chosen_by[1]
        return _TITLES.get(score, score.replace("_", " "))


def table(run_dirs: Sequence[str | Path]) -> str:
    """One line per run directory, and per temporal model in it, and what cannot be compared.

    A line has name, scores and time. The scores are accuracy, and what the epoch was chosen by, on
    the test videos: for phases macro-F1, both of protocol `video` (see
    `down_stream.metrics.phases`); with their intervals, and the difference to the first row.

    Raises:
      InputError: a directory has no `results.json`, or not one of an experiment; or experiments
        that are measured by different scores.
    """
    rows = [row for run_dir in run_dirs for row in _read(Path(run_dir))]
    titles = {row.title for row in rows}
    if len(titles) > 1:
        raise InputError(
            f"experiments that are measured by {' and '.join(sorted(titles))}; expected those of "
            "one task"
        )
    first, *others = rows
    found = [_difference(row, first) for row in others]
    header = ("name", "test accuracy", *titles, f"to {first.name}", "time")
    differences = ["", *(text for text, _ in found)]
    cells = [header, *map(_cells, rows, differences)]
    if not others:  # nothing to be compared with
        cells = [line[:3] + line[4:] for line in cells]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in cells
    ]
    why = [
        f"no interval for {row.name} to {first.name}: {reason}"
        for row, (_, reason) in zip(others, found, strict=True)
        if reason
    ]
    positive = dict.fromkeys(row.results.get("positive_class") for row in rows)
    said = [f"positive class: {name}" for name in positive if name]
    noted = [row.results for row in rows if "patients" in row.results]
    drawn = dict.fromkeys(drawn_cases(results) for results in noted)
    said += [f"intervals over {text}" for text in drawn]
    return "\n".join([*lines, *said, *why, *_warnings(rows)])


def _warnings(rows: Sequence[Row]) -> list[str]:
    """What makes experiments hard to compare with the first, a line for each."""
    (_, first), *others = {id(row.results): row for row in rows}.items()
    lines = [
        f"warning: {row.name} differs from {first.name} in {', '.join(texts)}"
        for _, row in others
        if (texts := what_differs(row.results, first.results))
    ]
    lines += [
        f"warning: {row.name}: {text}"
        for row in (first, *(row for _, row in others))
        for text in row.results.get("patients", {}).get("in_two_parts", ())
    ]
    earlier = [row.name for row in (first, *(row for _, row in others)) if not_noted(row.results)]
    if others and earlier:
        lines.append(
            f"warning: {', '.join(earlier)}: an earlier version did not note image size, patch and "
            "preprocessing; they may differ"
        )
    return lines


def _cells(row: Row, difference: str) -> tuple[str, ...]:
    protocol, score = row.chosen_by
    scores = row.metrics[protocol]
    return (
        row.name,
        _with_interval(scores, "accuracy"),
        _with_interval(scores, score),
        difference,
        duration(row.results["seconds"]),
    )


def _with_interval(scores: dict, name: str) -> str:
    """A score as "86.9 % [80.1, 90.2]", without brackets where no interval is known."""
    interval = scores.get("interval", {}).get(name, [None])
    return percent(scores.get(name)) + ("" if None in interval else f" {_brackets(interval)}")


def _brackets(interval: Sequence[float]) -> str:
    return "[" + ", ".join(points(value, "") for value in interval) + "]"


def _difference(row: Row, first: Row) -> tuple[str, str]:
    """The difference to the first row in points with its interval, or "-" and why there is none."""
    read = multi_label if row.chosen_by[0] == "tool" else predictions
    if row.chosen_by != first.chosen_by:
        return "-", "the protocols are not the same"
    try:
        tables = [read.read_predictions(each.predictions) for each in (row, first)]
        patients = {**_patients(row.results), **_patients(first.results)}
        found, interval = paired_difference(*row.chosen_by, *tables, patients=patients)
    except InputError as error:
        return "-", str(error)
    if found != found or interval[0] != interval[0]:  # NaN
        return "-", "one test video or patient, or a score that is undefined"
    return say_difference(found, interval), ""


def _patients(results: dict) -> dict:
    """{test video: number of its patient}, as far as the experiment knew."""
    return results.get("patients", {}).get("test", {})


def _read(run_dir: Path) -> list[Row]:
    """The lines of an experiment."""
    path = run_dir / "results.json"
    if not path.is_file():
        found = "no results.json in it" if run_dir.is_dir() else "no such folder"
        raise InputError(f"{run_dir}: {found}; expected a run directory of down_stream/main.py")
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        rows = [Row(results["name"], results, results["metrics"], run_dir / "predictions.csv")]
        for name, temporal in results["temporal"].items():
            file = run_dir / f"predictions_{name}.csv"
            rows.append(Row(f"{results['name']} + {name}", results, temporal["metrics"], file))
        for row in rows:
            _cells(row, row.title)  # raises where something is missing
        return rows
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: not the results of an experiment ({type(error).__name__}: {error}); "
            "down_stream/main.py writes them"
        ) from error


def main(*run_dirs: str) -> None:
    """Prints the table of the run directories given."""
    print(table(run_dirs))


if __name__ == "__main__":
    cli.run(main, wrong_input=(InputError,), positional="RUN_DIR ...")
