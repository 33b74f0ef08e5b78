"""Opens the frames that pre-training reads, whatever form they have."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from data.common.errors import InputError, some
from data.common.logs import logger
from data.dataset.classes import frame_rate, has_times
from data.dataset.extraction_log import known_names
from data.dataset.frame_index import load_index
from data.frames.frames import Frames
from data.frames.image_frames import ImageFrames, PackedFrames
from data.frames.record_frames import RecordFrames
from data.frames.video_frames import VideoFrames
from data.images.folders import list_files
from data.images.names import natural_key, official_number
from data.splits.manifest import with_held_out
from data.splits.overlaps import identity
from data.splits.parts import expand
from data.splits.spellings import alike, say_alike
from data.storage.cached_table import cached_table
from data.storage.paths import AnyPath, check_local, to_paths
from data.tfrecords.files import find_records
from data.tfrecords.offsets import scan_records
from data.tfrecords.packed import check_pack, digests_of, open_pack
from data.tfrecords.tfds_shards import list_shards, read_shards
from data.video.clocks import read_timings
from data.video.decoding import check_settings
from data.video.names import is_video, name_videos

SOURCES = ("images", "packed", "records", "tfds", "videos")


def open_source(
    kind: str,
    roots: str | AnyPath | Sequence[str | AnyPath],
    exclude: Iterable[str] = (),
    fps: float = 1.0,
) -> Frames:
    """Opens the frames of a dataset, or of several as one.

    Args:
      kind: "images": dataset directories with their index; "packed": the same frames from what
        `prepare.py --pack` wrote; "records": folders with TF-Cholec80's record files; "tfds":
        folders that `data/tfds_builder.py` wrote, those with dataset_info.json; "videos": dataset
        directories with videos/, or folders with videos.
      roots: the folders; but for "videos", they may be remote.
      exclude: names of videos that are left out, and so are other names of the same operations
        (VID68 is video68); a name that is not there does no harm. "splits.json" stands for those
        that validate and test in the default split of each dataset.
      fps: frames per second that are taken of "videos". The others have what was extracted.

    Raises:
      InputError: another kind; a folder is missing, or holds nothing of this kind; two of them
        have a video of the same name; or nothing is left after the exclusion.
    """
    if kind not in SOURCES:
        raise InputError(f"data.source is {kind!r}; expected one of {', '.join(SOURCES)}")
    roots = check_roots(roots)
    exclude = with_held_out(exclude, roots)
    if kind in ("images", "packed"):
        return _open_images(roots, exclude, is_packed=kind == "packed")
    if kind == "records":
        return _open_records(roots, exclude)
    if kind == "tfds":
        return _open_tfds(roots, exclude)
    return _open_videos(roots, exclude, fps)


def check_roots(roots: str | AnyPath | Sequence[str | AnyPath]) -> list[AnyPath]:
    """The folders of datasets, which are there; raises `InputError` where one is not."""
    roots = to_paths(roots)
    if not roots:
        raise InputError("no dataset directory; expected one or more")
    for root in roots:
        if not root.is_dir():
            raise InputError(f"{root}: no such dataset directory")
    return roots


def _open_images(
    roots: list[AnyPath], exclude: frozenset[str], is_packed: bool
) -> ImageFrames | PackedFrames:
    packs = {f"{root.absolute()}/": open_pack(root) for root in roots} if is_packed else {}
    index = load_index(roots, pretraining=True)
    _, excluded = _divide(index.videos, exclude)
    index = index.select(exclude=excluded, in_place=True)
    firsts = np.searchsorted(index.video, np.arange(len(index.videos)))
    extracted = {f"{root.absolute()}/": frame_rate(root) for root in roots}
    timed = tuple(f"{root.absolute()}/" for root in roots if has_times(root))
    fps = np.full(len(index.videos), np.nan)
    paths = index.paths(firsts)
    for video, first in enumerate(paths):
        number = official_number(PurePosixPath(first).stem, index.videos[video])
        if number is not None or first.startswith(timed):
            fps[video] = next(fps for root, fps in extracted.items() if first.startswith(root))
    if not is_packed:
        return ImageFrames(index, fps, excluded=excluded)
    prefixes = [next(prefix for prefix in packs if first.startswith(prefix)) for first in paths]
    of = dict(zip(packs, roots, strict=True))
    digests = digests_of(index, {v: of[p] for v, p in zip(index.videos, prefixes, strict=True)})
    for prefix, pack in packs.items():
        here = [v for v, p in zip(index.videos, prefixes, strict=True) if p == prefix]
        check_pack(of[prefix], pack, {video: digests[video] for video in here})
    packs = [packs[prefix] for prefix in prefixes]
    return PackedFrames(index, packs, fps, excluded=excluded)


def _open_records(roots: list[AnyPath], exclude: frozenset[str]) -> RecordFrames:
    """One file a video, in it one record a second, in order."""
    parts = [find_records(root) for root in roots]
    for root, part in zip(roots, parts, strict=True):
        if not part:
            raise InputError(f"{root}: no record files of TF-Cholec80 in it")
    found = _join(roots, parts)
    kept, excluded = _divide(found, exclude)
    files = [found[video] for video in kept]
    begins, lengths = zip(*map(scan_records, files), strict=True)
    counts = [len(part) for part in begins]
    table = {
        "shard": np.repeat(np.arange(len(files), dtype=np.int32), counts),
        "begin": np.concatenate(begins),
        "length": np.concatenate(lengths),
        "second": np.concatenate([np.arange(count, dtype=np.float32) for count in counts]),
    }
    return RecordFrames(kept, counts, files, table, "frame", excluded=excluded)


def _open_tfds(roots: list[AnyPath], exclude: frozenset[str]) -> RecordFrames:
    """All splits. The files hold the frames shuffled; here they are sorted."""
    shards = [list_shards(root) for root in roots]
    tables = [
        cached_table(root / ".frames.npz", files, lambda files=files: read_shards(files))
        for root, files in zip(roots, shards, strict=True)
    ]
    videos = _join(roots, [dict.fromkeys(table["names"].tolist()) for table in tables])
    kept, excluded = _divide(videos, exclude)
    first_shards = np.cumsum([0, *map(len, shards)], dtype=np.int32)
    for table, first in zip(tables, first_shards, strict=False):
        is_kept = np.isin(table.pop("names"), kept)
        rows = np.repeat(is_kept, table["counts"])
        table["shard"] += first
        table["counts"] = table["counts"][is_kept]
        table |= {name: table[name][rows] for name in ("shard", "begin", "length", "second")}
    table = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    files = [file for part in shards for file in part]
    counts = table.pop("counts")
    return RecordFrames(kept, counts, files, table, "image", excluded=excluded)


def _open_videos(roots: list[Path], exclude: frozenset[str], fps: float) -> VideoFrames:
    check_settings(fps)
    for root in roots:
        check_local("data.source=videos: data.root", root)  # FFmpeg opens them
    faults = []
    found = [_find_videos(root, faults) for root in roots]
    files = _join(roots, found)
    timings = {}
    for root, videos in zip(roots, found, strict=True):
        timings |= read_timings(videos, fps, root / f".clocks-{fps!r}.npz")
    if not timings:
        raise InputError(f"{some(roots)}: none of {len(files)} videos can be read")
    kept, excluded = _divide(timings, exclude)
    return VideoFrames(
        files, {name: timings[name] for name in kept}, fps, excluded=excluded, faults=faults
    )


def _find_videos(root: Path, faults: list[str]) -> dict[str, Path]:
    """The videos of a dataset directory, or of any folder: {name: file} in natural order."""
    folder = root / "videos" if (root / "videos").is_dir() else root
    files = list_files(folder, faults)
    remarks = []
    known = known_names(root / "frames")
    videos = name_videos(folder, (file for file in files if is_video(file.name)), remarks, known)
    videos = dict(sorted(videos.items(), key=lambda item: natural_key(item[0])))
    for remark in remarks:
        logger.warning("%s", remark)
    if not videos:
        raise InputError(f"{folder}: no videos in it; expected some for data.source=videos")
    return videos


def _join(roots: Sequence[AnyPath], parts: Iterable[Mapping]) -> dict:
    """One mapping by video of several; raises `InputError` if two have the same video."""
    joined, of = {}, {}
    for root, part in zip(roots, parts, strict=True):
        for video in part:
            if video in joined:
                raise InputError(
                    f"{root}: has a {video}, as {of[video]} has; if these are two videos, rename "
                    "one"
                )
            of[video] = root
        joined |= part
    return joined


def _divide(videos: Iterable[str], exclude: frozenset[str]) -> tuple[list[str], list[str]]:
    """The videos that are kept and those that are not; raises `InputError` if none is kept."""
    videos = list(videos)
    left_out = expand(exclude, videos)
    operations = {identity(video) for video in left_out}
    kept = [video for video in videos if identity(video) not in operations]
    for remark in say_alike(alike(kept, left_out), "excluded ones", "exclude them by these names"):
        logger.warning("%s", remark)
    if not kept:
        raise InputError(f"all of {len(videos)} videos are excluded; leave some to train on")
    return kept, [video for video in videos if identity(video) in operations]
