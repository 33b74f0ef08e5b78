"""Few labels: the same experiment for several encoders and numbers of labelled training videos.

Answers how much annotation pre-training saves (Hirsch et al., arXiv 2308.12394, section 4).
"""

import csv
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from data.common.errors import InputError
from data.storage.paths import check_local, check_output_folder
from down_stream.features.labelled_splits import NothingToLearnError
from down_stream.low_shot.subsets import draw_subsets, read_subsets, write_subsets
from down_stream.report.low_shot_curve import draw_curve
from down_stream.report.wording import duration

MANIFEST = "label_subsets.json"
RESULTS = "results.json"
GRID_KEYS = ("encoders", "baseline", "fractions", "numbers", "seeds")  # of the grid, not of a cell
_CHANGEABLE = ("workdir", "feature_cache")


def run_grid(
    config: ConfigDict,
    workdir: str | Path,
    *,
    run: Callable[[ConfigDict, Path], dict],
    score: tuple[str, str] = ("video", "f1"),
) -> dict:
    """Runs an experiment per encoder, number of labelled videos and seed; the next call goes on.

    Every cell is an experiment of its own, `workdir/<encoder>_<n>videos_seed<k>/`: seed k draws the
    videos (`workdir/label_subsets.json`), and is the seed of the experiment. A cell whose
    results.json is there is not run again.

    Args:
      config: see configs/phase_low_shot.py, which explains every key.
      workdir: receives the cells, low_shot.json, low_shot.csv and low_shot.png.
      run: the experiment, `down_stream.experiment.run`; writes results.json when it is done.
      score: protocol and name of what is compared, in the "metrics" of its results.

    Returns:
      What low_shot.json holds: "score"; "videos", how many there are to train on; "cells", one
      {"encoder", "videos", "seed", "score", "directory", "warnings"} each; "table", {encoder:
      {number of videos: {"mean", "std" (sample deviation over seeds, None of one), "scores"}}};
      "saved", for every other encoder than the baseline what `savings` returns. Scores are None
      where undefined.

    Raises:
      InputError: the configuration or the data cannot work, or `workdir` holds cells of another
        configuration; what is there stays.
    """
    check(config)
    check_local("workdir", workdir)
    check_output_folder("workdir", workdir)
    workdir = Path(workdir)
    manifest = _manifest(config, workdir)
    cells = list(_cells(config, workdir, manifest))
    done = {directory: _finished(directory, cell) for _, directory, cell in cells}
    workdir.mkdir(parents=True, exist_ok=True)
    write_subsets(workdir / MANIFEST, manifest)

    protocol, name = score
    rows, seconds, left = [], [], sum(results is None for results in done.values())
    for count, (key, directory, cell) in enumerate(cells, 1):
        results = done[directory]
        if results is None:
            started = time.monotonic()
            results = _run(run, cell, directory, protocol, name)
            seconds.append(time.monotonic() - started)
            left -= 1
        value = results["metrics"][protocol][name]
        row = {**key, "score": value, "directory": directory.name}
        rows.append(row | {"warnings": results["warnings"]})
        if results is not done[directory]:
            shown = "undefined" if value is None else f"{value:.3f}"
            logging.info(
                "%d of %d: %s, %d videos, seed %d: %s %s in %.0f s; %s left",
                *(count, len(cells), *key.values(), name, shown, seconds[-1]),
                duration(left * float(np.mean(seconds))),
            )

    table = tabulate(rows)
    summary = {
        "score": f"{protocol} {name}",
        "videos": len(manifest["videos"]),
        "baseline": config.baseline,
        "table": table,
        "saved": {
            encoder: savings(by_number, table[config.baseline])
            for encoder, by_number in table.items()
            if encoder != config.baseline
        },
        "cells": rows,
    }
    _write_json(workdir / "low_shot.json", summary)
    _write_csv(workdir / "low_shot.csv", rows)
    draw_curve(summary, sentences(summary), workdir / "low_shot.png")
    return summary


def _run(run, cell, directory, protocol, name) -> dict:
    """The results of a cell; without a score where its few labels are all of one class."""
    try:
        return run(cell, directory)
    except NothingToLearnError as error:
        logging.warning("%s: %s", directory.name, error)
        return {"metrics": {protocol: {name: None}}, "warnings": [str(error)]}


