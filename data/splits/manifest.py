"""The manifest of a data set's splits, `splits.json`: what each part has, written and read."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from data.common.errors import InputError
from data.splits.parts import PARTS
from data.storage.paths import AnyPath

MANIFEST = "splits.json"


def describe_part(
    videos: Sequence[str], counts: Mapping[str, np.ndarray], kind: str, classes: Sequence[str]
) -> dict:
    """What the manifest says about a part: its videos and, under `kind`, its frames by class.

    Args:
      videos: names, some of which may be absent from the data set.
      counts: {video: int64 [len(classes) + 1]}, frames by class; the last have none.
      kind: "phases" or "classes".
      classes: their names.
    """
    here = [video for video in videos if video in counts]
    total = sum((counts[video] for video in here), np.zeros(len(classes) + 1, np.int64))
    return {
        "videos": here,
        "absent": [video for video in videos if video not in counts],
        "frames": int(total.sum()),
        "labelled": int(total[:-1].sum()),
        kind: dict(zip(classes, total[:-1].tolist(), strict=True)),
    }


def phase_table(manifest: Mapping) -> str:
    """The phases in the default split of a manifest, to be printed: frames of each part."""
    parts = manifest["protocols"][manifest["default"]]
    names = list(parts["train"]["phases"])
    if not names:
        return "phases: none are annotated"
    width = max(map(len, (*names, "phase")))
    lines = [f"{'phase':{width}}" + "".join(f"{part:>12}" for part in PARTS)]
    for name in names:
        cells = "".join(f"{parts[part]['phases'][name]:>12}" for part in PARTS)
        lines.append(f"{name:{width}}{cells}")
    return "\n".join(lines)


def default_split(root: AnyPath) -> dict:
    """The default protocol of a dataset's manifest; raises `InputError` where there is none."""
    path = root / MANIFEST
    try:
        manifest = json.loads(path.read_text())
        split = manifest["protocols"][manifest["default"]]
        for part in PARTS:
            list(split[part]["videos"])
        return split
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not there or damaged ({type(error).__name__}); prepare.py writes it"
        ) from error


def with_held_out(names: Iterable[str], roots: Iterable[AnyPath]) -> frozenset[str]:
    """Names, with what the manifests of datasets validate and test in place of `MANIFEST`."""
    names = frozenset(names)
    if MANIFEST not in names:
        return names
    splits = [default_split(root) for root in roots]
    held_out = {v for of in splits for part in PARTS[1:] for v in of[part]["videos"]}
    return names - {MANIFEST} | held_out


def drawn_before(root: Path, protocol: str) -> dict[str, list[str]] | None:
    """The videos of each part of a split that the manifest of a dataset has; None without one."""
    try:
        parts = json.loads((root / MANIFEST).read_text())["protocols"][protocol]
        return {part: sorted(parts[part]["videos"]) for part in PARTS}
    except (OSError, ValueError, KeyError, TypeError):
        return None
