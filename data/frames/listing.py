"""Frames to be read once and in order, for inference: of image files, of videos, of a dataset.

Nothing is extracted and nothing is written. What is held in memory is some bytes a frame.
"""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from data.archives.room import free_space, say_bytes
from data.common.errors import InputError, some
from data.common.logs import logger
from data.dataset.audit import Audit
from data.dataset.classes import Classes, frame_rate
from data.dataset.extraction_log import read_log
from data.dataset.frame_index import FrameIndex, load_index
from data.dataset.index_columns import INDEX
from data.frames.frames import Frames, file_state
from data.frames.image_frames import ImageFrames
from data.frames.opening import open_source
from data.frames.video_frames import VideoFrames
from data.images.completeness import say_several
from data.images.finding import find_images
from data.images.names import first_number, place_in_video, plain_path
from data.preparation.media import find_videos, name_found
from data.preparation.operations import find_operations, join_operations
from data.storage.locking import scratch_folder
from data.storage.paths import AnyPath
from data.tfrecords.files import find_records
from data.tfrecords.tfds_shards import TFDS_INFO
from data.video.clocks import kept_contents, kept_timings, read_clocks, read_parts
from data.video.decoding import check_settings
from data.video.dicom import is_dicom
from data.video.dicom_names import find_dicoms
from data.video.names import NONE_KNOWN, KnownNames, names_apart
from data.video.parts import VideoFiles


def list_images(path: str | Path) -> ImageFrames:
    """The images of a file, a folder, a glob pattern or a text file with paths.

    A frame named `<video>_NNNNNN`, as `prepare.py` names them, is of second (NNNNNN - 1) / fps,
    and of second NNNNNN / fps where a frame 0 is beside it; of others the second is unknown.

    Raises:
      InputError: no images there.
    """
    faults = []
    files, root, passed_over = find_images(path, faults)
    for remark in say_several(files):
        logger.warning("%s", remark)
    places = {}  # video -> position, in the order of appearance
    video, frame, rates, begins = [], [], [], {}
    for file in files:
        name, number = place_in_video(file, root)
        if name not in places:
            places[name] = len(places)
            rates.append(_extraction_rate(file.parent))
        video.append(places[name])
        if number is not None and name not in begins:
            begins[name] = first_number(file)
        frame.append(0 if number is None else number + 1 - begins[name])
    index = _index_files(files, places, video, frame)
    return ImageFrames(index, rates, faults=faults, passed_over=passed_over)


def list_videos(
    paths: Sequence[str | Path],
    fps: float = 1.0,
    operations: Path | None = None,
    join_parts: bool = False,
    kept: Path | None = None,
    known: KnownNames = NONE_KNOWN,
    own: Callable[[Mapping[str, int]], Collection[str]] | None = None,
) -> VideoFrames:
    """The frames of video files, and of the videos in folders, at `fps` frames per second.

    Videos are named as `prepare.py` names those of a folder, also in DICOM files; these are copied
    without their headers to a temporary folder that lasts as long as the result. Those that it
    has no room for are among the faults.

    Args:
      paths: files and folders.
      fps: frames per second.
      operations: a table of which files are parts of which operation
        (`data.preparation.operations.read_operations`).
      join_parts: whether to join those that look so by their names; else a warning says so.
      kept: a folder of the user's cache for time stamps: without it, all files are read each time.
      known: names that videos have from earlier runs.
      own: {name: bytes} of all videos -> names of those whose frames are wanted: other files are
        not read. The result's `listed` is then a hash of what was found, wanted or not.

    Raises:
      InputError: a path is missing, there is no video, or the table is wrong.
    """
    check_settings(fps)
    audit = Audit()
    paths = [Path(path) for path in paths]
    found, passed_over = _find_videos(paths, audit, known)
    listed, by_name = find_operations(found, operations, _common(paths), audit)
    videos = join_operations(found, listed, by_name, join_parts, set(), audit)
    for remark in audit.remarks:
        logger.warning("%s", remark)
    files = {
        name: video.files[0]
        for name, video in videos.items()
        if len(video.files) == 1 and not video.fault and not is_dicom(video.files[0])
    }
    states = {name: " ".join(map(file_state, video.files)) for name, video in videos.items()}
    digest = digest_of(states)
    if own:
        wanted = own({name: sum(video.sizes) for name, video in videos.items()})
        videos = {name: video for name, video in videos.items() if name in wanted}
        files = {name: file for name, file in files.items() if name in wanted}
    named = {(name, file): file for name, video in videos.items() for file in video.files}
    contents = dict.fromkeys(videos, "")
    for (name, _), content in kept_contents(named, kept).items():
        contents[name] += f" {content}"
    if kept:
        timings, faults = kept_timings(files, fps, kept)
    else:
        clocks, faults = read_clocks(files)
        timings = {name: clock.take(fps) for name, clock in clocks.items()}
    others = {name: video for name, video in videos.items() if name not in files}
    is_needed = any(is_dicom(file) for video in others.values() for file in video.files)
    # Which nobody else can read; where it is not needed, it is not made.
    scratch = scratch_folder("videos_of_dicom_") if is_needed else None
    folder = Path(scratch.name if scratch else "videos_of_dicom")
    no_room = _find_no_room(others, folder) if scratch else {}
    others = {name: video for name, video in others.items() if name not in no_room}
    parts, other_faults = read_parts(others, folder)
    for name, of_video in parts.items():
        files[name] = of_video.places(folder)
        timings[name] = (*of_video.take(fps), 0.0)
    faults_of_files = faults | other_faults
    faults = [*audit.problems, *(faults_of_files | no_room).values()]
    if not timings and not own:
        raise InputError(some(faults, "; "))
    if len(paths) > 1:  # else they are in the order of their names
        place = {file: place for place, file in enumerate(found.values())}
        first = {name: place[video.files[0]] for name, video in videos.items() if video.files}
        videos = dict.fromkeys(sorted(first, key=first.get))
    timings = {name: timings[name] for name in videos if name in timings}
    states = {name: (states[name], contents[name]) for name in timings}
    frames = VideoFrames(files, timings, fps, states, faults=faults, passed_over=passed_over)
    frames.scratch = scratch  # removed with the last reference to it
    frames.listed = digest if own else ""
    frames.damaged = frozenset(faults_of_files)
    return frames


