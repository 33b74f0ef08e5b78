"""From tables of embeddings to selection.csv and its page."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.common.errors import InputError, some
from data.common.logs import logger
from data.dataset.frame_index import FrameIndex, load_index
from data.splits.manifest import MANIFEST
from data.splits.overlaps import identity
from data.splits.spellings import alike, say_alike
from data.storage.paths import AnyPath
from down_stream.lookup.tables import Rows, read_tables
from down_stream.selection.candidates import open_candidates, without_lost
from down_stream.selection.choosing import USUAL, choose, read_budget
from down_stream.selection.labelled import mark, spans_of_file, spans_of_index, videos_of_tests
from down_stream.selection.page import name_of, write_page, write_table


@dataclass(frozen=True)
class Wanted:
    """What `select` is asked for.

    Attributes:
      root: a data set that knows labels and tests, or None.
      task: whose labels count; None for classes where the data set has some, else phases.
      unit: of `candidates.UNITS`; None for what fits the task.
      interval: seconds of an interval.
      budget: "8" or "10%", of the units that are not left out.
      strategy: of `choosing.STRATEGIES`; None for the usual one of the unit.
      labelled: files that list what has labels.
      excluded: videos never to choose.
      seed: of clusters and draws.
    """

    root: AnyPath | None = None
    task: str | None = None
    unit: str | None = None
    interval: float = 60.0
    budget: str = "10"
    strategy: str | None = None
    labelled: tuple = ()
    excluded: tuple[str, ...] = ()
    seed: int = 0


def select(
    tables: Sequence[AnyPath], wanted: Wanted, output: AnyPath, faults: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """Chooses what to annotate next, and writes selection.csv and selection.html.

    Args:
      tables: of embeddings.
      wanted: what is asked for.
      output: of the CSV file; the page is beside it.
      faults: of what could not be embedded, for the page.

    Returns:
      What is chosen, in order; and a line about each thing that could not be used.

    Raises:
      InputError: a table or a list cannot be used, or there is nothing to choose from.
    """
    rows, classes, fps = read_tables(tables)
    rows, remarks = without_lost(rows)
    index = load_index(wanted.root) if wanted.root else None
    task = wanted.task or ("classes" if index and index.classes.classes else "phases")
    spans = spans_of_index(wanted.root, index, task) if index else []
    tests = videos_of_tests(wanted.root, rows.video) if index else {}
    default, tested = next(iter(tests.items()), ("", set()))
    if index:
        rows = _with_files(rows, index)
    in_table = set(rows.video.tolist())
    known = in_table | set(index.videos if index else ())
    excluded = {identity(name) for name in wanted.excluded}
    never = tested | {name for name in known if identity(name) in excluded}
    operations = {identity(name) for name in known}
    if unknown := [name for name in wanted.excluded if identity(name) not in operations]:
        raise InputError(
            f"--exclude: {some(unknown)}: no such video; expected names as {some(sorted(known))}"
        )
    if index and (absent := [n for n in index.videos if n not in in_table and n not in never]):
        remarks.append(f"{some(absent)}: not in the table; not chosen")
    in_test = len(in_table & tested)
    spelt = alike(sorted(in_table - never), sorted(never))
    remarks += say_alike(spelt, "videos that are left out", "--exclude them by these names")
    rows = rows.take(~np.isin(rows.video, sorted(never)))
    if not len(rows):
        raise InputError(f"{tables[0]}: nothing to choose from; all its videos are left out")
    candidates = open_candidates(rows, wanted.unit or _unit_of(task), classes, fps, wanted.interval)
    for path in wanted.labelled:
        spans = spans + spans_of_file(path)
    labelled, unknown = mark(candidates, [span for span in spans if span[0] not in never])
    given = {name for path in wanted.labelled for name, *_ in spans_of_file(path)}
    if strange := [name for name in unknown if name in given]:
        remarks.append(f"labelled: {some(strange)} is not in the table")
    if labelled.all():
        raise InputError(f"all {len(candidates)} {candidates.kind}s have labels; nothing to choose")
    strategy = wanted.strategy or USUAL[candidates.kind]
    budget = read_budget(wanted.budget, len(candidates))
    choices = choose(candidates, labelled, strategy, budget, wanted.seed)
    if len(choices) < budget:
        remarks.append(f"budget: {budget} asked for, {len(choices)} left without labels")
    facts = {
        "Strategy": strategy,
        "Chosen": f"{len(choices)} of {len(candidates)} {candidates.kind}s",
        "With labels": str(int(labelled.sum())),
        "Left out, for testing": f"{in_test}, of the split {default}" if tests else "none is known",
        "Frames": f"{len(rows):,}",
        "Tables": some([str(path) for path in tables]),
        "Seed": str(wanted.seed),
    }
    write_table(output, candidates, choices)
    notes = [*faults, *remarks, *_of_tests(wanted.root, tests, candidates, choices)]
    write_page(output.with_suffix(".html"), candidates, labelled, choices, facts, notes)
    return [name_of(candidates, choice.unit) for choice in choices], remarks


def _of_tests(root, tests, candidates, choices) -> list[str]:
    """Lines, which are logged, too, about what may be for testing and is chosen all the same."""
    if not tests:
        where = f"{root}: no {MANIFEST} in it" if root else "no --data_rootdir"
        lines = [f"{where}: what is for testing is not known, and only --exclude leaves it out"]
    else:
        names = [candidates.names[choice.unit] for choice in choices]
        default, *others = tests
        found = {split: [name for name in names if name in tests[split]] for split in others}
        lines = [
            f"{some(list(dict.fromkeys(of)))}: chosen, since the default split, {default}, does "
            f"not test on it; the split {split} does"
            for split, of in found.items()
            if of
        ]
    for line in lines:
        logger.warning("%s", line)
    return lines


def _unit_of(task: str) -> str:
    return {"phases": "video", "classes": "sequence"}.get(task, "interval")


def _with_files(rows: Rows, index: FrameIndex) -> Rows:
    """Rows of a table that says no files, or no times, with those of the data set."""
    if (rows.path != "").all() or (rows.frame < 0).all():
        return rows
    numbers = {name: number for number, name in enumerate(index.videos)}
    place = {(v, f): n for n, (v, f) in enumerate(zip(index.video, index.frame, strict=True))}
    found = np.array(
        [
            place.get((numbers.get(v, -1), f), -1)
            for v, f in zip(rows.video, rows.frame, strict=True)
        ]
    )
    known = found >= 0
    path, second = rows.path.astype(object), rows.second.copy()
    path[known] = index.paths(found[known])
    second[known] = index.second[found[known]]
    return Rows(
        rows.embeddings, rows.video, second, rows.frame, path.astype(str), rows.probabilities
    )
