"""The table of a low-shot grid: means and deviations over seeds, and what annotation is saved."""

import csv
from pathlib import Path

import numpy as np

from data.storage.whole import whole_file


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


def savings(by_number: dict, baseline: dict) -> dict:
    """How many labelled videos an encoder needs to be as good as the baseline with the most.

    Args:
      by_number: the encoder's {number of videos: {"mean"}}.
      baseline: the same of the baseline.

    Returns:
      {"baseline_videos": the most the baseline has; "target": its mean with them; "videos": float,
      where the encoder's means, joined by straight lines, first reach it, None if nowhere; "share":
      of the baseline's videos that need no labels, 0 to 1, or None; "is_bound": whether the encoder
      reached it with the fewest already, so that fewer may do}.
    """
    most = max(map(int, baseline))
    target = baseline[str(most)]["mean"]
    points = [(int(number), one["mean"]) for number, one in by_number.items()]
    points = sorted((number, mean) for number, mean in points if mean is not None)
    summary = {"baseline_videos": most, "target": target, "videos": None, "share": None}
    summary["is_bound"] = False
    if target is None:
        return summary
    for place, (number, mean) in enumerate(points):
        if mean < target:
            continue
        needed = float(number)
        if place:
            before, lower = points[place - 1]
            needed = before + (number - before) * ((target - lower) / (mean - lower))
        return summary | {"videos": needed, "share": 1 - needed / most, "is_bound": place == 0}
    return summary


def text_table(summary: dict) -> str:
    """What low_shot.json says, for people: a row per encoder, a column per number of videos."""
    numbers = sorted({int(number) for row in summary["table"].values() for number in row})
    header = [f"{number} ({100 * number / summary['videos']:.3g} %)" for number in numbers]
    rows = [["labelled videos", *header]]
    for encoder, by_number in summary["table"].items():
        rows.append([encoder, *(_shown(by_number[str(number)]) for number in numbers)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    return "\n".join([f"{summary['score']} in %", *lines, *sentences(summary)])


def sentences(summary: dict) -> list[str]:
    """What low_shot.json says about each encoder but the baseline."""
    lines = []
    for encoder, saved in summary["saved"].items():
        best = f"{summary['baseline']} with {saved['baseline_videos']}"
        if saved["videos"] is None:
            lines.append(f"{encoder} does not get as good as {best} labelled videos")
        else:
            about, least = ("at most", "at least ") if saved["is_bound"] else ("about", "")
            lines.append(
                f"{encoder} with {about} {saved['videos']:.3g} labelled videos is as good as "
                f"{best}: {least}{100 * saved['share']:.0f} % less annotation"
            )
    return lines


def _shown(one: dict) -> str:
    if one["mean"] is None:
        return "-"
    deviation = "" if one["std"] is None else f" ± {100 * one['std']:.1f}"
    return f"{100 * one['mean']:.1f}{deviation}"


def write_cells(path: Path, rows: list[dict]) -> None:
    """Writes low_shot.csv: a line per cell."""
    with whole_file(path) as side, side.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(
            file, [key for key in rows[0] if key != "warnings"], extrasaction="ignore"
        )
        writer.writeheader()
        writer.writerows(rows)
