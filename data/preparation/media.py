"""Where a dataset's videos and images come from: a folder, an archive, its own videos/."""

import functools
import hashlib
import itertools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from data.common.errors import InputError, some
from data.dataset.audit import Audit
from data.dataset.extraction_log import known_names
from data.images.finding import group_images
from data.images.folders import list_files
from data.images.linking import linked_videos
from data.images.names import is_image, natural_key
from data.preparation.operations import (
    check_extracted,
    find_operations,
    join_operations,
)
from data.storage.paths import is_remote
from data.tfrecords.files import find_records
from data.video.dicom import is_dicom
from data.video.dicom_names import find_dicoms, names_patient
from data.video.names import NONE_KNOWN, KnownNames, is_video, name_videos
from data.video.parts import VideoFiles

# Bytes of a video's name: its frames and tables are named after it, and no disk takes 256.
LONGEST_NAME = 220


@dataclass(frozen=True)
class Media:
    """Videos and images found in a folder.

    Attributes:
      videos: name -> its files.
      images: name of the video -> its image files.
      others: files that are neither; those whose names have data of a patient are not among them.
      folder: where they were searched; None where a name says all about a video.
      is_whole: whether all of it could be read; what was not found may be there otherwise.
    """

    videos: dict[str, VideoFiles]
    images: dict[str, list[Path]]
    others: list[Path]
    folder: Path | None = None
    is_whole: bool = True

    def places(self) -> dict[str, PurePath]:
        """{video: where its file, or the folder of its images, lies below `folder`}.

        Of DICOM files nothing that their path may say of a patient.
        """
        if self.folder is None:
            return {}
        files = {name: video.files[0] for name, video in self.videos.items()}
        files |= {name: images[0].parent for name, images in self.images.items()}
        places = {name: file.relative_to(self.folder) for name, file in files.items()}
        for name, file in files.items():
            if not is_remote(file) and file.is_file() and is_dicom(file):
                above = str(places[name].parent).encode()
                hidden = [hashlib.sha256(above).hexdigest()[:12]] if above != b"." else []
                places[name] = PurePath(*hidden, name)
        return places

    def folders_above(self, places: Mapping[str, PurePath]) -> dict[str, str]:
        """{video: the folder directly in `folder` that it is in}, of `places`, those in one."""
        folders = {n: place.parent if n in self.videos else place for n, place in places.items()}
        above = {name: folder.parts[0] for name, folder in folders.items() if folder.parts}
        if self.folder is None or is_remote(self.folder):
            return above
        # What stands for the place of a DICOM file is no folder.
        known = {part for part in set(above.values()) if (self.folder / part).is_dir()}
        return {name: part for name, part in above.items() if part in known}


def find_media(
    folder: Path, operations: Path | None, join_parts: bool, root: Path, audit: Audit
) -> Media:
    """Searches a folder and those below it, except for the dataset directory `root`.

    Args:
      folder: where to search.
      operations: a table of which files in it are parts of which operation.
      join_parts: whether to join those that look so by their names; else the audit says so.
      root: dataset directory.
      audit: receives what was found.

    Raises:
      InputError: the folder is missing or holds neither videos nor images, two of them would
        have the same name, or the table is wrong.
    """
    before = len(audit.problems)
    known = known_names(root / "frames")
    found, dicoms, images, others = _search(folder, audit, outside=root, known=known)
    is_whole = len(audit.problems) == before
    linked = linked_videos(root) - images.keys()  # images of earlier runs, from elsewhere
    known = replace(known, taken=known.taken | linked)
    files = name_found(folder, found, dicoms, audit, known)
    if not files and not images:
        raise InputError(_nothing(folder, "videos or images", audit))
    for name in sorted(files.keys() & images.keys()):
        raise InputError(f"{images[name][0]}: a video would be named {name} too; rename one")
    listed, by_name = find_operations(files, operations, folder, audit)
    by_name = {
        known.find_operation(files[parts[min(parts)]]) or operation: parts
        for operation, parts in by_name.items()
    }
    check_extracted(root / "frames", listed | (by_name if join_parts else {}), is_joined=True)
    if not join_parts:
        check_extracted(root / "frames", by_name, is_joined=False)
    taken = images.keys()
    videos = join_operations(files, listed, by_name, join_parts, taken, audit)
    return Media(videos, images, others, folder, is_whole)


def find_videos(folder: Path, audit: Audit) -> tuple[list[Path], dict[str, Path], int]:
    """The videos in a folder and below it, in natural order, and how many other files are there.

    Returns:
      Files; {name: file} of DICOM videos; a number.

    Raises:
      InputError: there is no video.
    """
    files, dicoms, images, others = _search(folder, audit)
    if not files and not dicoms:
        raise InputError(_nothing(folder, "videos", audit))
    return files, dicoms, len(others) + sum(map(len, images.values()))


