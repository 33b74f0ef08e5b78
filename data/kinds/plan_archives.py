"""The plans of what is no folder of videos: archives, folders of classes, rendered miniatures."""

from collections.abc import Mapping
from pathlib import Path

from data.archives.room import say_bytes
from data.archives.unpack_zip import unpacked_bytes
from data.archives.unpacking import check_kind, is_zip
from data.common.errors import InputError
from data.dataset import cholec80
from data.dataset.audit import Audit
from data.image_classes.image_table import given_places, read_tables
from data.image_classes.layout import read_layout
from data.image_classes.neopolyp import find_neopolyp
from data.image_classes.writing import check_margin
from data.images.folders import list_files
from data.kinds.plan import Plan
from data.kinds.plan_videos import plan_videos
from data.preparation.media import Media
from data.public_datasets.preparing import FIND, UNPACKED
from data.video.parts import VideoFiles


def plan_public(kind: str, root: Path, archive: Path, settings: Mapping, audit: Audit) -> Plan:
    """A public dataset: of a folder, what is in it; of an archive, its size.

    Raises:
      InputError: the archive is missing, or a folder does not hold the dataset.
    """
    folder = archive if archive.is_dir() else root / UNPACKED
    if not folder.is_dir():
        return plan_archive(archive, root)
    found = FIND[kind](folder)
    videos = {video: VideoFiles((file,)) for video, file in found.videos.items()}
    plan = plan_videos(root, Media(videos, {}, []), settings, audit)
    if found.frames:
        count = sum(map(len, found.frames.values()))
        plan.lines.append(f"{count} frames of {len(found.frames)} videos, to be linked")
    if found.images:
        count = sum(map(len, found.images.values()))
        plan.lines.append(f"{count} images in {len(found.images)} videos, to be linked")
    return plan


def plan_neopolyp(
    root: Path,
    archive: Path,
    crop_margin: float | None,
    sequences: Path | None,
    split: Path | None,
    audit: Audit,
) -> Plan:
    """NeoPolyp: of a folder, what is in it; of an archive, its size.

    Args:
      root: dataset directory.
      archive, crop_margin, sequences, split: as for
        `data.image_classes.neopolyp.prepare_neopolyp`.
      audit: receives what does not fit.

    Raises:
      InputError: the archive is missing, or a folder does not hold it; no such table; or another
        margin was asked for before.
    """
    check_margin(root, crop_margin)
    folder = archive if archive.is_dir() else root / UNPACKED
    if not folder.is_dir():
        read_tables(sequences, split, folder, [], Audit())  # nothing is known of its images yet
        return plan_archive(archive, root)
    train, masks, test = find_neopolyp(folder)
    columns = read_tables(sequences, split, folder, list(train.values()), audit)
    given_places(split or sequences, columns)
    line = f"{len(train)} images, {len(masks)} masks; {len(test)} images without"
    return Plan([line, "to be linked" if crop_margin is None else "polyps to be cropped"])


def plan_archive(archive: Path | None, root: Path) -> Plan:
    """An archive that is to be unpacked into `root`; None is Cholec80's, to be fetched.

    Raises:
      InputError: no such file, or it is no archive that is read.
    """
    if archive is None:
        needed = cholec80.ARCHIVE_BYTES_NEEDED
        line = f"to be fetched and unpacked, {say_bytes(needed)} side by side; then frames"
        return Plan([line], needed, is_certain=False)
    if archive.is_dir():
        files = list_files(archive, [])
        return Plan([f"{archive}: {len(files)} files, to be linked or read"], is_certain=True)
    if not archive.is_file():
        raise InputError(f"--archive={archive}: no such file or folder")
    check_kind(archive)
    # How far a tar archive is compressed shows when it is unpacked.
    size = unpacked_bytes(archive) if is_zip(archive) else archive.stat().st_size
    there = sum(file.stat().st_size for file in list_files(root, [])) if root.is_dir() else 0
    line = f"{archive}: to be unpacked, {say_bytes(size)}; then frames are extracted, or used"
    return Plan([line], max(0, size - there), is_certain=False)


def plan_classes(
    root: Path,
    folder: Path,
    sequences: Path | None,
    split: Path | None,
    level: str | None,
    audit: Audit,
) -> Plan:
    """Images in classes, which are linked.

    Args:
      root: dataset directory.
      folder: has a folder for each class.
      sequences, split, level: as for `data.image_classes.class_folders.prepare_classes`.
      audit: receives what does not fit.

    Raises:
      InputError: as `data.image_classes.class_folders.prepare_classes`.
    """
    layout = read_layout(folder, level, audit.problems)
    files = [file for of_class in layout.images.values() for file in of_class]
    given_places(split or sequences, read_tables(sequences, split, folder, files, audit))
    lines = [f"{name}: {len(images)} images" for name, images in layout.images.items()]
    how = "checked, and linked where they are on this disk"
    return Plan(
        [*lines, f"{len(files)} images in {len(layout.images)} classes, to be {how}: {root}"]
    )
