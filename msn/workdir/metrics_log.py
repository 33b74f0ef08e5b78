"""The log of a run: metrics.jsonl and TensorBoard events."""

import contextlib
import json
import math
import time
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from data.common.errors import InputError, one_line
from data.common.logs import logger
from data.common.machine import available_cores
from data.storage.paths import AnyPath
from msn.workdir.events import Events
from msn.workdir.metrics_file import METRICS, open_metrics

ROUNDING = 1e-6  # singular values below are noise of embeddings of length 1 in float32
MUCH_WAITING, OFTEN = 0.1, 3  # a share of the time, so many times in a row: reading is too slow


class MetricsLog:
    """Context that writes metrics to metrics.jsonl and to TensorBoard events.

    The device is waited for in `failure` and `write` alone: the values of the steps between are
    left where they are.

    Args:
      workdir: the run directory.
      batch_size: for images per second.
      first_step: where the run goes on; lines of later steps are of a run that was cut off.
    """

    def __init__(self, workdir: AnyPath, batch_size: int, first_step: int):
        self.path, self.events_path = workdir / METRICS, workdir / "events"
        self.batch_size, self.first_step = batch_size, first_step
        self._slow = []  # shares of waiting, one after the other, that were too much

    def __enter__(self):
        with self._named_errors():
            self._lines, self._events = open_metrics(self.path), Events(self.events_path)
        self.rewind(self.first_step)
        return self

    def __exit__(self, *_):
        with contextlib.suppress(
            OSError, tf.errors.OpError
        ):  # a full disk, which `sync` has reported
            self._lines.close()
            self._events.close()

    def rewind(self, step: int) -> None:
        """Forgets everything after a step: the run goes on from there."""
        self._lines.rewind(step)
        with self._named_errors():
            self._events.hide_after(step)
        self._pending = []
        self.restart_clock()
        self._since = None  # until the first step is compiled

    def restart_clock(self) -> None:
        """Speed and waiting are measured from here on: what came before was no training."""
        self._since, self._waited, self._steps = time.monotonic(), 0.0, 0

    def wait_for(self, batches: Iterator):
        """The next batch; the time until it is there counts as waiting for input."""
        start = time.monotonic()
        batch = next(batches)
        self._waited += time.monotonic() - start
        return batch

    def add(self, step: int, metrics: dict, schedule: dict) -> None:
        """Takes what `msn.method.model.MSN.train_step` returned in a step, and its schedule."""
        if self._pending:  # the matrix of a step that will not be written
            self._pending[-1][1].pop("embedding_covariance", None)
        self._pending.append((step, metrics, schedule))
        self._steps += 1

    def failure(self) -> tuple[int, str] | None:
        """The first step since the last call that was not finite, and its terms; else None."""
        pending, self._pending = self._pending, self._pending[-1:]
        for step, metrics, _ in pending:
            if not float(metrics["updated"]):
                wrong = [n for n, v in metrics.items() if not np.isfinite(v).all()]
                return step, ", ".join(wrong)
        return None

    def write(self, extra: dict | None = None) -> dict:
        """Logs the last step that was added, and returns its values as floats.

        Args:
          extra: more values, by name.

        Raises:
          InputError: the disk is full.
        """
        step, metrics, schedule = self._pending[-1]
        metrics = {name: np.asarray(value) for name, value in metrics.items() if name != "updated"}
        values = spread(metrics.pop("embedding_covariance"))
        values |= {name: float(value) for name, value in metrics.items()} | schedule
        values |= self._speed() | (extra or {})
        with self._named_errors():
            self._lines.append(json.dumps({"step": step} | values).encode() + b"\n")
            self._events.add(step, values)
        return values

    def sync(self) -> None:
        """Brings all lines to the disk: a checkpoint must not outlive the lines before it."""
        with self._named_errors():
            self._lines.sync()
            self._events.sync()

    @contextlib.contextmanager
    def _named_errors(self):
        """Context that turns what a full disk raises into `InputError`."""
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            raise InputError(
                f"{self.path.parent}: metrics cannot be written ({one_line(error)}); the same "
                "command goes on from the last checkpoint"
            ) from error

    def _speed(self) -> dict:
        """Since the last time; not of the first steps, in which the step is compiled."""
        speed = {}
        if self._since is not None:
            seconds = time.monotonic() - self._since
            speed["images_per_second"] = self._steps * self.batch_size / seconds
            speed["waiting_for_input"] = self._waited / seconds
            self._name_bottleneck(speed["waiting_for_input"])
        self.restart_clock()
        return speed

    def _name_bottleneck(self, waiting: float) -> None:
        """Says, once in a run, that training waits for frames, and what helps."""
        if len(self._slow) == OFTEN:
            return
        self._slow = [*self._slow, waiting] if waiting > MUCH_WAITING else []
        if len(self._slow) == OFTEN:
            logger.warning(
                "reading frames is the bottleneck: %.0f %% of the time training waits for them, "
                "with %d cores. What helps: more cores; smaller frames (prepare.py --size=480), as "
                "JPEG; extracted frames instead of videos; data on a disk of this machine",
                *(100 * sum(self._slow) / OFTEN, available_cores()),
            )


def headline(values: dict) -> dict[str, str]:
    """The values of a step that a progress bar has room for, formatted."""
    shown = {
        "loss": f"{values['loss']:.3f}",
        "prototypes": f"{values['prototypes_used']:.0f}",
        "rank": f"{values['effective_rank']:.1f}",
        "input": f"{values.get('waiting_for_input', 0):.0%}",
    }
    for name, short in (
        ("knn_macro_f1", "knn"),
        ("knn_average_precision", "knn"),
        ("source_knn", "source"),
    ):
        if name in values:
            shown[short] = f"{values[name]:.1%}"
    if "source_chance" in values:
        shown["source"] += f" (chance {values['source_chance']:.1%})"
    return shown


def spread(covariance: np.ndarray) -> dict[str, float]:
    """How far embeddings of length 1 spread: near 0 and few dimensions when they collapse.

    Args:
      covariance: [d, d].

    Returns:
      "embedding_std": mean standard deviation of a dimension times sqrt(d): 1 when they are all
      over the sphere, 0 when all are the same (Chen and He, arXiv 2011.10566, section 4.1).
      "effective_rank": exp of the entropy of the normalised singular values, 1..d (Roy and
      Vetterli, EUSIPCO 2007); 0 when all embeddings are the same.
    """
    covariance = np.asarray(covariance, np.float64)
    deviations = np.sqrt(np.maximum(np.diag(covariance), 0))
    singular = np.sqrt(np.maximum(np.linalg.eigvalsh(covariance), 0))
    singular = singular[singular > ROUNDING]
    share = singular / singular.sum()
    rank = np.exp(-np.sum(share * np.log(share))) if len(share) else 0.0
    return {
        "embedding_std": float(deviations.mean() * math.sqrt(len(deviations))),
        "effective_rank": float(rank),
    }
