"""Image files in folders: which video and which frame they are, and whether they are complete."""

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
from tqdm import tqdm

from data.errors import InputError
from data.images import SUFFIXES, read_image

END_BYTES = 4096  # some writers pad their files
JPEG_BEGIN, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
PNG_BEGIN, PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"

_TRAILING_NUMBER = re.compile(r"[-_. ]*(?:frame)?[-_. ]*(\d+)$", re.IGNORECASE)


def natural_key(name: str) -> tuple:
    """A sort key that takes digits as numbers: video2 before video10."""
    parts = re.split(r"(\d+)", name)
    return (*(int(part) if part.isdecimal() else part for part in parts), name)


def is_image(name: str) -> bool:
    """Whether a file's name is that of an image we read; hidden files are none."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122


def trailing_number(stem: str) -> str | None:
    """The digits at the end of a name: "00001-21711-frame-14628" -> "14628"; None without."""
    match = _TRAILING_NUMBER.search(stem)
    return match and match[1]


def official_number(stem: str, video: str) -> int | None:
    """NNNNNN of a file named `<video>_NNNNNN`, None if it is named otherwise."""
    digits = stem.removeprefix(f"{video}_")
    is_official = digits != stem and digits.isascii() and digits.isdecimal() and len(digits) < 10
    return int(digits) if is_official else None


def video_of(stem: str) -> str:
    """The video that an image in a flat folder is of: "00001-21711-frame-14628" -> "00001-21711".

    A name that is a number, and nothing else, is of the video "images".
    """
    return _TRAILING_NUMBER.sub("", stem) or "images"


def list_files(folder: Path) -> list[Path]:
    """All files in a folder and below it, in natural order; hidden files and folders are not."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted(found, key=lambda file: natural_key(str(file)))


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


def find_fault(path: Path) -> str | None:
    """Why an image cannot be used, or None.

    JPEG and PNG files are complete if they begin and end as such: that costs two small reads, and
    finds what interrupted copies and downloads leave behind. Files of which this cannot be said are
    decoded. Damage in the middle of a file shows when it is read.
    """
    with path.open("rb", buffering=0) as file:
        begin = file.read(8)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - END_BYTES))
        end = file.read(END_BYTES)
    if not size:
        return "empty"
    if begin == PNG_BEGIN:
        return None if PNG_END in end else f"a PNG file cut off after {size} bytes"
    if begin.startswith(JPEG_BEGIN):
        return None if JPEG_END in end else f"a JPEG file cut off after {size} bytes"
    try:
        read_image(path)
    except (InputError, cv2.error):
        return f"{size} bytes that are no image"
    return None


def link_images(groups: dict[str, Sequence[Path]], frames_dir: Path) -> dict[str, str]:
    """Makes images appear as `frames_dir/<video>/<file name>`, without copying where possible.

    Returns:
      {file: reason} of the images that could not be used.
    """
    faults = {}
    bar = tqdm(desc="images", total=sum(map(len, groups.values())), unit="image")
    for video, files in groups.items():
        folder = frames_dir / video
        for file in files:
            bar.update()
            target = folder / file.name
            if target.exists():
                continue
            if fault := find_fault(file):
                faults[str(file)] = f"{file}: {fault}"
                continue
            folder.mkdir(parents=True, exist_ok=True)
            try:
                target.hardlink_to(file)
            except OSError:  # another disk, or a file system without links
                side = folder / f".{file.name}"
                shutil.copyfile(file, side)
                side.replace(target)
    bar.close()
    return faults


class ImageFiles:
    """Image files by row, as `data.index.FrameIndex` gives the frames of a dataset.

    Args:
      path: an image file, or a folder that is searched with its subfolders for image suffixes, in
        natural order; hidden files are passed over.

    Raises:
      InputError: no such path, not an image suffix, or no images in the folder.
    """

    def __init__(self, path: str | Path):
        path = Path(path)
        if path.is_dir():
            files = list_files(path)
            self.files = [file for file in files if is_image(file.name)]
            if not self.files:
                raise InputError(
                    f"{path}: no images among {len(files)} files; images end in "
                    + ", ".join(SUFFIXES)
                )
        elif not path.exists():
            raise InputError(f"{path}: no such file or folder")
        elif path.suffix.lower() not in SUFFIXES:
            raise InputError(f"{path}: not an image; images end in {', '.join(SUFFIXES)}")
        else:
            self.files = [path]

    def __len__(self):
        return len(self.files)

    def paths(self, rows) -> list[str]:
        """Paths of these rows."""
        return [str(self.files[row]) for row in rows]
