"""Room on the disk, and a progress bar over bytes, for fetching and unpacking."""

import shutil
from pathlib import Path

from data.common.errors import InputError
from data.common.progress import ProgressBar

CHUNK_BYTES = 1 << 18


def progress_bar(text: str, total: int | None, **options) -> ProgressBar:
    """A bar over bytes; `total` None where nobody knows it."""
    return ProgressBar(desc=text, total=total, unit="B", unit_scale=True, **options)


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raises `InputError` if the disk of `folder`, which need not exist yet, has less left."""
    place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        needed, free = (ProgressBar.format_sizeof(size, "B") for size in (needed, free))
        raise InputError(f"{what}: needs {needed} more; {folder} has {free} free")
