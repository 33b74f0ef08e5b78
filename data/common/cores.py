"""How many threads or processes work at the same time."""

import os


def available_cores() -> int:
    """Cores that this process may use: batch systems give it fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
