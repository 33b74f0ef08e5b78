"""A dataset of videos from wherever its frames come: the stages of `prepare.py` in their order."""

import itertools
import shutil
from collections.abc import Mapping
from pathlib import Path

from data.annotations.naming import PHASE_LIST, PHASE_MAP, read_phase_list, read_phase_map
from data.annotations.opening import copy_annotations
from data.annotations.patients import take_patients
from data.archives.unpacking import needs_archive
from data.common.errors import InputError, some
from data.dataset.audit import Audit
from data.dataset.extraction_log import (
    LOG,
    NONE_KNOWN,
    changed_names,
    other_files,
    read_log,
    write_log,
)
from data.extraction.calls import Spread
from data.extraction.extracting import extract_frames
from data.images.completeness import say_several
from data.images.linking import drop_replaced, link_images
from data.indexing.building import build_index, list_videos
from data.indexing.cleaning import Cleaning
from data.indexing.kept import Kept
from data.preparation.media import Media, find_media, has_media, own_videos
from data.preparation.present_frames import check_present_frames
from data.splits.overlaps import SYNTHETIC
from data.splits.protocols import write_splits
from data.splits.remarks import remark_shared
from data.storage.paths import is_remote
from data.storage.whole import whole_file
from data.tfrecords.files import find_records
from data.video.decoding import check_settings
from data.video.dicom_names import same_patients


def check_sources(
    root: Path,
    *,
    videos: Path | None,
    archive: Path | None,
    is_synthetic: bool,
    is_cholec80: bool,
    settings: dict,
    is_fps_given: bool,
    workers: int | None,
    audit: Audit,
    operations: Path | None = None,
    join_parts: bool = False,
) -> Media | None:
    """Checks all that can be checked before anything is written.

    Args:
      root: dataset directory.
      videos: folder to search for videos and images.
      archive: an archive that was fetched before.
      is_synthetic: whether a miniature is to be rendered.
      is_cholec80: whether an empty dataset is to be filled from Cholec80's archive.
      settings: fps, format, quality and size of the frames. Where frames are there already, at
        another rate, and `is_fps_given` does not hold, fps becomes theirs.
      workers: as for `extract_frames`.
      audit: receives what was found.
      operations: a table of which files in `videos` are parts of which operation.
      join_parts: whether to join those that look so by their names.

    Returns:
      What `videos` holds, None without it.

    Raises:
      InputError: a value is out of range, a file or folder is missing, two sources are given, or
        none; or `root` has other frames than are asked for.
    """
    sources = {"--videos": videos, "--synthetic": is_synthetic, "--archive": archive}
    given = [flag for flag, value in sources.items() if value]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)}: expected one of them at a time")
    is_empty = needs_archive(root, has_media)
    if is_synthetic and not is_empty and not (root / SYNTHETIC).is_file():
        raise InputError(f"--synthetic: {root} holds other videos or frames; use another --name")
    check_settings(**settings, workers=workers)
    if (operations or join_parts) and not videos:
        raise InputError("--operations and --join_parts: need --videos, the folder with the files")
    media = find_media(videos, operations, join_parts, root, audit) if videos else None
    fps = check_present_frames(root, media, settings["fps"], is_fps_given, audit)
    settings["fps"] = fps
    read_log(root / "frames", settings)
    if archive and not archive.is_file():
        raise InputError(f"--archive={archive}: no such file")
    if not videos and is_empty and not is_synthetic and not is_cholec80:
        raise InputError(
            f"{root}: no videos and no frames in it; give --videos=FOLDER, or --synthetic"
        )
    return media


def check_annotations(annotations: Path | None, phases: Path | None, phase_map: Path | None):
    """Raises `InputError` if one of what `take_annotations` takes is missing or damaged."""
    if phases:
        read_phase_list(phases)
    if phase_map:
        read_phase_map(phase_map)
    if annotations and not annotations.exists():
        raise InputError(f"--annotations={annotations}: no such file or folder")


def take_annotations(
    root: Path,
    annotations: Path | None,
    phases: Path | None,
    phase_map: Path | None,
    audit: Audit,
) -> None:
    """Copies what a user says about labels into a dataset, which needs nothing else from then on.

    Args:
      root: dataset directory.
      annotations: a file or a folder, as `data.annotations.opening` recognises them.
      phases: a list of all phases, in the order of their ids.
      phase_map: a table from,to of spellings.
      audit: receives a problem for each file that cannot be read.

    Raises:
      InputError: one of them is missing, or not what it should be; nothing was copied then.
    """
    check_annotations(annotations, phases, phase_map)
    if annotations or phases or phase_map:
        root.mkdir(parents=True, exist_ok=True)
    if annotations:
        copy_annotations(annotations, root, audit.problems)
    for given, name in ((phases, PHASE_LIST), (phase_map, PHASE_MAP)):
        if given:
            with whole_file(root / name) as side:
                shutil.copyfile(given, side)


