"""Image files in folders: which video and which frame they are, and whether they are complete."""

import glob
import itertools
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
    return tuple(int(part) if part.isdecimal() else part for part in parts), name


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
    try:
        with path.open("rb", buffering=0) as file:
            begin = file.read(8)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - END_BYTES))
            end = file.read(END_BYTES)
    except OSError as error:
        return (error.strerror or str(error)).lower()
    if begin == PNG_BEGIN or begin.startswith(JPEG_BEGIN) or not size:
        return find_cut(begin + end, size)
    try:
        read_image(path)
    except (InputError, cv2.error):
        return f"{size} bytes that are no image"
    return None


def find_cut(data: bytes, size: int) -> str | None:
    """Whether a file is empty, or a JPEG or PNG file without its end: the reason, or None.

    Decoders paint what is missing grey, and do not say so.

    Args:
      data: the file, or its first and its last bytes.
      size: of the file, in bytes.
    """
    if not size:
        return "empty"
    if data.startswith(PNG_BEGIN) and PNG_END not in data[-END_BYTES:]:
        return f"a PNG file cut off after {size} bytes"
    if data.startswith(JPEG_BEGIN) and JPEG_END not in data[-END_BYTES:]:
        return f"a JPEG file cut off after {size} bytes"
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
            link_file(file, target)
    bar.close()
    return faults


def link_file(file: Path, target: Path) -> None:
    """Makes a file appear as `target` too, without copying it where that is possible.

    Raises:
      InputError: another file is there.
    """
    if target.exists():
        if target.samefile(file) or _is_copy(target, file):
            return
        raise InputError(
            f"{target}: another image than {file}; right would be another --name for other images"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(file)
    except OSError:  # another disk, or a file system without links
        side = target.with_name(f".{target.name}")
        shutil.copy2(file, side)  # with its time, by which a copy is known
        side.replace(target)


def _is_copy(one: Path, other: Path) -> bool:
    one, other = one.stat(), other.stat()
    return (one.st_size, int(one.st_mtime)) == (other.st_size, int(other.st_mtime))


def find_images(path: str | Path) -> tuple[list[Path], Path, int]:
    """The images that a user means by a path.

    Args:
      path: an image file; a folder, which is searched with its subfolders for image suffixes; a
        glob pattern ("frames/*/*.jpg", "**" for folders at any depth); or a text file (.txt) with a
        path per line, of which relative ones begin at its own folder; "# ..." is a comment.

    Returns:
      The images, in natural order, but those of a text file in its order, whether they are there or
      not; the folder that all of them are in or below; and how many other files were passed over.
      Hidden files are neither.

    Raises:
      InputError: nothing there, or no images among what is there.
    """
    place = Path(path)
    if place.is_dir():
        root, files = place, list_files(place)
    elif place.suffix.lower() == ".txt" and place.is_file():
        return _listed_images(place)
    elif place.is_file():
        if not is_image(place.name):
            raise InputError(f"{path}: not an image; images end in {', '.join(SUFFIXES)}")
        return [place], place.parent, 0
    elif glob.has_magic(str(path)):
        root, files = _matching_files(str(path))
    else:
        raise InputError(f"{path}: no such file or folder")
    images = [file for file in files if is_image(file.name)]
    if not images:
        raise InputError(
            f"{path}: no images among {len(files)} files; images end in {', '.join(SUFFIXES)}"
        )
    return images, root, len(files) - len(images)


def _matching_files(pattern: str) -> tuple[Path, list[Path]]:
    """The part of a glob pattern before its first wildcard, and the files that match it."""
    parts = Path(pattern).parts
    fixed = list(itertools.takewhile(lambda part: not glob.has_magic(part), parts))
    found = [Path(name) for name in glob.iglob(pattern, recursive=True)]  # noqa: PTH207
    files = {file for file in found if file.is_file()}
    files.update(*(list_files(folder) for folder in found if folder.is_dir()))
    return Path(*fixed), sorted(files, key=lambda file: natural_key(str(file)))


def _listed_images(place: Path) -> tuple[list[Path], Path, int]:
    try:
        text = place.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{place}: not UTF-8; right would be a path per line in it") from error
    if "\0" in text:  # UTF-16 without its mark, or no text at all
        raise InputError(f"{place}: holds zero bytes; right would be a path per line, in UTF-8")
    lines = [line.strip() for line in text.split("\n")]
    files = [place.parent / line for line in lines if line and not line.startswith("#")]
    if not files:
        raise InputError(f"{place}: no paths in it; one per line is needed")
    return files, Path(os.path.commonpath([_plain(file.parent) for file in files])), 0


def place_in_video(file: Path, root: Path) -> tuple[str, int | None]:
    """The video that an image is of, and its number there if its name is `<video>_NNNNNN`.

    Args:
      file: in `root` or in a folder below it.
      root: where the search for images began.

    Returns:
      The name as `group_images` gives it, and the number, counted from 1, or None.
    """
    parts = _plain(file).relative_to(_plain(root)).parent.parts
    video = "_".join(parts) or video_of(file.stem)
    return video, official_number(file.stem, parts[-1] if parts else video)


def _plain(path: Path) -> Path:
    """The absolute path without "..", for names: one folder is one video, however it is written."""
    return Path(os.path.abspath(path))  # noqa: PTH100, of links nothing is resolved
