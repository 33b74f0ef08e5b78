"""Public datasets from their archives: found, handed over to the pipeline, splits as published."""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

from data.annotations.naming import PHASE_LIST
from data.annotations.opening import FOLDER
from data.archives.unpack_tar import unpack
from data.archives.unpack_zip import unpack_zip
from data.archives.unpacking import is_zip
from data.common.errors import InputError
from data.dataset.audit import Audit
from data.dataset.extraction_log import read_log
from data.images.linking import link_file
from data.indexing.cleaning import Cleaning
from data.preparation.media import Media
from data.preparation.pipeline import prepare_videos
from data.public_datasets.autolaparo import find_autolaparo
from data.public_datasets.cataract101 import find_cataract101
from data.public_datasets.cholect import find_cholect45, find_cholect50
from data.public_datasets.heichole import find_heichole
from data.public_datasets.layout import Found, Rows
from data.public_datasets.m2cai16 import find_m2cai16
from data.public_datasets.multibypass140 import find_multibypass140
from data.public_datasets.polyp_images import (
    find_cvc_clinicdb,
    find_endotect,
    find_kvasir_seg,
    find_polypgen,
)
from data.splits.protocols import write_protocols
from data.storage.whole import whole_file, whole_folder
from data.video.decoding import check_settings
from data.video.parts import VideoFiles

FIND: Mapping[str, Callable[[Path], Found]] = {
    "cholect45": find_cholect45,
    "cholect50": find_cholect50,
    "m2cai16": find_m2cai16,
    "heichole": find_heichole,
    "autolaparo": find_autolaparo,
    "multibypass140": find_multibypass140,
    "cataract101": find_cataract101,
    "kvasir_seg": find_kvasir_seg,
    "cvc_clinicdb": find_cvc_clinicdb,
    "polypgen": find_polypgen,
    "endotect": find_endotect,
}
UNPACKED = "unpacked"  # in a dataset directory: what was in an archive


def prepare_public(
    name: str,
    root: Path,
    archive: Path,
    cleaning: Cleaning,
    settings: Mapping,
    workers: int | None,
    audit: Audit,
) -> dict:
    """Makes a dataset of a public archive.

    Args:
      name: one of `FIND`.
      root: dataset directory.
      archive: a zip or tar archive, which is unpacked to `root/unpacked`; or a folder with its
        contents at any depth, from which videos are read and images linked.
      cleaning, settings, workers, audit: as of `prepare_videos`.

    Returns:
      The splits, as `data.splits.protocols.write_splits` does.

    Raises:
      InputError: the archive is missing, damaged or another one, or a setting is out of range.
    """
    check_settings(**settings, workers=workers)
    read_log(root / "frames", settings)
    found = FIND[name](open_archive(archive, root))
    if found.frames and settings["fps"] != 1:
        raise InputError(f"--fps={settings['fps']:g}: {name} is frames at 1 fps; expected --fps=1")
    if found.images and settings["fps"] != 1:
        raise InputError(f"--fps={settings['fps']:g}: {name} is images without time; expected none")
    _write_annotations(root, found)
    for video, images in found.frames.items():
        for number, file in images.items():
            link_file(file, root / "frames" / video / f"{video}_{number:06d}{file.suffix.lower()}")
    videos = {video: VideoFiles((file,)) for video, file in found.videos.items()}
    images = {video: list(files) for video, files in found.images.items()}
    media = Media(videos, images, []) if videos or images else None
    return prepare_videos(root, media, cleaning, settings, workers, audit)


def open_archive(archive: Path, root: Path) -> Path:
    """The folder with the contents of an archive; a file is unpacked into `root` for it."""
    if archive.is_dir():
        return archive
    if not archive.is_file():
        raise InputError(f"--archive={archive}: no such file or folder")
    folder = root / UNPACKED
    if is_zip(archive):
        unpack_zip(archive, folder)
    else:
        unpack(archive, folder)
    folder.mkdir(parents=True, exist_ok=True)  # of an archive with nothing in it
    return folder


def _write_annotations(root: Path, found: Found) -> None:
    """Writes annotations, the list of phases and the splits into a dataset directory."""
    root.mkdir(parents=True, exist_ok=True)
    if found.tables:
        with whole_folder(root / FOLDER, next(iter(found.tables))) as folder:
            for name, rows in found.tables.items():
                _write_table(folder / name, rows)
    if found.phases:
        with whole_file(root / PHASE_LIST) as side:
            side.write_text("".join(f"{phase}\n" for phase in found.phases), encoding="utf-8")
    if found.protocols:
        write_protocols(root, found.protocols)


def _write_table(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
