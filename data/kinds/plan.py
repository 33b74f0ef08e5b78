"""A plan: what `prepare.py --dry_run` says, and what room it takes."""

from dataclasses import dataclass, field
from pathlib import Path

from data.archives.room import free_space, say_bytes
from data.dataset.audit import Audit
from data.tfrecords.packing import room_to_pack


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


def plan_packing(root: Path, megabytes: int, plan: Plan) -> None:
    """Adds the copy of all frames that `--pack` writes, of those that are there and of new ones."""
    frames, size = room_to_pack(root, megabytes)
    plan.lines.append(f"{frames} frames that are there, and all that come, are packed in a copy")
    plan.needed += size + plan.needed


def say_plan(root: Path, plan: Plan, audit: Audit) -> list[str]:
    """A plan in words, and what the audit has found; that room is missing is a problem of it."""
    free = free_space(root)
    if plan.needed > free:
        audit.problem(
            f"{root}: needs about {say_bytes(plan.needed)}, its disk has {say_bytes(free)} free; "
            "expected more room, or a smaller --size, --fps or --quality"
        )
    least = "about" if plan.is_certain else "at least"
    needed = f"{least} {say_bytes(plan.needed)}"
    if not plan.needed:
        needed = "none" if plan.is_certain else "not known beforehand"
    return [
        *plan.lines,
        f"room: {needed}; free in {root.parent}: {say_bytes(free)}",
        *audit.findings(),
        f"{root}: nothing was written; the same command without --dry_run does it",
    ]
