"""What several down-stream experiments came to, side by side.

  python -m down_stream.compare runs/demo/probe runs/demo/random runs/demo/finetune

A run directory is the workdir of an experiment of down_stream/main.py.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from data.common import cli
from data.common.errors import InputError
from down_stream.report.wording import duration, percent

_TITLES = {"f1": "macro-F1", "average_precision": "mAP"}


def table(run_dirs: Sequence[str | Path]) -> str:
    """One line per run directory, and per temporal model in it: name, scores in percent, time.

    The scores are accuracy, and what the epoch was chosen by, on the test videos: for phases
    macro-F1, both of protocol `video` (see `down_stream.metrics.phases`).

    Raises:
      InputError: a directory has no `results.json`, or not one of an experiment; or experiments
        that are measured by different scores.
    """
    found = [_read(Path(run_dir)) for run_dir in run_dirs]
    titles = {title for title, _ in found}
    if len(titles) > 1:
        raise InputError(
            f"experiments that are measured by {' and '.join(sorted(titles))}; expected those of "
            "one task"
        )
    header = ("name", "test accuracy", *titles, "time")
    rows = [header, *(row for _, rows in found for row in rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )


def _read(run_dir: Path) -> tuple[str, list[tuple[str, ...]]]:
    """Title of the score of an experiment, and its lines."""
    path = run_dir / "results.json"
    if not path.is_file():
        found = "no results.json in it" if run_dir.is_dir() else "no such folder"
        raise InputError(f"{run_dir}: {found}; expected a run directory of down_stream/main.py")
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        protocol, score = results["chosen_by"]
        models = {results["name"]: results["metrics"]}
        for name, temporal in results["temporal"].items():
            models[f"{results['name']} + {name}"] = temporal["metrics"]
        seconds = duration(results["seconds"])
        return _TITLES[score], [
            (
                name,
                percent(found[protocol].get("accuracy")),
                percent(found[protocol][score]),
                seconds,
            )
            for name, found in models.items()
        ]
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
