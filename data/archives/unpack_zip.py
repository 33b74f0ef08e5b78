"""Unpacks zip archives of strangers safely, and goes on where it was stopped."""

import contextlib
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data.archives.room import progress_bar, require_space
from data.archives.unpacking import is_unpacked, place_member, write_member
from data.common.errors import InputError

ENCRYPTED = 1  # bit of a member's flags
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)


def unpack_zip(archive: Path, target: Path) -> None:
    """Unpacks a zip archive into the folder `target`, as `data.archives.unpack_tar` does for tar.

    Files that are there with the right size are skipped, so that an interrupted unpacking goes on
    where it stopped. Hidden files and macOS' resource forks (`__MACOSX`) are left out.

    Raises:
      InputError: the archive is damaged or encrypted, holds something that is neither a file nor a
        folder, leads out of the target, or needs more than the free space.
    """
    with _opened(archive) as opened:
        places = {member: _destination(archive, member, target) for member in opened.infolist()}
        wanted = {member: path for member, path in places.items() if _is_wanted(member)}
        for name, count in Counter(map(_name, wanted)).items():
            if count > 1:  # by its size alone, one could pass for the other
                raise InputError(f"{archive}: {name!r} is in it twice")
        missing = {
            member: path
            for member, path in wanted.items()
            if not is_unpacked(path, member.file_size)
        }
        total = sum(member.file_size for member in missing)
        require_space(target, total, str(archive))
        with progress_bar(f"unpacking {archive.name}", total) as bar:
            for member, path in missing.items():
                with opened.open(member) as source:
                    write_member(source, path)
                bar.update(member.file_size)


def list_zip(archive: Path) -> list[str]:
    """Names of what a zip archive holds; raises `InputError` where it is damaged or encrypted."""
    with _opened(archive) as opened:
        return [_name(member) for member in opened.infolist()]


def unpacked_bytes(archive: Path) -> int:
    """The size of all that a zip archive holds; raises what `list_zip` raises."""
    with _opened(archive) as opened:
        return sum(member.file_size for member in opened.infolist())


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(archive) as opened:
            if any(member.flag_bits & ENCRYPTED for member in opened.infolist()):
                raise InputError(
                    f"{archive}: encrypted; expected an archive without a password, or the folder "
                    "with what is in it"
                )
            yield opened
    except _UNREADABLE as error:
        raise InputError(f"{archive}: cannot be unpacked ({error}); is it complete?") from error


def _name(member: zipfile.ZipInfo) -> str:
    """With "/", which some programs under Windows do not write."""
    return member.filename.replace("\\", "/")


def _destination(archive: Path, member: zipfile.ZipInfo, target: Path) -> Path:
    kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where it was made under Windows
    is_ordinary = kind in (0, stat.S_IFREG, stat.S_IFDIR)
    name = _name(member)
    return place_member(archive, name, target, is_ordinary, name.endswith("/"))


def _is_wanted(member: zipfile.ZipInfo) -> bool:
    name = _name(member)
    parts = PurePosixPath(name).parts
    return not (name.endswith("/") or any(p == "__MACOSX" or p.startswith(".") for p in parts))
