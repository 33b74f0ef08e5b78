"""Frames to be read once and in order, for inference: of image files, of videos, of a dataset.

Nothing is extracted and nothing is written. What is held in memory is some bytes a frame.
"""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from data.common.errors import InputError, some
from data.dataset.classes import Classes, frame_rate
from data.dataset.extraction_log import read_log
from data.dataset.frame_index import INDEX, FrameIndex, load_index
from data.frames.frames import Frames, ImageFrames, VideoFrames
from data.frames.opening import open_source
from data.images.finding import find_images
from data.images.folders import list_files
from data.images.names import place_in_video
from data.storage.paths import to_path
from data.tfrecords.files import find_records
from data.tfrecords.tfds_shards import TFDS_INFO
from data.video.clocks import read_clocks
from data.video.decoding import check_settings
from data.video.names import is_video, name_videos, names_apart


def list_images(path: str | Path) -> ImageFrames:
    """The images of a file, a folder, a glob pattern or a text file with paths.

    A frame named `<video>_NNNNNN`, as `prepare.py` names them, is of second (NNNNNN - 1) / fps; of
    others the second is unknown.

    Raises:
      InputError: no images there.
    """
    faults = []
    files, root, passed_over = find_images(path, faults)
    places = {}  # video -> position, in the order of appearance
    video, frame, rates = [], [], []
    for file in files:
        name, number = place_in_video(file, root)
        if name not in places:
            places[name] = len(places)
            rates.append(_extraction_rate(file.parent))
        video.append(places[name])
        frame.append(number or 0)
    index = _index_files(files, places, video, frame)
    return ImageFrames(index, rates, faults=faults, passed_over=passed_over)


def list_videos(paths: Sequence[str | Path], fps: float = 1.0) -> VideoFrames:
    """The frames of video files, and of the videos in folders, at `fps` frames per second.

    Raises:
      InputError: a path is missing, or there is no video.
    """
    check_settings(fps)
    named, passed_over, unusable, remarks = [], 0, [], []
    for path in map(Path, paths):
        if path.is_dir():
            inside = list_files(path, unusable)
            found = name_videos(path, (file for file in inside if is_video(file.name)), remarks)
            passed_over += len(inside) - len(found)
            if not found:
                raise InputError(
                    "; ".join([f"{path}: no videos among {len(inside)} files", *unusable[:3]])
                )
        elif path.is_file():
            found = {path.stem: path}
        else:
            raise InputError(f"{path}: no such video or folder")
        named += found.items()
    files = names_apart(named, remarks)
    for remark in remarks:
        logging.warning("%s", remark)
    clocks, faults = read_clocks(files)
    if not clocks:
        raise InputError(some([*unusable, *faults.values()], "; "))
    timings = {name: clock.take(fps) for name, clock in clocks.items()}
    faults = [*unusable, *faults.values()]
    return VideoFrames(files, timings, fps, faults=faults, passed_over=passed_over)


def list_dataset(root: str | Path, fps: float = 1.0) -> Frames:
    """The frames of a dataset: by its index; else of its TFDS, record or video files.

    Args:
      root: dataset directory.
      fps: frames per second that are taken of videos; frames in files are all taken.

    Raises:
      InputError: `root` is no dataset.
    """
    root = to_path(root)
    if (root / INDEX).is_file() or not root.is_dir():
        return ImageFrames(load_index(root), frame_rate(root))
    if (root / TFDS_INFO).is_file():
        return open_source("tfds", root)
    if find_records(root):
        return open_source("records", root)
    if (root / "videos").is_dir():
        return list_videos([root / "videos"], fps)
    raise InputError(
        f"{root}: neither {INDEX}, {TFDS_INFO}, record files nor videos/ in it; run: "
        f"python prepare.py --data_rootdir {root.parent} --name {root.name}"
    )


def _index_files(
    files: Sequence[Path], videos: Iterable[str], video: Sequence[int], frame: Sequence[int]
) -> FrameIndex:
    """An index of any image files, without labels.

    Args:
      files: by row.
      videos: their names.
      video: by row, positions in `videos`.
      frame: by row, numbers counted from 1; 0 where there is none.
    """
    n, videos = len(files), tuple(videos)
    escaped = [str(file).replace("{", "{{").replace("}", "}}") for file in files]
    return FrameIndex(
        videos=videos,
        video=np.array(video, np.int32),
        frame=np.array(frame, np.int32),
        phase=np.full(n, -1, np.int8),
        presence={},
        label=np.full(n, -1, np.int16),
        classes=Classes(),
        fps=np.ones(len(videos)),
        templates=np.array(escaped, object),  # names that are no UTF-8 are no Arrow strings
        template=np.arange(n, dtype=np.int32),
    )


def _extraction_rate(folder: Path) -> float:
    """Frames per second of `frames/<video>/`, or of `frames/` where the images lie in it."""
    return next(
        (rate for place in (folder.parent, folder) if (rate := read_log(place)["fps"]) != 1),
        1.0,
    )
