"""What lies in folders: the one place where the folders of users are listed.

What cannot be used is named, and the rest is: names that are not UTF-8 or have line breaks, which
neither TensorFlow nor tables can hold; files and folders without permission; links to nothing;
pipes, sockets and devices, at which a reader would wait for ever.
"""

import os
import stat
from pathlib import Path

from data.common.errors import has_controls, is_utf8, printable, reason_of
from data.images.names import natural_key
from data.storage.folders import files_below
from data.storage.paths import AnyPath, is_remote

KINDS = {stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket"}


def list_files(
    folder: AnyPath, faults: list[str], passed_over: list[Path] | None = None
) -> list[AnyPath]:
    """All files in a folder and below it, in natural order; hidden files and folders are not.

    Links to folders are followed. A folder that several paths lead to is listed once, under its own
    path if that is among them: links may form circles.

    Args:
      folder: where to begin.
      faults: receives a line for each file or folder that cannot be used.
      passed_over: receives the links to folders that are listed under another path, circles apart.
    """
    if is_remote(folder):
        files = {file.relative_to(folder).as_posix(): file for file in files_below(folder)}
        visible = [below for below in files if not is_hidden(below)]
        return [files[below] for below in sorted(visible, key=natural_key)]
    found, seen = [], {_identity(place) for place in folder.resolve().parents}
    folders, links = [folder], []
    while folders or links:
        place = folders.pop() if folders else links.pop(0)
        if not os.path.lexists(place):
            continue
        identity = _identity(place)
        if identity in seen:
            is_circle = place.parent.resolve().is_relative_to(place.resolve())
            if passed_over is not None and not is_circle:
                passed_over.append(place)
        else:
            seen.add(identity)
            below, files = list_folder(place, faults)
            found += files
            for entry in below:
                (links if entry.is_symlink() else folders).append(entry)
    return sorted(found, key=lambda file: natural_key(str(file)))


def is_hidden(path: str) -> bool:
    """Whether a name in a path begins with a dot."""
    return any(part.startswith(".") for part in path.split("/"))


def list_folder(folder: AnyPath, faults: list[str]) -> tuple[list[AnyPath], list[AnyPath]]:
    """(folders, files) that lie in a folder, as `list_files` lists them."""
    if is_remote(folder):
        found = sorted(folder.iterdir(), key=lambda path: natural_key(path.name))
        found = [path for path in found if not is_hidden(path.name)]
        folders = [path for path in found if path.is_dir()]
        return folders, [path for path in found if path not in folders]
    try:
        names = sorted(os.listdir(folder), key=natural_key)  # noqa: PTH208
    except OSError as error:
        faults.append(f"{printable(folder)}: {reason_of(error)}")
        return [], []
    folders, files = [], []
    for path in (folder / name for name in names if not name.startswith(".")):
        if (mode := _usable_mode(path, faults)) is not None:
            (folders if stat.S_ISDIR(mode) else files).append(path)
    return folders, files


def is_usable(path: Path, faults: list[str]) -> bool:
    """Whether a file or folder can be read; else `faults` receives a line."""
    return _usable_mode(path, faults) is not None


def _usable_mode(path: Path, faults: list[str]) -> int | None:
    """`st_mode` of a file or folder that can be read; else None, and `faults` receives a line."""
    try:
        mode, fault = path.stat().st_mode, None
    except OSError as error:
        is_link = path.is_symlink() and isinstance(error, FileNotFoundError)
        mode, fault = None, "a link to nothing" if is_link else reason_of(error)
    fault = _find_fault_of_name(path) or fault or _find_obstacle(path, mode)
    if not fault:
        return mode
    faults.append(f"{printable(path)}: {fault}")
    return None


def _find_fault_of_name(path: Path) -> str | None:
    if not is_utf8(path):
        return "its name is not UTF-8; expected a name that is; rename it"
    if has_controls(path.name):
        return "its name has a line break or another control character; rename it"
    return None


def _find_obstacle(path: Path, mode: int) -> str | None:
    is_folder = stat.S_ISDIR(mode)
    if not is_folder and not stat.S_ISREG(mode):
        return f"a {KINDS.get(stat.S_IFMT(mode), 'device')}; expected a file"
    if not os.access(path, os.R_OK | (os.X_OK if is_folder else 0)):
        return "permission denied"
    return None


def _identity(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_dev, state.st_ino
