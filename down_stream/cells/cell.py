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
    keys = (*GRID_KEYS, *COMPARISON_KEYS)
    own = ConfigDict({name: value for name, value in config.items() if name not in keys})
    own = own.copy_and_resolve_references()
    overrides = dict(overrides)
    own.update_from_flattened_dict(overrides | {"workdir": str(directory)})
    return Cell(facts, directory, own, overrides)


def command(start: Sequence[str], cell: Cell, is_grid: bool = True) -> str:
    """The command that runs a cell alone.

    Args:
      start: the command of the grid, in words.
      cell: of that grid.
      is_grid: whether the configuration file itself is one of a grid.
    """
    words = [word for word in start if not word.startswith(("--shard", "--sweep", "--workdir"))]
    words += [f"--config.{ENCODERS}=()"] * is_grid
    words += [
        f"--config.{key}={value if isinstance(value, str) else repr(value)}"
        for key, value in cell.overrides.items()
        if value is not None  # no cell takes a key away that the file has set
    ]
    return shlex.join([*words, f"--workdir={cell.directory}"])


def file_name(text: str) -> str:
    """A text as a part of a folder's name."""
    return re.sub(r"[^\w.,=+-]+", "-", text).strip("-.")
