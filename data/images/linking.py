"""Images that appear in a dataset directory, without being copied unless they are too large."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data.common.errors import InputError
from data.common.machine import available_cores
from data.common.progress import ProgressBar
from data.images.completeness import WHOLE_IMAGES, fault_finder, find_fault
from data.images.image_io import image_size, read_image, write_frame
from data.images.names import plain_path
from data.storage.whole import whole_file, write_json

# In a dataset: {video, or a folder of images with "/": hash of the folder that they are from}.
LINKED = "linked.json"
ROUGH = 2  # seconds to which some disks keep a file's time, as FAT does


def link_images(
    groups: Mapping[str, Sequence[Path]],
    frames_dir: Path,
    size: int | None = None,
    quality: int = 95,
) -> dict[str, str]:
    """Makes images appear as `frames_dir/<video>/<file name>`, without copying where possible.

    Args:
      groups: {video: its images}. None of them is changed.
      frames_dir: made where it is missing.
      size: shorter side in pixels; larger images become copies that are reduced to it.
      quality: of such a copy if it is JPEG, 1..100.

    Returns:
      {file: reason} of the images that could not be used.
    """
    settings = {"size": size, "quality": quality}
    pairs = _pairs(groups, frames_dir)
    if not pairs:
        return {}
    new = [file for file, target in pairs if not target.exists()]
    with fault_finder(frames_dir.parent / WHOLE_IMAGES) as find_faults:
        checked = ProgressBar(
            find_faults(new), desc="images", total=len(new), unit="image", disable=not new
        )
        faults = {file: fault for file, fault in zip(new, checked, strict=True) if fault}

    def add(file, target):
        try:
            if file in faults:
                raise InputError(f"{file}: {faults[file]}")
            _add_image(file, target, settings)
        except InputError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(available_cores()) as pool:  # decoding leaves Python's lock to others
        added = list(pool.map(add, *zip(*pairs, strict=True)))
    return {str(file): fault for (file, _), fault in zip(pairs, added, strict=True) if fault}


def drop_replaced(
    groups: Mapping[str, Sequence[Path]], frames_dir: Path
) -> tuple[dict[str, int], list[Path], dict[Path, str]]:
    """Removes links and copies of images that were replaced since, for `link_images` to take anew.

    One whose replacement cannot be used, as a copy that is under way, stays. So does what was there
    before `link_images` came: it may be someone's only copy. `LINKED` beside the folder says of
    which videos all images were linked, and from where.

    Returns:
      {video: how many were removed}; the newer images of what stays; {newer image: why it cannot be
      used}.

    Raises:
      InputError: `LINKED` is damaged.
    """
    path = frames_dir.parent / LINKED
    linked = _read_linked(path)
    removed, kept, damaged = {}, [], {}
    for video, files in groups.items():
        source, is_new = place_digest(files[0].parent), not (frames_dir / video).exists()
        if is_new:
            linked[video] = source
        for file, target in _pairs({video: files}, frames_dir):
            if not is_newer(file, target):
                continue
            if linked.get(video) != source:
                kept.append(file)
            elif fault := find_fault(file):
                damaged[file] = fault
            else:
                target.unlink()
                removed[video] = removed.get(video, 0) + 1
    if linked:
        frames_dir.mkdir(parents=True, exist_ok=True)
        write_json(path, linked)
    return removed, kept, damaged


def is_linked_from(root: Path, name: str, source: Path) -> bool:
    """Whether all that is in `root/name` was linked from a folder: then none of it is anyone's own.

    It is noted where `root/name` is not there yet.

    Raises:
      InputError: the note is damaged.
    """
    linked, key = _read_linked(root / LINKED), f"{name}/"  # no video is called so
    if not (root / name).exists():
        linked[key] = place_digest(source)
        root.mkdir(parents=True, exist_ok=True)
        write_json(root / LINKED, linked)
    return linked.get(key) == place_digest(source)


def linked_videos(root: Path) -> frozenset[str]:
    """The names of the videos of a dataset whose frames are linked images, as far as that is noted.

    Raises:
      InputError: the note is damaged.
    """
    names = _read_linked(root / LINKED)
    return frozenset(name for name in names if (root / "frames" / name).is_dir())


def _read_linked(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: damaged; delete it, images that are there stay") from error


def is_newer(file: Path, target: Path) -> bool:
    """Whether an image was changed since it appeared as `target`."""
    try:
        now, then = file.stat(), target.stat()
    except OSError:
        return False
    if now.st_mtime > then.st_mtime + ROUGH:
        return True
    is_same = (now.st_dev, now.st_ino) == (then.st_dev, then.st_ino)
    # Replaced by one of its size and time, as `rsync --times` leaves it, it has a time of change
    # that no program sets (ctime) which is that of the replacement, or a later one than the copy's.
    if is_same or not _is_like(now, then) or now.st_ctime < then.st_ctime - ROUGH:
        return False
    with contextlib.suppress(OSError):  # what may not be read is named where it is checked
        if not _is_equal(file, target):
            return True
        os.utime(target, ns=(then.st_atime_ns, then.st_mtime_ns))  # they are not compared again
    return False


def place_digest(folder: Path) -> str:
    """A hash of where a folder lies, for paths may name a patient."""
    return hashlib.sha256(os.fsencode(plain_path(folder))).hexdigest()[:16]


def _pairs(groups: Mapping[str, Sequence[Path]], frames_dir: Path) -> list[tuple[Path, Path]]:
    """Each image and where it appears."""
    return [
        (file, frames_dir / video / _name_in_dataset(file))
        for video, files in groups.items()
        for file in files
    ]


def _add_image(file: Path, target: Path, settings: Mapping) -> None:
    """Links an image, or writes a reduced copy; also over a link from a run without a size."""
    is_there = target.exists()
    size = settings["size"]
    if size and min(image_size(target if is_there else file)) > size:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_frame(
            target, read_image(file)[..., ::-1], settings
        )  # a new file: no link is followed
    elif not is_there:
        place_image(file, target)


def _name_in_dataset(file: Path) -> str:
    return file.with_suffix(".png").name if file.suffix.lower() == ".npy" else file.name


def place_image(file: Path, target: Path) -> None:
    """Links an image, as `link_file` does; one of another format than `target` has becomes a copy.

    Arrays and DICOM become PNG so: other programs read a dataset, and no patient is named in it.
    """
    if target.suffix == file.suffix:
        link_file(file, target)
    elif not target.exists() or target.stat().st_mtime < file.stat().st_mtime:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_frame(target, read_image(file)[..., ::-1], {"size": None})


def link_file(file: Path, target: Path) -> None:
    """Makes a file appear as `target` too, without copying it where that is possible.

    Raises:
      InputError: another file is there.
    """
    if target.exists():
        if target.samefile(file) or _is_copy(file, target):
            return
        raise InputError(
            f"{target}: another image than {file}; expected another --name for other images"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(file)
    except OSError:  # another disk, or a file system without links
        with whole_file(target) as side:
            shutil.copy2(file, side)  # with its time, by which a copy is known


def _is_copy(file: Path, target: Path) -> bool:
    """Whether `target` is a copy of a file; by their bytes where its disk keeps times roughly."""
    now, then = file.stat(), target.stat()
    if _is_like(now, then):
        return True
    is_rough = abs(now.st_mtime - then.st_mtime) <= ROUGH
    return is_rough and now.st_size == then.st_size and _is_equal(file, target)


def _is_like(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether two files have the size and the time of each other, as a copy has its file's.

    To the last digit, for a reduced copy may have the size of its image, and the same second.
    """
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def _is_equal(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()
