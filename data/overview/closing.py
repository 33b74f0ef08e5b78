"""What `prepare.py` says at its end: what there is now, what to do next, what was not used."""

import math
import runpy
import shlex
from collections.abc import Mapping
from pathlib import Path

from data.common.configurations import ROOT
from data.common.errors import say_problem
from data.dataset.audit import Audit
from data.dataset.classes import read_classes
from data.dataset.splits import phase_table
from data.image_classes.writing import split_table


def closing_lines(
    root: Path, audit: Audit, manifest: Mapping, is_of_classes: bool, config: str
) -> list[str]:
    """What is printed.

    Args:
      root: dataset directory.
      audit: what was found.
      manifest: the splits.
      is_of_classes: whether it is a dataset of images in classes, not of videos.
      config: the configuration that pre-trains on such a dataset.
    """
    counts = f"{len(audit.videos)} {'sequences' if is_of_classes else 'videos'}"
    counts += f", {audit.total('frames')} frames"
    lines = [audit.table()]
    lines.append(f"\n{root}: {counts}, {audit.total('labelled')} of them labelled")
    if not is_of_classes:
        lines.append(phase_table(manifest))
        for group, names in read_classes(root).multi_label.items():
            lines.append(f"{group}: {', '.join(names)}")
    if audit.cleaned():
        lines.append(f"{root}: {audit.total('pretraining')} frames are left for pre-training")
    frames = audit.total("pretraining") if audit.cleaned() else audit.total("frames")
    lines.append(f"next: {shlex.join(_next_command(root, frames, f'configs/{config}.py'))}")
    if audit.problems:
        more = len(audit.problems) - 1
        lines.append(say_problem(audit.problems[0]) + (f"; and {more} more, above" if more else ""))
    if is_of_classes:
        lines.append(split_table(manifest))
    return lines


def _next_command(root: Path, frames: int, config: str) -> list[str]:
    """The call of msn.train that pre-trains on the dataset, with batches that it can fill."""
    arguments = [f"--config={config}", f"--workdir=runs/{root.name}", f"--config.data.root={root}"]
    batch_size = runpy.run_path(ROOT / config)["get_config"]().batch_size
    if frames < 4 * batch_size:  # some frames are not for pre-training: excluded videos, cleaning
        fitting = 2 ** int(math.log2(max(1, frames / 4)))
        arguments.append(f"--config.batch_size={fitting}")
    return ["python", "-m", "msn.train", *arguments]
