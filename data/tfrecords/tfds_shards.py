"""The record files of a prepared TensorFlow Datasets directory, and where each frame lies."""

import json
from collections.abc import Sequence

import numpy as np

from data.common.errors import InputError
from data.images.names import natural_key
from data.storage.paths import AnyPath
from data.tfrecords.offsets import integer, read_small_features, real

TFDS_INFO = "dataset_info.json"
FORMATS = ("tfrecord", "array_record")


def list_shards(root: AnyPath) -> list[AnyPath]:
    """The record files of a prepared TFDS dataset."""
    path = root / TFDS_INFO
    if not path.is_file():
        raise InputError(
            f"{root}: no {TFDS_INFO} in it; expected the folder that `tfds build` ends with, "
            "like endoscopic_frames/cholec80/1.0.0"
        )
    try:
        info = json.loads(path.read_text())
        format = info.get("fileFormat")
        expected = sum(len(split["shardLengths"]) for split in info["splits"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: damaged; build the dataset again") from error
    format = format or "tfrecord"
    if format not in FORMATS:
        raise InputError(
            f"{root}: files of format {format}; build it with --file_format=tfrecord, or "
            "array_record"
        )
    shards = sorted(root.glob(f"*.{format}-*-of-*"))
    if len(shards) != expected or not shards:
        raise InputError(f"{root}: {len(shards)} of {expected} record files; build it again")
    return shards


def read_shards(shards: Sequence[AnyPath]) -> dict[str, np.ndarray]:
    """Where each frame lies, sorted by video and frame number."""
    videos = {}  # name -> position, in the order of appearance
    columns = ("video", "frame", "shard", "begin", "length", "second")
    kinds = np.dtype(list(zip(columns, ("i4", "i4", "i4", "i8", "i8", "f4"), strict=True)))

    def rows(number, shard):
        for begin, length, stored in read_small_features(shard, ("video", "frame", "second")):
            video = videos.setdefault(stored["video"].decode(), len(videos))
            frame, second = integer(stored["frame"]), real(stored["second"])
            yield video, frame, number, begin, length, second

    table = np.concatenate([np.fromiter(rows(*numbered), kinds) for numbered in enumerate(shards)])
    names = sorted(videos, key=natural_key)
    table["video"] = np.argsort([videos[name] for name in names])[table["video"]]
    table = table[np.lexsort((table["frame"], table["video"]))]
    return {
        "names": np.array(names, np.str_),
        "counts": np.bincount(table["video"]).astype(np.int64),
        **{name: table[name].copy() for name in ("shard", "begin", "length", "second")},
    }
