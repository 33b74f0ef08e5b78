"""A cell of a grid: one experiment, which is one shared configuration with some keys of its own."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

# Keys that make a configuration a grid; no experiment has them. That it is none: ENCODERS is ().
ENCODERS = "encoders"
GRID_KEYS = (ENCODERS, "baseline", "fractions", "numbers", "seeds")
COMPARISON_KEYS = ("modes", "feature_kinds", "settings")
# Flags of down_stream/main.py that win over these keys, and set no other.
FLAGS = {"model": "model.variant", "optimizer": "optimizer.name"}


@dataclass(frozen=True)
class Cell:
    """One experiment of a grid.

    Attributes:
      facts: what it stands for, such as {"encoder": "msn", "videos": 5, "seed": 0}.
      directory: of its results.
      overrides: {dotted key: value}, what it has beside the shared configuration.
      config: of the experiment.
    """

    facts: Mapping[str, Any]
    directory: Path
    config: ConfigDict
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of its directory."""
        return self.directory.name


def make_cell(
    config: ConfigDict, overrides: Mapping[str, Any], facts: Mapping[str, Any], directory: Path
) -> Cell:
    """The cell of a grid's configuration with these keys changed; its workdir is `directory`."""
    own = without_grid_keys(config)
    overrides = dict(overrides)
    own.update_from_flattened_dict(overrides | {"workdir": str(directory)})
    return Cell(facts, directory, own, overrides)


def without_grid_keys(config: ConfigDict) -> ConfigDict:
    """A copy of a grid's configuration as an experiment has it."""
    keys = (*GRID_KEYS, *COMPARISON_KEYS)
    own = ConfigDict({name: value for name, value in config.items() if name not in keys})
    return own.copy_and_resolve_references()


def command(start: Sequence[str], cell: Cell) -> str:
    """The command that runs a cell alone.

    What it sets is not set by the words of the grid, too: tuples that are given twice add up.

    Args:
      start: the command of the grid, in words.
      cell: of that grid.
    """
    dropped = {"shard", "workdir", "config.workdir"}
    dropped |= {f"config.{key}" for key in (*GRID_KEYS, *COMPARISON_KEYS, *cell.overrides)}
    dropped |= {flag for flag, key in FLAGS.items() if key in cell.overrides}
    words = [*_without(start, dropped), f"--config.{ENCODERS}=()"]
    words += [
        f"--config.{key}={value if isinstance(value, str) else repr(value)}"
        for key, value in cell.overrides.items()
        if value is not None  # no cell takes a key away that the file has set
    ]
    return shlex.join([*words, f"--workdir={cell.directory}"])


def _without(words: Sequence[str], names: set[str]) -> list[str]:
    """The words of a command without these flags, or parts of them, and without their values."""
    kept, rest = [], iter(words)
    for word in rest:
        flag = re.match(r"--?(\w[\w.]*)(?:\[\d+\])?(=?)", word)
        parts = flag[1].split(".") if flag else []
        if not names & {".".join(parts[:number]) for number in range(1, len(parts) + 1)}:
            kept.append(word)
        elif not flag[2]:
            next(rest, None)  # its value is a word of its own
    return kept
