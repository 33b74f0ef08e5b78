"""The table of what features are worth on real data, from what the probes have measured.

  python -m tests.benchmarks.real_table crops=crops.json "whole frames=frames.json" \
      --output=runs/proof_real/table

A file is what `grouped_probe --output` writes. table.md has the README's table, then every score
and every paired difference; table.csv has all numbers, a line for each. `make proof-real` ends
with it.
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from data.common import cli
from data.common.errors import InputError
from data.storage import cards
from data.storage.whole import whole_file

TITLES = {
    "colours": "colour histogram",
    "thumbnail": "colour histogram, 8\u00d78 thumbnail",
    "random": "random initialisation, CLS",
    "random_mean": "random initialisation, mean of patches",
    "msn": "MSN from scratch, CLS",
    "msn_mean": "MSN from scratch, mean of patches",
    "taught": "MSN with a teacher, CLS",
    "taught_mean": "MSN with a teacher, mean of patches",
    "general": "the general encoder",
}
FIRST = (("crops", "0.1"), ("crops", "1.0"), ("whole frames", "1.0"))  # of the README
HEAD = ("task", "labels", "features", "auc", "low", "high")
HEAD += ("difference_to", "by", "difference_low", "difference_high", "images", "groups", "seeds")
EXPECTED = "expected what grouped_probe --output writes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tasks", nargs="+", metavar="TASK=FILE.json")
    parser.add_argument("--output", required=True, help="path of the tables, without .md and .csv")
    given = parser.parse_args()
    try:
        tasks = read(given.tasks)
    except InputError as error:
        sys.exit(cli.refuse(error))
    output = Path(given.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(lines(tasks)) + "\n"
    with whole_file(output.with_name(f"{output.name}.md")) as side:
        side.write_text(text, encoding="utf-8")
    with (
        whole_file(output.with_name(f"{output.name}.csv")) as side,
        side.open("w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows([HEAD, *rows(tasks)])
    print(text, end="")


def read(given: Sequence[str]) -> dict[str, dict]:
    """{task: what its file holds}, of TASK=FILE.json each; raises `InputError`."""
    tasks = {}
    for one in given:
        task, _, path = one.partition("=")
        if not task or not path:
            raise InputError(f"{one}: expected TASK=FILE.json")
        if task in tasks:
            raise InputError(f"{task}: given twice; expected each task once")
        try:
            tasks[task] = json.loads(Path(path).read_text(encoding="utf-8"))
            is_empty = not any(rows({task: tasks[task]}))
        except OSError as error:
            raise InputError(f"{task}={path}: {cli.describe(error)}") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{task}={path}: {error!r}; {EXPECTED}") from error
        if is_empty:
            raise InputError(f"{task}={path}: no scores in it; {EXPECTED}")
    return tasks


def title(name: str) -> str:
    """What features are, in words; of those that are joined by +, beside one another."""
    parts = [TITLES.get(part, part) for part in name.split("+")]
    return " and ".join(parts) + " side by side" * (len(parts) > 1)


def rows(tasks: dict) -> Iterator[tuple]:
    """A line of the CSV for each task, share of labels and kind of features."""
    for task, content in tasks.items():
        of = content["of"]
        for name, scores in content["rows"].items():
            for share, row in sorted(scores.items(), key=lambda item: float(item[0])):
                (low, high), (less, more) = row["interval"], row["difference"]
                numbers = map(float, (row["auc"], low, high, row["by"], less, more))
                auc, low, high, by, less, more = numbers
                yield (
                    *(task, share, name, auc, low, high, row["difference_to"], by, less, more),
                    *(of["images"], of["groups"], len(of["seeds"])),
                )


def lines(tasks: dict) -> Iterator[str]:
    """Lines of Markdown."""
    counts = [
        f"{task}: {content['of']['images']} images in {content['of']['groups']} groups"
        for task, content in tasks.items()
    ]
    seeds = sorted({len(content["of"]["seeds"]) for content in tasks.values()})
    yield (
        "Area under the ROC curve of logistic regression on frozen features, cross-validated by "
        f"group ({'; '.join(counts)}); mean of {' or '.join(map(str, seeds))} "
        f"seed{'s' * (seeds != [1])} of folds and labels, and 95 % interval over the groups."
    )
    for task, content in tasks.items():
        if content["of"]["groups"] == content["of"]["images"]:
            yield (
                f"\n**{task}: every image is a group of its own.** Images of one sequence may be "
                "in training and test at once, and the values too high; a table of sequences "
                "mends that."
            )
    columns = [
        (task, share) for task, share in FIRST if task in tasks and share in shares(tasks[task])
    ]
    if columns:
        yield from table(tasks, columns, lambda row: cell(row["auc"], row["interval"], ".3f"))
    for task, content in tasks.items():
        every = [(task, share) for share in shares(content)]
        yield from ("", f"**{task}**, all that was measured")
        yield from table(tasks, every, lambda row: cell(row["auc"], row["interval"], ".3f"))
        yield from ("", f"**{task}**, paired differences, on the same draws of the groups")
        yield from table(tasks, every, lambda row: cell(row["by"], row["difference"], "+.3f"), True)


def shares(content: dict) -> list[str]:
    """The shares of labels that were measured of any features, the smallest first."""
    found = {share for scores in content["rows"].values() for share in scores}
    return sorted(found, key=float)


def table(tasks: dict, columns: list, text, is_of_differences: bool = False) -> Iterator[str]:
    """A table with a row for each kind of features that any column has; else a cell is empty."""
    yield ""
    heads = [
        f"{task}, "
        + ("all labels" if share == "1.0" else f"{100 * float(share):g} % of the labels")
        for task, share in columns
    ]
    yield line(["difference" if is_of_differences else "features", *heads])
    yield "|---" + "|--:" * len(columns) + "|"
    names = dict.fromkeys(name for task, _ in columns for name in tasks[task]["rows"])
    usual = list(TITLES)
    for name in sorted(names, key=lambda name: usual.index(name) if name in usual else len(usual)):
        found = [tasks[task]["rows"].get(name, {}).get(share) for task, share in columns]
        if not any(found):
            continue
        head = title(name)
        if is_of_differences:
            if name in (others := {row["difference_to"] for row in found if row}):
                continue  # itself
            head += f", to {title(others.pop())}"
        yield line([head, *(text(row) if row else "" for row in found)])


def line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(cards.cell, cells))} |"


def cell(value: float, interval: list, form: str) -> str:
    low, high = interval
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


if __name__ == "__main__":
    main()
