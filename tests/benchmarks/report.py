"""What all benchmarks share: bench.json, the printed table, and medians of repeated runs."""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

BENCH_FILE = Path("bench.json")


def report(name: str, result: dict) -> None:
    """Prints a result as a table and writes it to bench.json beside those of other benchmarks.

    Args:
      name: of the benchmark, the key in bench.json.
      result: what was measured: "measured", "unit", "value", "baseline" (what it is),
        "baseline_value", "ratio" (how many times better than the baseline), and whatever else.
    """
    results = json.loads(BENCH_FILE.read_text()) if BENCH_FILE.is_file() else {}
    BENCH_FILE.write_text(json.dumps(results | {name: result}, indent=2) + "\n")
    print(f"\n{name}")
    for key, value in result.items():
        shown = f"{value:.4g}" if isinstance(value, float) else value
        print(f"  {key.replace('_', ' '):<24} {shown}")


def seconds(call: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def interleaved(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call in each of several rounds, taken in turn: noise meets all alike."""
    taken = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            taken[name].append(seconds(call))
    return taken


def median_ratio(slower: list[float], faster: list[float]) -> float:
    """Median over rounds of how many times `faster` is faster than `slower`."""
    return statistics.median(s / f for s, f in zip(slower, faster, strict=True))