def prepare_videos(
    root: Path,
    media: Media | None,
    cleaning: Cleaning,
    settings: Mapping,
    workers: int | None,
    audit: Audit,
    annotation_fps: float | None = None,
    patients: Path | None = None,
    spread: Spread | None = None,
) -> dict:
    """Extracts the frames of all videos and records, links images, then cleans, indexes and splits.

    Args:
      root: dataset directory; videos and record files in it are used.
      media: videos and images from elsewhere.
      cleaning: what to leave out for pre-training.
      settings: fps, format, quality and size of the frames.
      workers: videos worked on at once; None for one per core.
      audit: receives what was found.
      annotation_fps: annotated frames per second; None where the user does not say.
      patients: a table of who is the patient of which video.
      spread: has workers elsewhere extract and read the videos.

    Returns:
      The splits, as `data.splits.protocols.write_splits` does.

    Raises:
      InputError: nothing could be used.
    """
    records = find_records(root)
    if records:
        from data.extraction.records import extract_records  # needs TensorFlow: slow

        audit.problems += extract_records(records, root, workers=workers, **settings).values()
    own = own_videos(root, audit)
    videos = {name: file for name, file in own.items() if name not in records}
    videos |= media.videos if media else {}
    frames_dir = root / "frames"
    if settings["fps"] != 1 and frames_dir.is_dir() and not (frames_dir / LOG).is_file():
        write_log(frames_dir, {**settings, "videos": {}})  # of what `check_sources` has found there
    done = read_log(frames_dir)["videos"]
    changed = changed_names(other_files(videos, done), frames_dir, done)
    read = None if spread or is_remote(root) else Kept(root, cleaning)
    known = read.complete if read else NONE_KNOWN
    how = {"workers": workers, "spread": spread, "known": known}
    audit.problems += extract_frames(videos, frames_dir, **how, **settings).values()
    done = read_log(frames_dir)["videos"]
    still = other_files({name: videos[name] for name in changed}, done)
    kept = changed_names(still, frames_dir, done)  # the new file is no video
    audit.changed = [name for name in changed if name not in kept]
    for name in audit.changed:
        audit.remark(f"{name}: its file has changed; its frames are extracted again")
    for name, noted in done.items():
        if name in videos and "jumps" in noted:
            audit.remark(f"{name}: {noted['jumps']}")
        if media and name not in videos and name not in records and "source" in noted:
            if media.is_whole:
                audit.gone.append(name)
            why = "" if media.is_whole else ", a part of which cannot be read"
            audit.remark(f"{name}: not among the usable files of --videos{why}; its frames stay")
    if media:
        size, quality = settings["size"], settings["quality"]
        if size and media.images and not (frames_dir / LOG).is_file():
            # The next call has to ask for the same size.
            write_log(frames_dir, {**settings, "videos": {}})
        removed, newer, damaged = drop_replaced(media.images, frames_dir)
        audit.problems += [
            f"{file}: {fault}; the image before it stays" for file, fault in damaged.items()
        ]
        usable = {
            video: [file for file in files if file not in damaged]
            for video, files in media.images.items()
        }
        audit.problems += link_images(usable, frames_dir, size, quality).values()
        audit.changed += removed
        for video, number in removed.items():
            audit.remark(f"{video}: {number} images were replaced since; taken again")
        if newer:
            audit.remark(
                f"{some(newer)}: newer than the images of these names in {frames_dir}, which stay; "
                "remove those there, and the next call takes these"
            )
        audit.remarks += say_several(itertools.chain(*media.images.values()))
        audit.remarks += [f"{file}: neither a video nor an image" for file in media.others]
    if not frames_dir.is_dir():
        raise InputError(f"nothing could be used: {some(audit.problems, '; ')}")
    remark_shared(root, audit)
    given = media.places() if media else {}
    audit.folders |= media.folders_above(given) if media else {}
    places = Media(own, {}, [], root / "videos").places() | given
    of_videos, files = list_videos(root, Audit()), own | (media.videos if media else {})
    told = same_patients({name: files[name].files for name in of_videos if name in files})
    take_patients(root, patients, of_videos, places, audit, told=told)
    build_index(root, audit, cleaning, annotation_fps, spread, read)
    return write_splits(root)
