"""What a run tells while it runs: a progress bar, metrics.jsonl and TensorBoard events."""

import json
import math
import sys
import time
from pathlib import Path

import tensorflow as tf
from tqdm import tqdm

from data.errors import InputError


def progress_bar(first_step: int, total_steps: int) -> tqdm:
    """A bar with images per second and time left; where nobody looks, a line now and then."""
    interval = 0.5 if sys.stderr.isatty() else 15
    return tqdm(
        total=total_steps,
        initial=first_step,
        desc="pre-training",
        unit="step",
        mininterval=interval,
        maxinterval=4 * interval,
    )


def require_finite(loss, step: int) -> None:
    """Raises `InputError` if the loss of a step is not finite."""
    if not math.isfinite(float(loss)):
        raise InputError(
            f"the loss is {float(loss)} at step {step}: lower optimizer.learning_rate; the "
            "checkpoints of earlier steps are kept"
        )


class MetricsLog:
    """Context that writes metrics to metrics.jsonl and to TensorBoard events, every n-th step.

    Args:
      workdir: the run directory.
      every: log every so many steps.
      batch_size: for images per second.
      first_step: where the run goes on; lines of later steps are of a run that was cut off.
    """

    def __init__(self, workdir: Path, every: int, batch_size: int, first_step: int):
        self.path, self.events_path = workdir / "metrics.jsonl", workdir / "events"
        self.every, self.batch_size, self.first_step = every, batch_size, first_step

    def __enter__(self):
        lines = self.path.read_text().splitlines() if self.path.is_file() else []
        kept = [line for line in lines if _step_of(line) <= self.first_step]
        self.path.write_text("".join(line + "\n" for line in kept))
        self._lines = self.path.open("a")
        self._events = tf.summary.create_file_writer(str(self.events_path))
        self._before = None
        return self

    def __exit__(self, *_):
        self._lines.close()
        self._events.close()

    def write(self, step: int, metrics: dict, schedule: dict, last: bool) -> dict | None:
        """Logs a step if its turn has come and returns its values as floats, else None.

        Only then the device is waited for.
        """
        if step % self.every and not last:
            return None
        require_finite(metrics["loss"], step)
        values = {name: float(value) for name, value in metrics.items()} | schedule
        now = time.monotonic()
        if self._before is not None:
            before, before_step = self._before
            images = (step - before_step) * self.batch_size
            values["images_per_second"] = images / (now - before)
        self._before = now, step
        self._lines.write(json.dumps({"step": step} | values) + "\n")
        self._lines.flush()
        with self._events.as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, step=step)
        return values


def _step_of(line: str) -> float:
    """The step that a line of metrics.jsonl is about; infinite for half a line of a killed run."""
    try:
        return json.loads(line)["step"]
    except ValueError:
        return math.inf