def name_found(
    folder: Path,
    files: Iterable[Path],
    dicoms: Mapping[str, Path],
    audit: Audit,
    known: KnownNames = NONE_KNOWN,
) -> dict[str, Path]:
    """{name: file} of all videos, in natural order of their names.

    Args:
      folder: that all files are in or below.
      files: videos that are not DICOM.
      dicoms: {name: file} of those that are.
      audit: is told who is called otherwise than by the file's name.
      known: names that files have already.

    Raises:
      InputError: two would have the same name.
    """
    videos = name_videos(folder, files, audit.remarks, known)
    taken = {*videos, *dicoms, *known.taken}
    for name, file in dicoms.items():
        new = name
        if name in videos:
            others = (f"{name}_{other}" for other in itertools.chain(("dcm",), itertools.count(2)))
            new = next(other for other in others if other not in taken)
            taken.add(new)
            audit.remark(f"a DICOM file: named {new}, as {name} is {videos[name]}")
        videos[new] = file
    return dict(sorted(_short(videos, audit).items(), key=lambda item: natural_key(item[0])))


def _short(named: Mapping, audit: Audit) -> dict:
    """Those of {video: its file, or its images} whose names files can have."""
    for name, files in named.items():
        if (size := len(os.fsencode(name))) > LONGEST_NAME:
            place = files[0].parent if isinstance(files, list) else files
            audit.problem(
                f"{place}: the video's name would have {size} bytes; expected {LONGEST_NAME} at "
                "most: rename it"
            )
    return {name: f for name, f in named.items() if len(os.fsencode(name)) <= LONGEST_NAME}


def _nothing(folder: Path, expected: str, audit: Audit) -> str:
    reasons = [*audit.remarks, *audit.problems]
    return "; ".join(
        [f"{folder}: no {expected} in it", *([some(reasons, "; ")] if reasons else [])]
    )


def _search(
    folder: Path, audit: Audit, outside: Path | None = None, known: KnownNames = NONE_KNOWN
) -> tuple[list[Path], dict[str, Path], dict[str, list[Path]], list[Path]]:
    """Videos, {name: DICOM video}, {video: its images}; others, whose paths name no patient."""
    if folder.is_file():
        raise InputError(f"{folder}: a file; expected the folder it lies in, {folder.parent}")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one with videos or images")
    faults = []
    files = list_files(folder, faults)
    if outside and not is_remote(folder):
        files = _not_in(outside if is_remote(outside) else outside.resolve(), files)
    images = group_images(folder, (file for file in files if is_image(file.name)))
    images = _short(images, audit)
    if images and any(map(is_remote, filter(None, (folder, outside)))):
        number = sum(map(len, images.values()))
        audit.problem(f"{folder}: {number} images; expected videos alone where object stores are")
        images = {}
    files = [file for file in files if not is_image(file.name)]
    asked = (file for file in files if not is_remote(file) or not is_video(file.name))
    dicoms = [file for file in asked if is_dicom(file)]  # stores are slow to answer
    if dicoms and is_remote(folder):
        audit.problem(f"{folder}: {len(dicoms)} DICOM files; expected those on a disk")
        files, dicoms = [file for file in files if file not in set(dicoms)], []
    rest = [file for file in files if file not in set(dicoms)]
    found = find_dicoms(folder, dicoms, known)
    audit.problems += found.problems
    is_nameable = [not names_patient(fault, found.patient) for fault in faults]
    audit.problems += itertools.compress(faults, is_nameable)
    if hidden := is_nameable.count(False):
        audit.problem(f"{hidden} files or folders whose names have data of a patient; not readable")
    audit.remarks += found.remarks
    videos = [file for file in rest if is_video(file.name)]
    others = [file for file in rest if not is_video(file.name)]
    nameable = [file for file in others if not names_patient(str(file), found.patient)]
    return videos, found.videos, images, nameable


def _not_in(folder: Path, files: Iterable[Path]) -> list[Path]:
    """The files that are not in a folder, or below it, wherever links lead."""

    @functools.cache
    def is_in(place):
        return place.resolve().is_relative_to(folder)

    places = (file.resolve().parent if file.is_symlink() else file.parent for file in files)
    return [file for file, place in zip(files, places, strict=True) if not is_in(place)]


def own_videos(root: Path, audit: Audit) -> dict[str, VideoFiles]:
    """{name: its file} of the videos in `root/videos`; empty where there are none.

    The audit is told what cannot be used, and who is called otherwise than by the file's name.
    """
    folder = root / "videos"
    files = list_files(folder, audit.problems) if folder.is_dir() else []
    files = [file for file in files if is_video(file.name)]
    if not files:
        return {}
    found = _short(name_videos(folder, files, audit.remarks, known_names(root / "frames")), audit)
    return {name: VideoFiles((file,)) for name, file in found.items()}


def has_media(root: Path) -> bool:
    """Whether a dataset directory has videos, frames or record files."""
    folders = (root / "videos", root / "frames")
    has_files = any(folder.is_dir() and any(folder.iterdir()) for folder in folders)
    return has_files or bool(find_records(root))
