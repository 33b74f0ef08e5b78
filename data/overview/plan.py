"""A plan: what `prepare.py --dry_run` says, and what room it takes."""

from dataclasses import dataclass, field
from pathlib import Path

from data.archives.room import free_space, say_bytes
from data.common import cli
from data.dataset.audit import Audit


@dataclass
class Plan:
    """What is to be done.

    Attributes:
      lines: in words.
      needed: bytes on the disk of the dataset.
      is_certain: whether there is nothing of which nobody knows how large it will be.
    """

    lines: list[str] = field(default_factory=list)
    needed: float = 0
    is_certain: bool = True


def say_plan(root: Path, plan: Plan, audit: Audit) -> int:
    """Prints a plan, and what the audit has found; the exit code that the run would have."""
    free = free_space(root)
    if plan.needed > free:
        audit.problem(
            f"{root}: needs about {say_bytes(plan.needed)}, its disk has {say_bytes(free)} free; "
            "expected more room, or a smaller --size, --fps or --quality"
        )
    least = "about" if plan.is_certain else "at least"
    needed = f"{least} {say_bytes(plan.needed)}"
    if not plan.needed:
        needed = "none" if plan.is_certain else "not known before"
    print(*plan.lines, f"room: {needed}; free in {root.parent}: {say_bytes(free)}", sep="\n")
    print(*audit.findings(), sep="\n", end="\n" if audit.findings() else "")
    print(f"{root}: nothing was written; the same command without --dry_run does it")
    return cli.DONE_IN_PART if audit.problems else cli.DONE
