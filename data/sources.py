"""Where a dataset's videos and images come from: a folder, an archive, its own videos/."""

import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlparse

from absl import logging

from data import cholec80, download
from data.errors import InputError
from data.frames import is_video, name_videos
from data.image_files import group_images, is_image, list_files
from data.record_files import find_records

UNPACKING = ".unpacking"  # in the dataset directory while an archive is unpacked into it


@dataclass(frozen=True)
class Media:
    """Videos and images found in a folder.

    Attributes:
      videos: name -> file.
      images: name of the video -> its image files.
      others: files that are neither.
    """

    videos: dict[str, Path]
    images: dict[str, list[Path]]
    others: list[Path]


def find_media(folder: Path, outside: Path) -> Media:
    """Searches a folder and those below it, except for what lies in the folder `outside`.

    Raises:
      InputError: the folder is missing or holds neither videos nor images, or two of them would
        have the same name.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; one with videos or images is needed")
    outside = outside.resolve()
    files = [file for file in list_files(folder) if outside not in file.resolve().parents]
    videos = name_videos(folder, (file for file in files if is_video(file.name)))
    images = group_images(folder, (file for file in files if is_image(file.name)))
    if not videos and not images:
        raise InputError(f"{folder}: neither videos nor images among its {len(files)} files")
    for name in sorted(videos.keys() & images.keys()):
        raise InputError(
            f"{videos[name]} and {images[name][0]} would both be of {name}; rename one"
        )
    others = [file for file in files if not is_video(file.name) and not is_image(file.name)]
    return Media(videos, images, others)


def own_videos(root: Path) -> dict[str, Path]:
    """{name: file} of the videos in `root/videos`; empty where there are none."""
    folder = root / "videos"
    return name_videos(folder, (file for file in list_files(folder) if is_video(file.name)))


def needs_archive(root: Path) -> bool:
    """Whether a dataset has neither videos, frames nor records, or not yet all its archive's."""
    folders = (root / "videos", root / "frames")
    has_files = any(folder.is_dir() and any(folder.iterdir()) for folder in folders)
    return (root / UNPACKING).exists() or not (has_files or find_records(root))


def unpack_archive(root: Path, url: str, archive: Path | None, verify: bool, keep: bool) -> None:
    """Fetches Cholec80's archive, or takes one that is there, and unpacks it into `root`.

    Args:
      root: dataset directory.
      url: where to fetch it; it is written beside `root`.
      archive: a file to take instead; it is not deleted.
      verify: whether to compare the MD5.
      keep: whether a fetched archive is kept.

    Raises:
      InputError: what `data.download` raises.
    """
    md5 = cholec80.ARCHIVE_MD5 if verify else None
    if archive is None:
        target = root.parent / PurePosixPath(urlparse(url).path).name
        needed = cholec80.ARCHIVE_BYTES_NEEDED
        path = download.fetch(url, target, md5=md5, bytes_needed=needed)
    else:
        path = archive
        if not tarfile.is_tarfile(path):
            raise InputError(f"{path}: not a tar or tar.gz archive")
        if md5:
            download.verify(path, md5)
    root.mkdir(parents=True, exist_ok=True)
    (root / UNPACKING).touch()  # until it is gone, the next call goes on here
    download.unpack(path, root)
    (root / UNPACKING).unlink()
    if archive is None and not keep:
        path.unlink()
        logging.info("%s: unpacked and deleted", path)
