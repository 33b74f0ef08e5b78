"""One process at a time at a place: a folder, or a file that is to be."""

import contextlib
import fcntl
import itertools
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from data.common.errors import LockedError
from data.common.logs import logger
from data.storage.folders import remove_folder
from data.storage.paths import AnyPath, is_remote
from data.storage.whole import named_errors

_OWNER = ".owner"  # in a scratch folder, locked by the process that made it
_ATTEMPTS = 100  # to make a folder that others remove at the same time
_TRIES, _MOMENT = 5, 0.02  # seconds between two tries to take a lock
_YOUNG = 60  # seconds in which a folder without an owner may be about to get one


@contextlib.contextmanager
def locked(place: AnyPath, note: str = "lock", what: AnyPath | None = None) -> Iterator[None]:
    """Context in which this process alone writes to a folder, which is made if it is missing.

    The kernel frees the lock when the process ends, however it ends. Object stores have no such
    locks: there the log says that nothing keeps another process away. The note goes at the end, and
    so do folders that were made for it alone.

    Args:
      place: the folder.
      note: name of the file in it that is locked, and says by whom.
      what: what an error is about, if not the folder.

    Raises:
      LockedError: another process has the lock.
    """
    if is_remote(place):
        logger.warning("%s: cannot be locked; see that no other run writes here", place)
        yield
        return
    made = [folder for folder in (place, *place.parents) if not folder.exists()]
    try:
        with _lock(what or place, place / note):
            try:
                yield
            finally:
                (place / note).unlink(missing_ok=True)
    finally:
        with contextlib.suppress(OSError):  # of the first that is not empty, or is not there
            for folder in made:
                folder.rmdir()


def owner_of(note: Path) -> str:
    """Who has the lock that this file notes, in words; "" where nobody has it."""
    try:
        with note.open("r+") as file:
            try:
                # Shared, so that of two who ask neither takes the other for an owner.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().strip() or "starting"
    except FileNotFoundError:
        pass
    return ""


def locked_file(path: AnyPath):
    """The same for a file that is to be, where others may write other files beside it."""
    return locked(path.parent, f".{path.name}.lock", path)


def scratch_folder(prefix: str) -> tempfile.TemporaryDirectory:
    """A temporary folder that lasts as long as the result; what killed processes left is removed.

    Args:
      prefix: of its name, by which others of its kind are found beside it.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # of another user, or removed meanwhile
            _remove_unowned(left)
    folder = tempfile.TemporaryDirectory(prefix=prefix)
    folder.owner = (Path(folder.name) / _OWNER).open("w")
    fcntl.flock(folder.owner, fcntl.LOCK_EX)
    return folder


def _remove_unowned(folder: Path) -> None:
    """Removes a scratch folder unless its process is there, or has only just made it."""
    note = folder / _OWNER
    if not note.exists():
        if time.time() - folder.stat().st_mtime > _YOUNG:
            remove_folder(folder)
        return
    with note.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where its process has it
        remove_folder(folder)


@contextlib.contextmanager
def _lock(what: Path, note: Path) -> Iterator[None]:
    with _open(note) as file:
        try:
            _take(file)
        except BlockingIOError:
            file.seek(0)
            raise LockedError(
                f"{what}: another run is writing here ({file.read().strip() or 'starting'}); "
                "wait for it, or use another place"
            ) from None
        if _is_at(file, note):
            try:
                with named_errors(note):
                    os.truncate(note, 0)
                    # By no buffer, which would be written once more when the file is closed.
                    owner = f"process {os.getpid()} on {socket.gethostname()}"
                    os.write(file.fileno(), owner.encode())
            except BaseException:  # a full disk, Ctrl-C: an empty file would say nothing
                note.unlink(missing_ok=True)
                raise
            yield
            return
    with _lock(what, note):  # its owner has removed it meanwhile
        yield


def _take(file) -> None:
    """Takes the lock; raises `BlockingIOError` where another process keeps it.

    One that only asks who has it (`owner_of`) has it for a moment.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_MOMENT)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _open(note: Path):
    place, attempts = note.parent, itertools.count(1)
    while True:
        try:
            place.mkdir(parents=True, exist_ok=True)
            return note.open("a+")
        except (FileNotFoundError, FileExistsError):  # removed meanwhile, or not to be made
            if place.is_file() or next(attempts) == _ATTEMPTS:
                raise


def _is_at(file, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
