"""Frames packed for reading: the images of a dataset in a few large files, `packed/` beside them.

    packed.json             which videos, in which shards; written last
    places.npy              uint32 [n, 2], where each image begins in its shard, and its bytes
    frames-00000.tfrecord   tf.train.Example of "file", "frame" and "image", the file as it is
    frames-00000.parquet    of each image its file, its size and time of change when it was packed

The rows are those of the index that pre-training reads, in its order; so a row is found by two
numbers, and read by one seek, or one request to an object store. TFRecord was the fastest of three
formats that were compared; docs/data.md has the numbers.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from data.common.errors import InputError, some
from data.dataset.extraction_log import read_log
from data.dataset.frame_index import FrameIndex
from data.storage.paths import AnyPath, is_remote
from data.storage.whole import write_json

PACKED = "packed"
MANIFEST, PLACES = "packed.json", "places.npy"
CHANGED = "changed"  # in place of a digest: of a video whose images were replaced since
ADVICE = "expected: the same prepare.py again, with --pack"


@dataclass(frozen=True, eq=False)
class Pack:
    """The packed frames of a dataset directory.

    Attributes:
      shards: the files.
      firsts: int64 [shards + 1], their first rows, and how many rows there are.
      places: uint32 [n, 2], where an image begins in its shard, and how many bytes it has.
      starts: {video: its first row}.
      digests: {video: what `digests_of` said of it}.
      extracted: {video: what `extractions` said of it}.
    """

    shards: tuple[AnyPath, ...]
    firsts: np.ndarray
    places: np.ndarray
    starts: Mapping[str, int]
    digests: Mapping[str, str]
    extracted: Mapping[str, str]

    def place(self, row: int) -> tuple[AnyPath, int, int]:
        """The shard of a row, where its image begins there, and how many bytes it has."""
        shard = int(np.searchsorted(self.firsts, row, side="right")) - 1
        begin, length = self.places[row].tolist()
        return self.shards[shard], begin, length


def open_pack(root: AnyPath) -> Pack:
    """Opens `root/packed`; of a local one, only what is used of the places is in memory.

    Raises:
      InputError: there is none, or it is incomplete or damaged.
    """
    folder = root / PACKED
    path = folder / MANIFEST
    if not path.is_file():
        why = "packed in part" if folder.is_dir() else "its frames are not packed"
        raise InputError(f"{root}: no {PACKED}/{MANIFEST} in it, {why}; {ADVICE}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        counts = [shard["frames"] for shard in content["shards"]]
        names = [shard["file"] for shard in content["shards"]]
        videos = {video: int(noted["frames"]) for video, noted in content["videos"].items()}
        digests = {video: noted["digest"] for video, noted in content["videos"].items()}
        extracted = {v: noted["extracted"] for v, noted in content["videos"].items()}
        places = _load_places(folder / PLACES)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: damaged, or {PLACES} beside it; {ADVICE}") from error
    if not sum(counts) == sum(videos.values()) == len(places):
        raise InputError(
            f"{path}: {sum(counts)} frames in shards, {sum(videos.values())} of videos, "
            f"{len(places)} in {PLACES}; {ADVICE}"
        )
    there = {file.name for file in folder.iterdir()}
    if missing := [name for name in names if name not in there]:
        raise InputError(f"{folder}: no {some(missing)} in it; {ADVICE}")
    return Pack(
        shards=tuple(folder / name for name in names),
        firsts=np.cumsum([0, *counts], dtype=np.int64),
        places=places,
        starts=dict(zip(videos, np.cumsum([0, *videos.values()]).tolist(), strict=False)),
        digests=digests,
        extracted=extracted,
    )


def _load_places(path: AnyPath) -> np.ndarray:
    if is_remote(path):
        return np.load(io.BytesIO(path.read_bytes()))
    return np.asarray(np.load(path, "r"))  # still the file: another class takes longer to index


def check_pack(root: AnyPath, pack: Pack, digests: Mapping[str, str]) -> None:
    """Raises `InputError` where videos have other frames now than when they were packed.

    Args:
      root: the dataset directory.
      pack: its packed frames.
      digests: `digests_of` the index, or of a part of its videos.
    """
    if other := other_videos(root, pack, digests):
        raise InputError(
            f"{root / PACKED}: not the frames that there are now of {some(other)}; {ADVICE}"
        )


def other_videos(root: AnyPath, pack: Pack, digests: Mapping[str, str]) -> list[str]:
    """The videos of which other frames are packed than there are now."""
    now = extractions(root)
    return [
        video
        for video, digest in digests.items()
        if pack.digests.get(video) != digest
        or now.get(video, pack.extracted[video]) != pack.extracted[video]
    ]


def digests_of(index: FrameIndex, roots: Mapping[str, AnyPath]) -> dict[str, str]:
    """A hash of the files of each video, by their numbers and names: {video: digest}.

    Args:
      index: of one dataset or of several.
      roots: {video: its dataset directory}; where that lies makes no difference.
    """
    bounds = np.searchsorted(index.video, np.arange(len(index.videos) + 1))
    digests = {}
    for place, video in enumerate(index.videos):
        rows = slice(bounds[place], bounds[place + 1])
        used, codes = np.unique(index.template[rows], return_inverse=True)
        prefix = len(str(roots[video].absolute()).replace("{", "{{").replace("}", "}}")) + 1
        names = [index.templates[int(template)] for template in used]
        names = [str(name)[prefix:] for name in names]
        digest = hashlib.sha256(json.dumps(names).encode())
        digest.update(index.frame[rows].tobytes())
        if len(used) > 1:
            digest.update(codes.astype(np.int32).tobytes())
        digests[video] = digest.hexdigest()[:32]
    return digests


def extractions(root: AnyPath) -> dict[str, str]:
    """A hash of which file each video was extracted from, and how; none where nothing tells."""
    log = read_log(root / "frames")
    how = [log.get(name) for name in ("fps", "format", "quality", "size")]

    def said(noted):
        which = [noted.get(name) for name in ("frames", "bytes", "content")]
        return hashlib.sha256(json.dumps([how, which]).encode()).hexdigest()[:32]

    return {video: said(noted) for video, noted in log["videos"].items()}


def mark_changed(root: AnyPath, videos: list[str]) -> None:
    """Notes that images of these videos were replaced, which their names do not tell."""
    path = root / PACKED / MANIFEST
    content = json.loads(path.read_text(encoding="utf-8"))
    for video in videos:
        if video in content["videos"]:
            content["videos"][video]["digest"] = CHANGED
    write_json(path, content)
