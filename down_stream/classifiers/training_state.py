"""What fine-tuning needs to go on where it was stopped, in memory and in files."""

import json

import keras
import numpy as np

from data.storage.paths import AnyPath
from msn.workdir.checkpoint_files import read_newest, read_state, save_state

KEPT_FILES = 2  # the newest, and one to fall back on should it be damaged


class TrainingState:
    """Variables of a model and its optimizer, how far training is, and the best epoch so far.

    Args:
      variables: list of the Keras variables that training changes.
      optimizer: a Keras optimizer that is built.
      score: name in the history by which epochs are compared, higher is better; without it the
        last epoch is the best.

    Attributes:
      step: updates done.
      sums: {"loss", "accuracy"}: over the steps of the epoch so far.
      history: {name: one value per finished epoch}.
      best_epoch: index of the best one, None before the end of the first.
      unreadable: rows that could not be read, in this start or those before it.
    """

    def __init__(self, variables, optimizer, score: str, unreadable: set[int] | None = None):
        self.variables = list(variables)
        self.optimizer = optimizer
        self.score = score
        self.step = 0
        self.history: dict[str, list[float]] = {}
        self.best_epoch: int | None = None
        self.unreadable = set() if unreadable is None else unreadable
        self._best = [np.zeros(variable.shape, np.float32) for variable in self.variables]
        self.clear_sums()

    def clear_sums(self) -> None:
        """Begins an epoch."""
        self.sums = {"loss": np.float32(0), "accuracy": np.float32(0)}

    def add(self, loss, accuracy) -> None:
        """Counts an update, whose loss and accuracy stay on the device."""
        self.sums = {
            "loss": self.sums["loss"] + loss,
            "accuracy": self.sums["accuracy"] + accuracy,
        }
        self.step += 1

    def finish_epoch(self, values: dict[str, float]) -> None:
        """Appends values to the history; keeps the variables if they are the best so far."""
        for name, value in values.items():
            self.history.setdefault(name, []).append(float(value))
        epoch = len(self.history["loss"]) - 1
        scores = self.history.get(self.score)
        # NaN is less than any score; where all are NaN, the last epoch counts.
        if self.best_epoch is None or not scores or not scores[self.best_epoch] >= scores[-1]:
            self.best_epoch = epoch
            self._best = [keras.ops.convert_to_numpy(variable) for variable in self.variables]
        self.clear_sums()

    def take_best(self) -> None:
        """Sets the variables to those of the best epoch."""
        for variable, value in zip(self.variables, self._best, strict=True):
            variable.assign(value)

    def save(self, directory: AnyPath) -> None:
        """Writes a file that `restore` goes on from, and removes those before the last.

        Raises:
          InputError: it cannot be written, as on a full disk; those before it are as they were.
        """
        progress = {
            "step": self.step,
            "sums": {name: float(value) for name, value in self.sums.items()},
            "history": self.history,
            "best_epoch": self.best_epoch,
            "unreadable": sorted(self.unreadable),
        }
        arrays = {name: keras.ops.convert_to_numpy(v) for name, v in self._variables().items()}
        arrays |= {f"best/{place}": value for place, value in enumerate(self._best)}
        save_state(directory, self.step, arrays, {"progress": json.dumps(progress)}, KEPT_FILES)

    def restore(self, directory: AnyPath) -> None:
        """Goes on from the newest file that is whole; does nothing where there is none.

        Raises:
          InputError: there are files, but none that can be used.
        """
        read_newest(directory, self._restore_from)

    def _restore_from(self, path):
        variables = self._variables()
        best = {f"best/{place}": value for place, value in enumerate(self._best)}
        shapes = {name: tuple(value.shape) for name, value in (variables | best).items()}
        values, metadata = read_state(path, shapes)
        for name, variable in variables.items():
            variable.assign(values[name])
        self._best = [values[name] for name in best]
        progress = json.loads(metadata["progress"])
        self.step, self.history = progress["step"], progress["history"]
        self.best_epoch = progress["best_epoch"]
        self.unreadable.update(progress.get("unreadable", ()))  # an earlier version had none
        self.sums = {name: np.float32(value) for name, value in progress["sums"].items()}

    def _variables(self):
        groups = {"model": self.variables, "optimizer": self.optimizer.variables}
        return {
            f"{group}/{place}": variable
            for group, variables in groups.items()
            for place, variable in enumerate(variables)
        }
