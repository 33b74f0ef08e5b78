"""The table of a low-shot grid: means and deviations over seeds."""

from pathlib import Path

import numpy as np

from data.storage.whole import write_csv
from down_stream.low_shot.savings import sentences


def tabulate(rows: list[dict]) -> dict:
    """{encoder: {number of videos: {"mean", "std", "scores"}}} of cells, as `run_grid` returns."""
    table = {}
    for row in rows:
        by_number = table.setdefault(row["encoder"], {})
        by_number.setdefault(str(row["videos"]), []).append(row["score"])
    for by_number in table.values():
        for number, scores in by_number.items():
            defined = [value for value in scores if value is not None]
            by_number[number] = {
                "mean": float(np.mean(defined)) if defined else None,
                "std": float(np.std(defined, ddof=1)) if len(defined) > 1 else None,
                "scores": scores,
            }
    return table


def text_table(summary: dict) -> str:
    """What low_shot.json says, for people: a row per encoder, a column per number of videos."""
    numbers = sorted({int(number) for row in summary["table"].values() for number in row})
    header = [f"{number} ({100 * number / summary['videos']:.3g} %)" for number in numbers]
    rows = [[f"labelled {summary['counted']}", *header]]
    for encoder, by_number in summary["table"].items():
        rows.append([encoder, *(_shown(by_number[str(number)]) for number in numbers)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    warnings = [f"warning: {text}" for text in summary["warnings"]]
    warnings += [f"failed: {text}" for text in summary["failed"]]
    title = f"{summary['score']} in %, mean ± deviation over {seeds_of(summary)}"
    return "\n".join([title, *lines, *sentences(summary), *warnings])


def seeds_of(summary: dict) -> str:
    """How many seeds the means are of: "3 seeds", or "2 to 3 seeds" where scores are undefined."""
    counts = {
        sum(score is not None for score in one["scores"])
        for by_number in summary["table"].values()
        for one in by_number.values()
    }
    least, most = min(counts), max(counts)
    number = f"{most}" if least == most else f"{least} to {most}"
    return f"{number} seed{'' if most == 1 else 's'}"


def _shown(one: dict) -> str:
    if one["mean"] is None:
        return "-"
    deviation = "" if one["std"] is None else f" ± {100 * one['std']:.1f}"
    return f"{100 * one['mean']:.1f}{deviation}"


def write_cells(path: Path, rows: list[dict]) -> None:
    """Writes low_shot.csv: a line per cell."""
    columns = [key for key in rows[0] if key != "warnings"]
    lines = [[row[key] for key in columns] for row in rows]
    write_csv(path, [columns, *lines], line_end="\r\n")
