"""The parts of one video, and by what a file is known to be of it."""

import contextlib
import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath

import numpy as np

from data.common.machine import available_cores
from data.images.names import is_image
from data.storage.folders import remove_folder
from data.storage.paths import AnyPath, is_remote, to_path
from data.storage.whole import whole_file
from data.video.names import KnownNames, content_digest, head_digest, is_video, sources_of
from down_stream.inference.parts.notes import VIDEO, parts_folder, read_note, write_note


class VideoParts:
    """The parts of one video.

    Args:
      folder: need not exist.
      video: its name.
      length: how many frames it has.

    Attributes:
      is_damaged: whether its files are known to hold less than the video.
      stop: the first row of the video that has not been tried.
    """

    def __init__(self, folder: AnyPath, video: str, length: int):
        self.folder, self.video, self.length = folder, video, length
        self.is_damaged = False
        files = self.files
        self.stop = _stop(files[-1]) if files else 0

    @property
    def files(self) -> list[AnyPath]:
        """In order; a file's name is the row after its last."""
        return sorted(self.folder.glob("part_*.npz"))

    @property
    def is_done(self) -> bool:
        return self.stop == self.length

    def may_be_there(self) -> bool:
        """Whether one of its files is there, or nothing can tell."""
        return any(map(may_be_there, set(self.whole("path", object))))

    def add(self, stop: int, table: Mapping[str, np.ndarray], faults: Sequence[str]) -> None:
        """Keeps a part: arrays [n, ...] by name, and a line for each row that is unreadable."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._note(table.get("path", ()), self.is_damaged or len(faults) > 0)
        with whole_file(self.folder / f"part_{stop:012d}.npz", durable=True) as side:
            np.savez(side, faults=np.array(faults, np.str_), **table)
        self.stop = stop

    def _note(self, paths: Sequence[str], is_damaged: bool) -> None:
        """Notes which video it is; of a damaged one also its beginning, for when it is mended."""
        path = self.folder / VIDEO
        is_there = path.is_file()
        if is_there:
            note = read_note(path)
        else:
            note = {"video": self.video, "frames": self.length} | content_of(paths)
        if is_damaged and "content" in note and "head" not in note and len(paths):
            note["head"] = head_digest(Path(paths[0]))
        elif is_there:
            return
        write_note(path, note)

    def column(self, name: str) -> Iterator[np.ndarray]:
        """The arrays of one name, part by part; parts without a readable frame are left out."""
        for file in self.files:
            with file.open("rb") as content, np.load(content, allow_pickle=False) as part:
                if name in part:
                    yield part[name]

    def whole(self, name: str, dtype=None) -> np.ndarray:
        """A small column as one array."""
        return np.concatenate([np.empty(0, dtype), *self.column(name)])

    def drop_from(self, row: int) -> None:
        """Removes the part with a row and those after it, the last first: no gap is left."""
        while self.stop > row:
            *before, last = self.files
            last.unlink()
            self.stop = _stop(before[-1]) if before else 0

    def move(self, folder: AnyPath) -> "VideoParts":
        """Gives the parts another folder."""
        self.folder.rename(folder)
        return VideoParts(folder, self.video, self.length)

    def remove(self) -> None:
        remove_folder(self.folder)
        self.stop = 0


def known_names(output: AnyPath) -> KnownNames:
    """The names that videos have in the parts of a table."""
    places, states, taken, heads = {}, {}, set(), {}
    for folder in sorted(parts_folder(output).glob("*"), key=lambda folder: folder.name):
        note = read_note(folder / VIDEO)
        name, paths = note["video"], VideoParts(folder, note["video"], 0).column("path")
        path = next((of_part[0] for of_part in paths if len(of_part)), None)
        if path is None or not is_video(PurePath(path).name):
            continue
        taken.add(name)
        places[sources_of(Path(path))[0]] = name
        if "content" in note:
            states[name, note["bytes"]] = note["content"]
        if head := note.get("head"):
            heads.setdefault(head, name)
    return KnownNames(places, states, frozenset(taken), heads=heads)


def content_of(paths: Sequence[str]) -> dict:
    """By what the file of a video is known again where it was moved; of one file alone.

    Args:
      paths: of frames of the video.
    """
    paths = set(np.asarray(paths).tolist())
    if len(paths) != 1 or not is_video(PurePath(*paths).name) or not Path(*paths).is_file():
        return {}
    file = Path(*paths)
    return {"bytes": file.stat().st_size, "content": content_digest(file)}


def digests_of_images(paths: Sequence[str], until: float = math.inf) -> np.ndarray | None:
    """By what images are known again of which only the times of change are others.

    Args:
      paths: of the images.
      until: seconds since 1970; what has changed since is not what was read before.

    Returns:
      uint64 [n], 0 of what cannot be told; None where they are not all images, one in a file.
    """
    if not all(is_image(PurePath(path).name) and not is_remote(path) for path in paths):
        return None

    def digest(path):
        with contextlib.suppress(OSError), Path(path).open("rb") as file:
            content = hashlib.file_digest(file, "blake2b").digest()
            if os.fstat(file.fileno()).st_ctime < until:
                return int.from_bytes(content[:8], "big") or 1
        return 0

    with ThreadPoolExecutor(available_cores()) as pool:  # both leave Python's lock to others
        return np.fromiter(pool.map(digest, paths), np.uint64, len(paths))


def may_be_there(path: str) -> bool:
    """Whether a file is there, or nothing can tell."""
    try:
        to_path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return PurePath(path).name == path  # of what was in DICOM files no path is known
    except OSError:
        return True
    return True


def _stop(part: AnyPath) -> int:
    return int(part.stem.removeprefix("part_"))
