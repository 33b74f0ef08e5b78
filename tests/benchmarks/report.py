"""What all benchmarks share: bench.json, the printed table, and medians of repeated runs."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from data.common.errors import InputError

BENCH_FILE = Path("bench.json")
# Has requirements-bench.txt; BENCH_PYTHON=PATH takes another.
BENCH_PYTHON = ".venv-bench/bin/python"


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


def run(name: str, measure: Callable[[], dict]) -> None:
    """Measures and reports, as a command that takes no arguments; --help says what and how."""
    argparse.ArgumentParser(
        prog=f"python -m tests.benchmarks.{name}",
        description=sys.modules[measure.__module__].__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    report(name, measure())


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


class OtherSide:
    """A module run by the Python of the other side's requirements, which does one job per line.

    It says "ready" when it has started; then it answers every line with the seconds of that job,
    and does nothing in between. So the rounds of both sides can alternate.

    Args:
      module: as `python -m` takes it, with its arguments.
    """

    def __init__(self, *module: str):
        python = os.environ.get("BENCH_PYTHON", BENCH_PYTHON)
        if not Path(python).is_file():
            raise InputError(f"{python}: not there; expected `make bench`, which installs it")
        self._process = subprocess.Popen(
            [python, "-m", *module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self):
        self._answer()
        return self

    def seconds(self, job: str) -> float:
        """Has it do a job; the seconds it took by its own clock."""
        self._process.stdin.write(f"{job}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> str:
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise RuntimeError(f"{' '.join(self._process.args)} has ended")
        return answer

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait()


def run_alone(module: str, function: str, *arguments) -> dict:
    """What a function of a benchmark returns in a fresh process; its arguments are JSON."""
    code = (
        f"import json, sys; from tests.benchmarks import {module}; "
        f"print(json.dumps({module}.{function}(*json.loads(sys.argv[1]))))"
    )
    command = [sys.executable, "-c", code, json.dumps(arguments)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def memory(key: str) -> int:
    """Bytes of this process in memory: "VmRSS" now, "VmHWM" at most since `forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition(f"{key}:")[2].split()[0])


def forget_peak() -> None:
    """Starts "VmHWM" anew (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")
