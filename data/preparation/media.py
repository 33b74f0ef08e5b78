"""Where a dataset's videos and images come from: a folder, an archive, its own videos/."""

from dataclasses import dataclass
from pathlib import Path

from data.common.errors import InputError
from data.images.finding import group_images, list_files
from data.images.names import is_image
from data.tfrecords.files import find_records
from data.video.names import is_video, name_videos


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
        raise InputError(f"{folder}: no such folder; expected one with videos or images")
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


def has_media(root: Path) -> bool:
    """Whether a dataset directory has videos, frames or record files."""
    folders = (root / "videos", root / "frames")
    has_files = any(folder.is_dir() and any(folder.iterdir()) for folder in folders)
    return has_files or bool(find_records(root))
