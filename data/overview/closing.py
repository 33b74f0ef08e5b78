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
from data.kinds.kinds import OF_CLASSES, SMALL_CONFIG, config_for
from data.splits.manifest import MANIFEST, phase_table
from data.splits.parts import PARTS


def closing_lines(
    root: Path, audit: Audit, manifest: Mapping, kind: str, is_synthetic: bool
) -> list[str]:
    """What is printed.

    Args:
      root: dataset directory.
      audit: what was found.
      manifest: the splits.
      kind: one of `data.kinds.kinds.KINDS`.
      is_synthetic: whether it is the miniature.
    """
    is_of_classes = kind in OF_CLASSES
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
    command = _next_command(root, audit, manifest, kind, is_synthetic)
    lines.append(f"next: {shlex.join(command)}")
    if audit.problems:
        more = len(audit.problems) - 1
        lines.append(say_problem(audit.problems[0]) + (f"; and {more} more, above" if more else ""))
    if is_of_classes:
        lines.append(split_table(manifest))
    return lines


def _next_command(
    root: Path, audit: Audit, manifest: Mapping, kind: str, is_synthetic: bool
) -> list[str]:
    """The call of msn.train that pre-trains on the dataset, with batches that it can fill.

    Where there are labels, without what validates and tests; configurations of one dataset alone
    leave that out themselves.
    """
    split = manifest["protocols"][manifest["default"]]
    held_out = {video for part in PARTS[1:] for video in split[part]["videos"]}
    is_for_any = config_for(kind, is_synthetic, 0) == SMALL_CONFIG
    held_out &= audit.videos.keys() if is_for_any and audit.total("labelled") else set()
    if held_out == audit.videos.keys():
        held_out = set()  # nothing would be left
    count = "pretraining" if audit.cleaned() else "frames"
    frames = sum(of.get(count, 0) for name, of in audit.videos.items() if name not in held_out)
    config = f"configs/{config_for(kind, is_synthetic, frames)}.py"
    arguments = [f"--config={config}", f"--workdir=runs/{root.name}", f"--config.data.root={root}"]
    if held_out:
        arguments.append(f"--config.data.exclude_videos={MANIFEST}")
    batch_size = runpy.run_path(ROOT / config)["get_config"]().batch_size
    if frames < 4 * batch_size:  # some frames are not for pre-training: excluded videos, cleaning
        fitting = 2 ** int(math.log2(max(1, frames / 4)))
        arguments.append(f"--config.batch_size={fitting}")
    return ["python", "-m", "msn.train", *arguments]


def split_table(manifest: Mapping) -> str:
    """The default split of a manifest, to be printed: sequences and images of each class."""
    parts = manifest["protocols"][manifest["default"]]
    names = list(parts["train"]["classes"])
    width = max(len(name) for name in [*names, "without a label"])
    rows = [("", *PARTS)]
    for name in [*names, None]:
        cells = []
        for part in (parts[part] for part in PARTS):
            count = part["frames"] - part["labelled"] if name is None else part["classes"][name]
            cell = f"{count} images"
            if name is not None:
                cell = f"{part['sequences'][name]} sequences, {cell}"
            cells.append(cell)
        rows.append((name or "without a label", *cells))
    column = 2 + max(len(cell) for _, *cells in rows for cell in cells)
    lines = (f"{name:{width}}" + "".join(f"{c:>{column}}" for c in cells) for name, *cells in rows)
    return "\n".join([f"{manifest['default']}:", *lines])
