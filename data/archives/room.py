"""Room on the disk, and a progress bar over bytes, for fetching and unpacking."""

import shutil
from pathlib import Path

from data.common.errors import InputError
from data.common.progress import ProgressBar

CHUNK_BYTES = 1 << 18


def progress_bar(text: str, total: int | None, **options) -> ProgressBar:
    """A bar over bytes; `total` None where nobody knows it."""
    return ProgressBar(desc=text, total=total, unit="B", unit_scale=True, **options)


def free_space(folder: Path) -> int:
    """Bytes that are free on the disk of a folder, which need not exist yet."""
    place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(place).free


def say_bytes(size: float) -> str:
    """A number of bytes in words."""
    return ProgressBar.format_sizeof(size, "B")


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raises `InputError` if the disk of `folder`, which need not exist yet, has less left."""
    free = free_space(folder)
    if needed > free:
        raise InputError(
            f"{what}: needs {say_bytes(needed)} more; {folder} has {say_bytes(free)} free"
        )
