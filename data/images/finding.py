"""Which images a user means by a path, and which video they are of."""

import glob
import itertools
import os
from collections.abc import Iterable
from pathlib import Path

from data.common.errors import InputError, some
from data.common.logs import logger
from data.images.dicom_stills import is_dicom_data
from data.images.folders import is_usable, list_files
from data.images.image_io import SUFFIXES
from data.images.names import is_image, natural_key, plain_path, video_of
from data.storage.texts import read_any_text


def group_images(folder: Path, files: Iterable[Path]) -> dict[str, list[Path]]:
    """Sorts images by video, in natural order.

    Args:
      folder: where the search for images began.
      files: images in it or in folders below it.

    Returns:
      {video: files}. An image in a folder below `folder` is of the video with the folder's name
      (`a/b` is "a_b"), one that lies in `folder` itself of the video in its own name.
    """
    groups = {}
    for file in files:
        parts = file.relative_to(folder).parent.parts
        groups.setdefault("_".join(parts) or video_of(file.stem), []).append(file)
    return {
        video: sorted(groups[video], key=lambda file: natural_key(file.name))
        for video in sorted(groups, key=natural_key)
    }


def is_picture(file: Path) -> bool:
    """Whether a file is an image by its name, or DICOM by its content."""
    if is_image(file.name):
        return True
    with file.open("rb", buffering=0) as opened:
        return is_dicom_data(opened.read(132))


def find_images(path: str | Path, faults: list[str]) -> tuple[list[Path], Path, int]:
    """The images that a user means by a path.

    Args:
      path: an image file; a folder, which is searched with its subfolders for image suffixes and
        DICOM files; a glob pattern ("frames/*/*.jpg", "**" for folders at any depth); or a text
        file (.txt) with a path per line, of which relative ones begin at its own folder; "# ..." is
        a comment.
      faults: receives a line for each file or folder that cannot be used.

    Returns:
      The images, in natural order, but those of a text file in its order, whether they are there or
      not; the folder that all of them are in or below; and how many other files were passed over.
      Hidden files are neither.

    Raises:
      InputError: nothing there, or no images among what is there.
    """
    place = Path(path)
    if place.is_dir():
        root, files = place, list_files(place, faults)
    elif place.suffix.lower() == ".txt" and place.is_file():
        return _listed_images(place, faults)
    elif place.is_file():
        if not is_picture(place):
            raise InputError(f"{path}: not an image; images end in {', '.join(SUFFIXES)}")
        return [place], place.parent, 0
    elif glob.has_magic(str(path)):
        root, files = _matching_files(str(path), faults)
    else:
        raise InputError(f"{path}: no such file or folder")
    images = [file for file in files if is_picture(file)]
    if not images:
        raise InputError(
            f"{path}: no images among {len(files)} files; images end in {', '.join(SUFFIXES)}"
            + (f"; {some(faults, '; ')}" if faults else "")
        )
    return images, root, len(files) - len(images)


def _matching_files(pattern: str, faults: list[str]) -> tuple[Path, list[Path]]:
    """The part of a glob pattern before its first wildcard, and the files that match it."""
    parts = Path(pattern).parts
    fixed = list(itertools.takewhile(lambda part: not glob.has_magic(part), parts))
    found = [Path(name) for name in glob.iglob(pattern, recursive=True)]  # noqa: PTH207
    found = [place for place in found if is_usable(place, faults)]
    files = {file for file in found if file.is_file()}
    files.update(*(list_files(folder, faults) for folder in found if folder.is_dir()))
    return Path(*fixed), sorted(files, key=lambda file: natural_key(str(file)))


def _listed_images(place: Path, faults: list[str]) -> tuple[list[Path], Path, int]:
    text, remark = read_any_text(place)
    if remark:
        logger.warning("%s", remark)
    lines = [line.strip() for line in text.split("\n")]
    lines = [line for line in lines if line and not line.startswith("#")]
    files = [place.parent / os.path.expanduser(line) for line in lines]  # noqa: PTH111
    files = [file for file in files if not file.exists() or is_usable(file, faults)]
    if not files:
        raise InputError(f"{place}: no paths in it; expected one per line")
    return files, Path(os.path.commonpath([plain_path(file.parent) for file in files])), 0
