"""The manifest of a data set's splits: which videos train, validate and test, and what they hold.

Cholec80 gets the published protocols (`data/dataset/cholec80.py`). Every other data set gets one
split, drawn by video from a seed. No recording is in two splits of a protocol; that two videos are
of one patient can only the user know.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from data.common.errors import InputError
from data.dataset.cholec80 import DEFAULT_SPLIT, PHASES, SPLITS
from data.dataset.frame_index import INDEX
from data.dataset.overlaps import SYNTHETIC, identity
from data.images.names import natural_key
from data.storage.whole import whole_file

MANIFEST = "splits.json"
DRAWN = "70/10/20 by video"  # per cent of the recordings
PARTS = ("train", "validation", "test")


def write_splits(root: str | Path) -> dict:
    """Writes `root/splits.json`, from the index of the data set.

    Returns:
      {"default": name, "protocols": {name: {"train": part, "validation": part, "test": part}}},
      where a part has its "videos"; "absent", those of the published split that are not here;
      "frames", "labelled" and, by name, "phases", numbers of frames.

    Raises:
      InputError: a recording would be in two splits.
    """
    root = Path(root)
    counts = count_phases(root)
    videos = sorted(counts, key=natural_key)
    default, protocols = choose_protocols(root, videos)
    for name, split in protocols.items():
        check_disjoint(name, split)
    manifest = {
        "default": default,
        "protocols": {
            name: {part: _describe(split[part], counts) for part in PARTS}
            for name, split in protocols.items()
        },
    }
    with whole_file(root / MANIFEST) as side:
        side.write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


def choose_protocols(root: Path, videos: Sequence[str]) -> tuple[str, dict]:
    """The name of the default protocol of a data set, and all of its protocols by name."""
    published = {video for part in SPLITS[DEFAULT_SPLIT].values() for video in part}
    if set(videos) <= published and not (root / SYNTHETIC).is_file():
        return DEFAULT_SPLIT, dict(SPLITS)
    return DRAWN, {DRAWN: draw_split(videos)}


def count_phases(root: Path) -> dict[str, np.ndarray]:
    """{video: int64 [8]}, its frames by phase id; the last are those without a phase."""
    table = pq.read_table(root / INDEX, columns=["video", "phase"], read_dictionary=["video"])
    groups = table.group_by(["video", "phase"]).aggregate([([], "count_all")]).to_pydict()
    counts = {video: np.zeros(len(PHASES) + 1, np.int64) for video in groups["video"]}
    for video, phase, count in zip(*groups.values(), strict=True):
        counts[video][phase] = count  # unknown is -1, the last
    return counts


def draw_split(videos: Iterable[str], seed: int = 0) -> dict[str, tuple[str, ...]]:
    """Splits videos at random, in the proportions of `DRAWN`, the names of a recording together.

    The order is that of a hash of seed and recording: the same on every machine, whatever the order
    of `videos`. Two recordings or more have one to test, three or more one to validate.
    """
    recordings = {}
    for video in videos:
        recordings.setdefault(identity(video), []).append(video)
    order = sorted(recordings, key=lambda one: hashlib.sha256(f"{seed}:{one}".encode()).digest())
    test = max(round(0.2 * len(order)), len(order) >= 2)
    validation = max(round(0.1 * len(order)), len(order) >= 3)
    cut = {
        "train": order[test + validation :],
        "validation": order[test : test + validation],
        "test": order[:test],
    }
    return {
        part: tuple(
            sorted((video for one in cut[part] for video in recordings[one]), key=natural_key)
        )
        for part in PARTS
    }


def check_disjoint(name: str, split: Mapping[str, Iterable[str]]) -> None:
    """Raises `InputError` if a recording is in two parts of a split, under whatever names."""
    seen = {}  # recording -> (video, part)
    for part, videos in split.items():
        for video in videos:
            first, where = seen.setdefault(identity(video), (video, part))
            if where != part:
                called = video if video == first else f"{first}, which is {video},"
                raise InputError(
                    f"split {name}: {called} is in {where} and in {part}; one recording, one part"
                )


def _describe(videos: Sequence[str], counts: Mapping[str, np.ndarray]) -> dict:
    here = [video for video in videos if video in counts]
    total = sum((counts[video] for video in here), np.zeros(len(PHASES) + 1, np.int64))
    return {
        "videos": here,
        "absent": [video for video in videos if video not in counts],
        "frames": int(total.sum()),
        "labelled": int(total[:-1].sum()),
        "phases": dict(zip(PHASES, total[:-1].tolist(), strict=True)),
    }
