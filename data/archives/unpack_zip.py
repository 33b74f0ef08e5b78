"""Unpacking a zip archive safely: nothing is written outside the target, whatever it says."""

import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from data.common.errors import InputError
from data.storage.whole import whole_file

CHUNK_BYTES = 1 << 18
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


def unpack_zip(archive: Path, target: Path) -> None:
    """Unpacks a zip archive into the folder `target`, as `data.archives.unpack_tar` does for tar.

    Files that are there with the right size are skipped, so that an interrupted unpacking goes on
    where it stopped; each is written under another name first. Hidden files and macOS' resource
    forks (`__MACOSX`) are left out.

    Raises:
      InputError: the archive is damaged or encrypted, holds something that is neither a file nor a
        folder, leads out of the target, or needs more than the free space.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            places = {member: _destination(archive, member, target) for member in opened.infolist()}
            members = [member for member in places if _is_wanted(member)]
            _require_room(archive, members, target)
            bar = tqdm(desc=f"unpacking {archive.name}", total=len(members), unit="file")
            for member in members:
                bar.update()
                path = places[member]
                if not (path.is_file() and path.stat().st_size == member.file_size):
                    _write(opened, member, path)
            bar.close()
    except _UNREADABLE as error:
        raise InputError(f"{archive}: cannot be unpacked ({error}); is it complete?") from error


def list_zip(archive: Path) -> list[str]:
    """Names of what a zip archive holds; raises `InputError` where it is damaged."""
    try:
        with zipfile.ZipFile(archive) as opened:
            return opened.namelist()
    except _UNREADABLE as error:
        raise InputError(f"{archive}: not readable as a zip archive ({error})") from error


def _destination(archive: Path, member: zipfile.ZipInfo, target: Path) -> Path:
    """Where a member belongs; raises `InputError` for what has no place in the target."""
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InputError(
            f"{archive}: {member.filename!r} is neither a file nor a folder; not unpacked"
        )
    name = PurePosixPath(member.filename)
    path = target / name
    inside = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(target))
    if name.is_absolute() or ".." in name.parts or "\\" in member.filename or not inside:
        raise InputError(f"{archive}: {member.filename!r} leads out of {target}; not unpacked")
    return path


def _is_wanted(member: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(member.filename).parts
    return not (member.is_dir() or any(p == "__MACOSX" or p.startswith(".") for p in parts))


def _require_room(archive: Path, members: list[zipfile.ZipInfo], target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    there = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    needed = sum(member.file_size for member in members) - there
    free = shutil.disk_usage(target).free
    if needed > free:
        needed, free = (tqdm.format_sizeof(size, "B") for size in (needed, free))
        raise InputError(f"{archive}: needs {needed} more, {target} has {free} free")


def _write(opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as side, opened.open(member) as source, side.open("wb") as file:
        shutil.copyfileobj(source, file, CHUNK_BYTES)