def digest_of(found: Mapping[str, str | int]) -> str:
    """A hash of which videos there are, {name: state}."""
    lines = [f"{name!r} {state}" for name, state in sorted(found.items())]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _common(paths: Sequence[Path]) -> Path:
    """The folder that all paths are, or are in or below."""
    folders = [plain_path(path if path.is_dir() else path.parent) for path in paths]
    return Path(os.path.commonpath(folders))


def _find_videos(
    paths: Sequence[Path], audit: Audit, known: KnownNames
) -> tuple[dict[str, Path], int]:
    """{name: file} of the videos that paths lead to, and how many other files were passed over."""
    files, named, passed_over = [], [], 0
    for path in paths:
        if path.is_dir():
            of_folder, dicoms, others = find_videos(path, audit)
            files += of_folder
            named += dicoms.items()
            passed_over += others
        elif not path.is_file():
            raise InputError(f"{path}: no such video or folder")
        elif is_dicom(path):
            found = find_dicoms(path.parent, [path], known)
            audit.remarks += found.remarks
            audit.problems += found.problems
            named += found.videos.items()
        else:
            files.append(path)
    dicoms = names_apart(named, audit.remarks)
    videos = name_found(_common(paths), files, dicoms, audit, known)
    if len(paths) > 1:  # in the order of the paths
        place = {file: place for place, file in enumerate([*files, *dicoms.values()])}
        videos = dict(sorted(videos.items(), key=lambda item: place[item[1]]))
    return videos, passed_over


def _find_no_room(videos: Mapping[str, VideoFiles], folder: Path) -> dict[str, str]:
    """{name: why} of the videos whose DICOM files do not fit on the disk of `folder` any more.

    They say nothing that changes from run to run: by its words a problem is known again.
    """
    free, faults = free_space(folder), {}
    for name, video in videos.items():
        needed = sum(VideoFiles(tuple(filter(is_dicom, video.files))).sizes)
        if needed <= free:
            free -= needed
        else:
            faults[name] = (
                f"{name}: no room to copy its {say_bytes(needed)} of DICOM to {folder.parent}; "
                "expected TMPDIR=FOLDER of a larger disk"
            )
    return faults


def list_dataset(
    root: AnyPath,
    fps: float = 1.0,
    kept: Path | None = None,
    own: Callable[[Mapping[str, int]], Collection[str]] | None = None,
) -> Frames:
    """The frames of a dataset: by its index; else of its TFDS, record or video files.

    Args:
      root: dataset directory.
      fps: frames per second that are taken of videos; frames in files are all taken.
      kept, own: as for `list_videos`; `own` where videos are decoded.

    Raises:
      InputError: `root` is no dataset.
    """
    if (root / INDEX).is_file() or not root.is_dir():
        return ImageFrames(load_index(root), frame_rate(root))
    if (root / TFDS_INFO).is_file():
        return open_source("tfds", root)
    if find_records(root):
        return open_source("records", root)
    if (root / "videos").is_dir():
        return list_videos([root / "videos"], fps, kept=kept, own=own)
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
