"""What an inspection of a dataset finds: remarks, problems, and counts per video."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.common.errors import InputError, say_problem, some
from data.storage.whole import write_json

AUDIT = "audit.json"  # in a data set
TABLE_ROWS = 100  # videos printed; audit.json has all
SINGLES = 10  # videos of one frame: more are one row
PRINTED = 20  # problems, and remarks
PRINTED_NEIGHBOURS = 5
PRINTED_SIZES = 6
TOGETHER = 3  # things of which the same is said: more are one remark
# Seconds that annotators have kept of what a model wrote, moved over a boundary, and changed.
CORRECTIONS = ("kept_s", "moved_s", "changed_s")
# Frames by what `data/indexing/cleaning.py` did, where it was asked to; "pretraining" are those
# left.
CLEANED = ("black", "out_of_body", "near_duplicates", "cropped", "pretraining")


@dataclass
class Audit:
    """Findings, in the order they were made. Each is a line that begins with the file it is about.

    Attributes:
      remarks: what one should know: gaps, stray files, line ends.
      problems: inputs, or parts of inputs, that could not be used.
      videos: name -> counts: "frames", "labelled", and where there are annotations "phase_rows",
        "tool_rows" or others, those of `CORRECTIONS` where a model wrote them first, and where
        frames were cleaned those of `CLEANED` that were asked for.
      sizes: (width, height) -> how many frames.
      neighbours: remarks about data sets beside this one.
      folders: video -> the folder, directly in the one with all videos, that its files are in.
      changed, gone: names of videos that were extracted again since their files have changed, and
        of those whose files are not among the usable ones any more.
      looks: how the folders differ in looks, and of what that was measured, as
        `data.overview.looks.remark_folders` keeps it; empty where it has not been measured.
    """

    remarks: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    videos: dict[str, dict[str, int]] = field(default_factory=dict)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    neighbours: list[str] = field(default_factory=list)
    folders: dict[str, str] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    looks: dict[str, Any] = field(default_factory=dict)

    def remark(self, text: str) -> None:
        """Adds a remark."""
        self.remarks.append(text)

    def problem(self, text: str) -> None:
        """Adds a problem; the inspection goes on."""
        self.problems.append(text)

    def add(self, other: "Audit") -> None:
        """Adds all that another audit found."""
        self.remarks += other.remarks
        self.neighbours += other.neighbours
        self.problems += other.problems
        self.videos |= other.videos
        self.sizes += other.sizes

    def total(self, count: str) -> int:
        """Sum of a count over the videos."""
        return sum(counts.get(count, 0) for counts in self.videos.values())

    def cleaned(self) -> list[str]:
        """Those of `CLEANED` that were counted."""
        return [c for c in CLEANED if any(c in counts for counts in self.videos.values())]

    def write(self, path: Path) -> None:
        """Writes everything as JSON."""
        totals = {"videos": len(self.videos)}
        counted = ("frames", "labelled", *self.cleaned())
        totals |= {count: self.total(count) for count in counted}
        content = {
            "totals": totals,
            "problems": self.problems,
            "remarks": self.remarks + self.neighbours,
        }
        if self.looks:
            content["looks"] = self.looks
        sizes = {f"{width}x{height}": n for (width, height), n in self.sizes.most_common()}
        write_json(path, {**content, "sizes": sizes, "videos": self.videos})

    def table(self) -> str:
        """Counts per video; then the first problems, own remarks, and those about neighbours."""
        counted = {name for counts in self.videos.values() for name in counts}
        others = sorted(name for name in counted if name.endswith("_rows"))
        rows = dict.fromkeys(("phase_rows", "tool_rows", *others))
        corrections = CORRECTIONS if counted.issuperset(CORRECTIONS) else ()
        columns = ("frames", "labelled", *rows, *corrections, *self.cleaned())
        shown = self.videos
        singles = [name for name, counts in shown.items() if counts["frames"] == 1]
        together = f"{len(singles)} videos of 1 frame"
        if len(singles) > SINGLES:
            among = [shown[name] for name in singles]
            shown = {name: counts for name, counts in shown.items() if counts["frames"] != 1}
            shown[together] = {c: sum(of.get(c, 0) for of in among) for c in columns}
        width = max([len(name) for name in shown] + [len("all videos")])
        head = f"{'video':{width}}" + "".join(f"{column:>{_width(column)}}" for column in columns)

        def row(name, counts):
            return f"{name:{width}}" + "".join(
                f"{counts.get(c, '-'):>{_width(c)}}" for c in columns
            )

        lines = [head]
        rest = [name for name in shown if name != together]
        lines += [row(name, shown[name]) for name in rest[:TABLE_ROWS]]
        lines += _and_more(len(rest) - TABLE_ROWS, "videos")
        lines += [row(together, shown[together])] if together in shown else []
        lines += [row("all videos", {column: self.total(column) for column in columns})]
        if self.sizes:
            sizes = [f"{w}x{h} ({n})" for (w, h), n in self.sizes.most_common(PRINTED_SIZES)]
            more = ", ..." if len(self.sizes) > PRINTED_SIZES else ""
            lines.append(f"sizes of frames: {', '.join(sizes)}{more}")
        return "\n".join([*lines, *self.findings()])

    def findings(self) -> list[str]:
        """The first problems, own remarks, and those about neighbours, a line each."""
        lines = [say_problem(problem) for problem in self.problems[:PRINTED]]
        lines += _and_more(len(self.problems) - PRINTED, "problems")
        for found, most, rest in (
            (_together(self.remarks), PRINTED, "remarks"),
            (self.neighbours, PRINTED_NEIGHBOURS, "remarks about data sets beside it"),
        ):
            lines += [f"remark: {remark}" for remark in found[:most]]
            lines += _and_more(len(found) - most, rest)
        return lines


class Strict(Audit):
    """An audit that does not go on: the first problem raises `InputError`."""

    def problem(self, text: str) -> None:
        """Raises `InputError`."""
        raise InputError(text)


def _together(remarks: list[str]) -> list[str]:
    """Remarks, of which those that say the same of many things are one: stray files hide nothing.

    It stands where the first of them does.
    """
    about = {}
    for remark in remarks:
        thing, _, said = remark.partition(": ")
        about.setdefault(said or remark, []).append(thing)
    found = {}
    for remark in remarks:
        said = remark.partition(": ")[2] or remark
        is_alone = len(about[said]) <= TOGETHER or said == remark
        found[remark if is_alone else f"{some(about[said])}: {said}"] = None
    return list(found)


def _width(column: str) -> int:
    return max(12, len(column) + 2)


def _and_more(count: int, what: str) -> list[str]:
    return [f"... and {count} more {what}: audit.json"] if count > 0 else []


def read_audit(root: Path) -> dict[str, Any]:
    """The "videos" and "looks" in the audit of a data set; empty as far as there is none."""
    try:
        content = json.loads((root / AUDIT).read_text())
    except (OSError, ValueError):
        content = {}
    is_read = isinstance(content, dict)
    found = {name: content.get(name) if is_read else None for name in ("videos", "looks")}
    return {name: value if isinstance(value, dict) else {} for name, value in found.items()}
