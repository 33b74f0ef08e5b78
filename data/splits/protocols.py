"""Which splits a data set of videos has: which videos train, validate and test.

Cholec80 gets the published protocols (`data/dataset/cholec80.py`), and so do other public datasets
(`protocols.json`, written by `data/public_datasets`). Every other data set gets one split, drawn by
video from a seed. No operation is in two splits of a protocol.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from data.dataset.cholec80 import DEFAULT_SPLIT, SPLITS
from data.dataset.classes import read_classes
from data.dataset.index_columns import INDEX
from data.images.names import natural_key
from data.splits.drawing import DRAWN, draw_split
from data.splits.manifest import MANIFEST, describe_part, drawn_before
from data.splits.overlaps import SYNTHETIC
from data.splits.parts import PARTS, check_disjoint
from data.splits.patients import read_patients
from data.storage.folders import local_copy
from data.storage.paths import AnyPath
from data.storage.whole import write_json

PROTOCOLS = "protocols.json"  # published splits, {name: {part: videos}}, the default first


def write_splits(root: AnyPath) -> dict:
    """Writes `root/splits.json`, from the index of the data set.

    Returns:
      {"default": name, "protocols": {name: {"train": part, "validation": part, "test": part}}},
      where a part has its "videos"; "absent", those of the published split that are not here;
      "frames", "labelled" and, by name, "phases", numbers of frames.

    Raises:
      InputError: an operation would be in two splits.
    """
    phases = read_classes(root).phases
    counts = count_phases(root, len(phases))
    videos = sorted(counts, key=natural_key)
    default, protocols = choose_protocols(root, videos)
    for name, split in protocols.items():
        check_disjoint(name, split)
    manifest = {
        "default": default,
        "protocols": {
            name: {part: describe_part(split[part], counts, "phases", phases) for part in PARTS}
            for name, split in protocols.items()
        },
    }
    write_json(root / MANIFEST, manifest)
    return manifest


def choose_protocols(root: Path, videos: Sequence[str]) -> tuple[str, dict]:
    """The name of the default protocol of a data set, and all of its protocols by name."""
    if (root / PROTOCOLS).is_file():
        protocols = json.loads((root / PROTOCOLS).read_text())
        return next(iter(protocols)), protocols
    published = {video for part in SPLITS[DEFAULT_SPLIT].values() for video in part}
    if set(videos) <= published and not (root / SYNTHETIC).is_file():
        return DEFAULT_SPLIT, dict(SPLITS)
    patients, before = read_patients(root), drawn_before(root, DRAWN)
    return DRAWN, {DRAWN: draw_split(videos, patients=patients, before=before)}


def write_protocols(root: Path, protocols: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    """Notes the published splits of a data set, {name: {part: videos}}, the default first."""
    write_json(root / PROTOCOLS, protocols)


def count_phases(root: Path, number: int) -> dict[str, np.ndarray]:
    """{video: int64 [number + 1]}, its frames by phase id; the last are those without a phase."""
    counts: dict[str, np.ndarray] = {}
    with local_copy(root / INDEX) as path, pq.ParquetFile(path, read_dictionary=["video"]) as index:
        for group in range(index.num_row_groups):  # tens of millions of rows would take gigabytes
            table = index.read_row_group(group, ["video", "phase"]).unify_dictionaries()
            videos, phases = (column.combine_chunks() for column in table.columns)
            # By DLPack, for Arrow's `to_numpy` imports pandas, which takes most of a second.
            ids = np.from_dlpack(phases).astype(np.int64) % (number + 1)  # unknown is -1, the last
            cells = np.from_dlpack(videos.indices) * (number + 1) + ids
            size = (len(videos.dictionary), number + 1)
            found = np.bincount(cells, minlength=size[0] * size[1]).reshape(size)
            for video, row in zip(videos.dictionary.to_pylist(), found, strict=True):
                counts[video] = counts.get(video, 0) + row
    return counts
