"""Unpacks tar archives of strangers safely, and goes on where it was stopped."""

import bz2
import gzip
import lzma
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from tqdm.utils import CallbackIOWrapper

from data.archives.room import CHUNK_BYTES, progress_bar, require_space
from data.archives.unpacking import check_kind, is_unpacked, place_member, write_member
from data.common.errors import InputError

MAX_HEADER_BYTES = 1 << 20  # of an archive's extended headers, which tarfile holds in memory
COMPRESSIONS = {b"\x1f\x8b": gzip.GzipFile, b"\xfd7zXZ\0": lzma.LZMAFile, b"BZh": bz2.BZ2File}
# OSError without a number is what bz2 and gzip raise; a full disk's has one.
DAMAGE = (tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError, ValueError)


def unpack(archive: Path, target: Path) -> None:
    """Unpacks a tar archive (plain, gzip, bzip2 or xz) into the folder `target`.

    Files that are there with the right size are skipped, so that an interrupted unpacking goes on
    where it stopped. A leading folder named like the target is left out: `cholec80/videos/…`
    unpacked to `…/cholec80` makes `…/cholec80/videos/…`.

    Raises:
      InputError: the archive is truncated or damaged, holds something that is neither a file nor a
        folder, leads out of the target, or needs more than the free space. Unpacking stops there.
    """
    check_kind(archive)
    seen = set()
    bar = progress_bar(f"unpacking {archive.name}", archive.stat().st_size)
    with archive.open("rb") as file, bar:
        raw = CallbackIOWrapper(bar.update, file)
        try:
            stream = _decompressed(raw, file.peek(6))
            with tarfile.open(fileobj=stream, mode="r:", tarinfo=_Header) as tar:
                while member := tar.next():
                    bar.update(file.tell() - bar.n)  # what was jumped over
                    tar.members.clear()  # it would keep every header: 200 MB for Cholec80's frames
                    path = _destination(archive, member, target)
                    if member.isdir():
                        path.mkdir(parents=True, exist_ok=True)
                        continue
                    if path in seen:  # by its size alone, one could pass for the other
                        raise InputError(f"{archive}: {member.name!r} is in it twice")
                    seen.add(path)
                    if not is_unpacked(path, member.size):
                        require_space(target, member.size, f"{archive}: {member.name!r}")
                        write_member(tar.extractfile(member), path)
            while stream.read(CHUNK_BYTES):  # the checksum comes last
                bar.update(file.tell() - bar.n)
        except InputError:
            raise
        except (*DAMAGE, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise InputError(
                f"{archive}: truncated, damaged, or not a .tar or .tar.gz, .bz2, .xz ({error}, at "
                f"byte {file.tell()} of {bar.total}); fetch it again"
            ) from error


def _decompressed(raw, begin: bytes):
    """The tar archive in a file that begins with these bytes."""
    for magic, opener in COMPRESSIONS.items():
        if begin.startswith(magic):
            return opener(**{"fileobj" if opener is gzip.GzipFile else "filename": raw})
    return raw


class _Header(tarfile.TarInfo):
    """A header in an archive; one that is cut off or damaged is an error.

    `tarfile` alone takes it for the end, and what follows would be missing silently.
    """

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf == bytes(tarfile.BLOCKSIZE):  # a block of zeros: this is how an archive ends
                raise
            raise tarfile.ReadError(f"bad header ({error})") from error
        if not (header.isreg() or header.isdir()) and header.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"header of {header.size} bytes")
        return header


def _destination(archive: Path, member: tarfile.TarInfo, target: Path) -> Path:
    """Where a member belongs, without a leading folder that is named like the target."""
    name = PurePosixPath(member.name.replace("\\", "/"))  # of Windows
    if name.parts[:1] == (target.absolute().name,):
        name = name.relative_to(name.parts[0])
    is_ordinary = (member.isreg() or member.isdir()) and member.size >= 0
    return place_member(archive, str(name), target, is_ordinary, member.isdir())
