"""What unpacking has in common, whatever the format: where a member may go, what is done already.

Archives are those of strangers: nothing is written outside the target, whatever they say. Each file
appears under its name when it is whole, so that an unpacking that was stopped goes on where it was.
"""

import contextlib
import os
import shutil
import tarfile
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO
from zipfile import is_zipfile

from data.archives.room import CHUNK_BYTES
from data.common.errors import InputError
from data.storage.whole import whole_file

UNPACKING = ".unpacking"  # in a dataset directory while it is being filled
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
SUFFIXES = (".zip", *TARS)
UNREAD = {  # by first bytes
    b"PK\x03\x04": "a zip archive that is cut off or damaged",
    b"(\xb5/\xfd": "compressed by Zstandard, which is not read",
    b"7z\xbc\xaf'\x1c": "a 7z archive, which is not read",
    b"Rar!": "a RAR archive, which is not read",
}
WEB_PAGE = "a web page, perhaps one that asks for a login"


def is_zip(path: Path) -> bool:
    """Whether a file is a zip archive, and not a tar archive that ends with one."""
    with path.open("rb") as file:
        is_tar = file.read(262).endswith(b"ustar")
    return not is_tar and is_zipfile(path)


def is_tar(path: Path) -> bool:
    """Whether a file begins as a tar archive does, compressed or not."""
    try:
        return tarfile.is_tarfile(path)
    except (EOFError, zlib.error):  # compressed, and cut off in its first header
        return False


def check_kind(path: Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Raises `InputError` for a file that begins as something else than an archive that is read.

    Args:
      path: of the file.
      suffixes: of the archives that are.
    """
    with path.open("rb") as file:
        begin = file.read(1024)
    kinds = [kind for magic, kind in UNREAD.items() if begin.startswith(magic)]
    kinds += [WEB_PAGE] if begin.removeprefix(BOM_UTF8).lstrip().startswith(b"<") else []
    if is_zip(path):
        kinds = [] if ".zip" in suffixes else ["a zip archive"]
    elif kinds and is_tar(path):  # the first member's name begins so
        kinds = []
    if kinds:
        expected = f"expected {', '.join(suffixes)}, or the folder with what is in it"
        raise InputError(f"{path}: {kinds[0]}; {expected}")


@contextlib.contextmanager
def filling(root: Path) -> Iterator[None]:
    """Context in which a dataset directory, made if missing, is filled.

    It is marked until nothing was raised, so that `needs_archive` has the next call go on.
    """
    root.mkdir(parents=True, exist_ok=True)
    (root / UNPACKING).touch()
    yield
    (root / UNPACKING).unlink()


def needs_archive(root: Path, has_data: Callable[[Path], object]) -> bool:
    """Whether a dataset directory has no data, or not yet all of its archive's."""
    return (root / UNPACKING).exists() or not has_data(root)


def place_member(archive: Path, name: str, target: Path, is_ordinary: bool, is_dir: bool) -> Path:
    """The path that a member of an archive is unpacked to.

    Args:
      archive: for messages.
      name: of the member, with "/".
      target: the folder to unpack to.
      is_ordinary: whether it is a file or a folder, not a link or a device.
      is_dir: whether it is a folder.

    Raises:
      InputError: it is not ordinary, or its name, or a link that is there, leads out of the target.
    """
    if not is_ordinary:
        raise InputError(f"{archive}: {name!r} is neither a file nor a folder; not unpacked")
    relative = PurePosixPath(name)
    has_drive = bool(PureWindowsPath(name).drive)
    path = target / relative
    # Links may have been there before. In a file's own place one is replaced, not followed.
    folder = Path(os.path.realpath(path if is_dir else path.parent))
    is_inside = folder.is_relative_to(os.path.realpath(target))
    if has_drive or relative.is_absolute() or ".." in relative.parts or not is_inside:
        raise InputError(f"{archive}: {name!r} leads out of {target}; not unpacked")
    return path


def is_unpacked(path: Path, size: int) -> bool:
    """Whether a file of this size is at `path`, and no link."""
    return path.is_file() and not path.is_symlink() and path.stat().st_size == size


def write_member(source: BinaryIO, path: Path) -> None:
    """Copies the content of a member to `path`, and makes missing folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as side, side.open("wb") as file:
        shutil.copyfileobj(source, file, CHUNK_BYTES)