def check(config: ConfigDict) -> None:
    """Raises `InputError` for values with which there is no grid."""
    wrong = [one for one in config.encoders if not _is_pair(one)]
    names = [one[0] for one in config.encoders if one not in wrong]
    if wrong or not names or len(set(names)) < len(names) or not all(names):
        raise InputError(
            f"encoders: found {config.encoders!r}; expected (('NAME', 'PATH'), ...), each name once"
        )
    if unfit := [name for name in names if "/" in name]:
        raise InputError(f"encoders: {unfit[0]!r} names folders; expected without /")
    for key, kind in (("fractions", int | float), ("numbers", int), ("seeds", int)):
        if odd := [one for one in config[key] if not isinstance(one, kind)]:
            raise InputError(f"{key}: found {odd[0]!r}; expected numbers alone")
    if config.baseline not in names:
        raise InputError(f"baseline is {config.baseline!r}; expected one of {', '.join(names)}")


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
    found = {"baseline_videos": most, "target": target, "videos": None, "share": None}
    found["is_bound"] = False
    if target is None:
        return found
    for place, (number, mean) in enumerate(points):
        if mean < target:
            continue
        needed = float(number)
        if place:
            before, lower = points[place - 1]
            needed = before + (number - before) * ((target - lower) / (mean - lower))
        return found | {"videos": needed, "share": 1 - needed / most, "is_bound": place == 0}
    return found


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
    found = []
    for encoder, saved in summary["saved"].items():
        best = f"{summary['baseline']} with {saved['baseline_videos']}"
        if saved["videos"] is None:
            found.append(f"{encoder} does not get as good as {best} labelled videos")
        else:
            about, least = ("at most", "at least ") if saved["is_bound"] else ("about", "")
            found.append(
                f"{encoder} with {about} {saved['videos']:.3g} labelled videos is as good as "
                f"{best}: {least}{100 * saved['share']:.0f} % less annotation"
            )
    return found


def _shown(one: dict) -> str:
    if one["mean"] is None:
        return "-"
    deviation = "" if one["std"] is None else f" ± {100 * one['std']:.1f}"
    return f"{100 * one['mean']:.1f}{deviation}"


def _manifest(config, workdir):
    """The subsets; those of an earlier start stay what they were, whatever draws them now."""
    manifest = draw_subsets(config.train_videos, config.fractions, config.seeds, config.numbers)
    if not (workdir / MANIFEST).is_file():
        return manifest
    before = read_subsets(workdir / MANIFEST)
    if before["videos"] != manifest["videos"]:
        raise InputError(
            f"{workdir / MANIFEST}: is of other train_videos; take another --config.workdir"
        )
    for number, by_seed in manifest["subsets"].items():
        for seed in by_seed:
            by_seed[seed] = before["subsets"].get(number, {}).get(seed, by_seed[seed])
    return manifest


def _cells(config, workdir, manifest):
    """({"encoder", "videos", "seed"}, directory, configuration) of every cell, few labels first."""
    for number, by_seed in manifest["subsets"].items():
        for seed, names in by_seed.items():
            for encoder, path in config.encoders:
                key = {"encoder": encoder, "videos": int(number), "seed": int(seed)}
                directory = workdir / f"{encoder}_{number}videos_seed{seed}"
                cell = ConfigDict(
                    {name: value for name, value in config.items() if name not in GRID_KEYS}
                )
                cell.encoder = path.replace("{seed}", seed)
                cell.seed, cell.train_videos, cell.workdir = int(seed), tuple(names), str(directory)
                yield key, directory, cell


def _finished(directory: Path, cell: ConfigDict) -> dict | None:
    """The results of a cell, None where it has to be run.

    Raises:
      InputError: they are of another configuration.
    """
    path = directory / RESULTS
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        then = dict(_flat(results["config"]))
    except (OSError, ValueError, KeyError, AttributeError):
        return None  # not there, or not to its end
    now = dict(_flat(json.loads(json.dumps(cell.to_dict(), default=list))))
    changed = [
        f"{key} {then.get(key)!r} -> {now.get(key)!r}"
        for key in sorted(then.keys() | now.keys())
        if then.get(key) != now.get(key) and key not in _CHANGEABLE
    ]
    if changed:
        raise InputError(
            f"{path}: is of another configuration ({', '.join(changed)}); take another "
            "--config.workdir or the same configuration"
        )
    return results


def _flat(tree: dict, prefix: str = ""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _is_pair(value) -> bool:
    return isinstance(value, tuple) and [type(one) for one in value] == [str, str]


def _write_json(path: Path, content: dict) -> None:
    side = path.with_name(f".{path.name}.writing")
    side.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    side.replace(path)


def _write_csv(path: Path, rows: list[dict]) -> None:
    side = path.with_name(f".{path.name}.writing")
    with side.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(
            file, [key for key in rows[0] if key != "warnings"], extrasaction="ignore"
        )
        writer.writeheader()
        writer.writerows(rows)
    side.replace(path)
