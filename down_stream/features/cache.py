"""Features of frozen encoders, computed once and kept: one file per encoder and video.

`FOLDER/<encoder>/<video>-<frames>.npy` holds a row per frame that could be read. Both names are
fingerprints: another weight, argument, image size, file or time of change is another entry, so that
nothing here is ever out of date and everything that reads the same videos (other splits, fewer
labels, temporal models) shares the entries. Using an entry sets its time of change, so
`find FOLDER -name '*.npy' -mtime +90 -delete` removes what nobody used for 90 days; any file may be
deleted at any time.
"""

import contextlib
import hashlib
import os
import re
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data.batches.batches import batches_of_features
from data.common.errors import InputError
from data.dataset.frame_index import FrameIndex
from data.frames.image_frames import ImageFrames
from data.images.image_io import BILINEAR, resize_rule
from data.storage.paths import check_local, to_path
from data.storage.whole import PART, whole_file
from down_stream.features.extraction import representation
from down_stream.features.pooling import feature_width, is_representation
from msn.workdir.content import content_of

VERSION = 1  # of what an entry holds: raised, too, where decoding gives a file's frames otherwise
_STALE = 3600  # seconds; to write a file takes moments


def cached_features(
    encoder,
    index: FrameIndex,
    *,
    features: str,
    folder: str | Path,
    image_size: int,
    batch_size: int,
    description,
    resample: str = BILINEAR,
) -> tuple[np.ndarray, np.ndarray]:
    """Features of all readable frames of an index, from the cache as far as it has them.

    A video is written when its last frame has been seen: what is stopped, however, goes on with the
    video where it was. Processes that fill one cache at the same time may do the same work twice,
    and get the same result.

    Args:
      encoder: what `msn.encoders.load_encoder` opens, or another Keras model with `represent`.
      index: the frames.
      features: what is taken of a frame, as `choose_features` returned it.
      folder: the cache; made if it is missing.
      image_size: pixels.
      batch_size: frames that are encoded at once; results do not depend on it, but for rounding,
        and it is no part of an entry's name.
      description: for the progress bar.
      resample: how frames are resized, of `data.images.image_io.RESAMPLES`.

    Returns:
      float32 [frames read, width], mapped from a file, read only, in the order of the index; and
      the rows of the index that they belong to, int64 [frames read].

    Raises:
      InputError: not one frame can be read, or the cache cannot be written.
    """
    check_local("the feature cache", folder)
    folder = Path(folder, fingerprint(encoder, features))
    videos = [np.flatnonzero(index.video == number) for number in np.unique(index.video)]
    paths = [
        folder
        / entry_name(index.videos[index.video[rows[0]]], index.paths(rows), image_size, resample)
        for rows in videos
    ]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_stale(folder)
        entries = {path: _open(path) for path in paths}
        missing = [number for number, path in enumerate(paths) if entries[path] is None]
        rows = [videos[number] for number in missing]
        how = image_size, batch_size, description, resample
        made = _extract(encoder, features, index, rows, *how)
        for number, entry in zip(missing, made, strict=True):
            _write(paths[number], entry)
            entries[paths[number]] = _open(paths[number])
        return _join(
            [entries[path] for path in paths], videos, feature_width(encoder, features), folder
        )
    except OSError as error:
        raise InputError(
            f"{folder}: features cannot be written here ({error}); the same command goes on from "
            "those that are there"
        ) from error


def fingerprint(encoder, features: str | None = None) -> str:
    """What `content_of` says of an encoder.

    With `features`, of those; what `encoder.represent` gives has the name of the encoder.
    """
    is_other = features and not is_representation(encoder, features)
    return content_of(encoder, f"features {features} " if is_other else "")


def entry_name(video: str, paths: list[str], image_size: int, resample: str = BILINEAR) -> str:
    """File name of a video's features: of its frames, path, size and time of change count."""
    digest = hashlib.sha256(f"{VERSION} {video} {image_size} {resize_rule(resample)}".encode())
    for path in paths:
        try:
            state = to_path(path).stat()
            digest.update(f"\n{path} {state.st_size} {state.st_mtime_ns}".encode())
        except OSError:  # such a frame is left out; once it is there it counts
            digest.update(f"\n{path} missing".encode())
    readable = re.sub(r"[^\w.-]", "_", video, flags=re.ASCII)[:80]
    return f"{readable}-{digest.hexdigest()[:32]}.npy"


def _extract(
    encoder, features, index, videos, image_size, batch_size, description, resample
) -> Iterator[np.ndarray]:
    """Entries of videos, given as rows of the index, each as soon as it is complete.

    An entry is an array [frames read] of (row within the video, feature [width]).
    """
    if not videos:
        return
    chosen = ImageFrames(index.take(np.concatenate(videos)))
    ends = np.cumsum([len(rows) for rows in videos])
    kind = _kind(feature_width(encoder, features))
    pending, done = [np.empty(0, kind)], 0
    function = representation(encoder, features)
    batches = batches_of_features(
        function, chosen, image_size, min(batch_size, len(chosen)), description, resample
    )
    for values, rows in batches:
        pending.append(np.empty(len(rows), kind))
        pending[-1]["row"], pending[-1]["feature"] = rows, values
        while done < len(ends) and rows[-1] >= ends[done] - 1:
            seen = np.concatenate(pending)
            yield _cut(seen, videos, ends, done)
            pending = [seen[seen["row"] >= ends[done]]]
            done += 1
    for number in range(done, len(ends)):  # their last frames cannot be read
        yield _cut(np.concatenate(pending), videos, ends, number)


def _cut(seen, videos, ends, number):
    """The entry of one video, out of frames in the order of all of them."""
    start = ends[number] - len(videos[number])
    entry = seen[(seen["row"] >= start) & (seen["row"] < ends[number])]
    entry["row"] -= start
    return entry


def _kind(width: int) -> np.dtype:
    """What an entry has per frame."""
    return np.dtype([("row", np.int64), ("feature", np.float32, (width,))])


def _open(path: Path) -> np.ndarray | None:
    """An entry, mapped from its file; None where there is none that is whole."""
    try:
        entry = np.load(path, allow_pickle=False, mmap_mode="r")
        os.utime(path)
    except (FileNotFoundError, ValueError, EOFError):
        return None
    return entry


def _write(path: Path, entry: np.ndarray) -> None:
    """Writes to a file of this process' own, which then takes its place at once."""
    with whole_file(path, durable=True, writer=uuid.uuid4().hex) as side:
        np.save(side, entry, allow_pickle=False)


def _remove_stale(folder: Path) -> None:
    """Removes what processes left that were killed while they wrote."""
    for side in folder.glob(f"{PART}*"):
        with contextlib.suppress(FileNotFoundError):  # in its place by now
            if time.time() - side.stat().st_mtime > _STALE:
                side.unlink()


def _join(entries, videos, width, folder):
    """Features of all videos in the order of the index, in a file that goes with their last use."""
    rows = np.concatenate([own[entry["row"]] for own, entry in zip(videos, entries, strict=True)])
    if not len(rows):
        raise InputError(f"none of the {sum(map(len, videos))} frames can be read")
    with tempfile.TemporaryFile(dir=folder) as file:  # it has no name: nothing stays of it
        for entry in entries:
            file.write(np.ascontiguousarray(entry["feature"]))
        file.flush()
        features = np.memmap(file, np.float32, "r", shape=(len(rows), width))
    order = np.argsort(rows, kind="stable")
    if (order != np.arange(len(rows))).any():  # an index in which videos take turns
        return features[order], rows[order]
    return features, rows
