"""Whether image files can be used: each is decoded, once."""

import contextlib
import itertools
import warnings
from array import array
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from data.common.errors import reason_of, some
from data.common.machine import available_cores
from data.images.decoding import PILLOW_ERRORS, find_damage
from data.images.image_io import read_bytes
from data.storage.whole import whole_file

WHOLE_IMAGES = ".whole_images.npy"  # in a dataset directory
SEVERAL = {".tif": "TIFF files", ".tiff": "TIFF files", ".webp": "WebP files"}
AT_ONCE = 16  # images that a thread is given: one by one, that would take longer than to ask
SUBFILE, REDUCED = 254, 1  # a tag of TIFF, and what it has of a version that is smaller


def find_fault(path: Path) -> str | None:
    """Why an image cannot be used, or None."""
    try:
        return find_damage(read_bytes(path).tobytes())
    except OSError as error:
        return reason_of(error)


def say_several(files: Iterable[Path]) -> list[str]:
    """Lines about files that hold several pictures, of which `read_image` takes the first.

    A TIFF file's smaller versions of its picture are none.
    """
    found = {}
    for file in files:
        if file.suffix.lower() in SEVERAL and _count_pictures(file) > 1:
            found.setdefault(SEVERAL[file.suffix.lower()], []).append(file)
    return [
        f"{some(of_kind)}: {len(of_kind)} {kind} with several pictures; the first of each is used"
        for kind, of_kind in found.items()
    ]


def _count_pictures(file: Path) -> int:
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(file) as opened:
            number = getattr(opened, "n_frames", 1)
            if opened.format != "TIFF":
                return number
            count = 0
            for page in range(number):
                opened.seek(page)
                count += not opened.tag_v2.get(SUBFILE, 0) & REDUCED
            return count
    except PILLOW_ERRORS:  # said where it is read
        return 0


@contextlib.contextmanager
def fault_finder(note: Path) -> Iterator[Callable[[Iterable[Path]], Iterator[str | None]]]:
    """Context with a function that says of each of several images what `find_fault` does.

    It uses all cores. Files that were found whole before, and have the same size and time of
    change since, are not read again.

    Args:
      note: keeps which files are whole, 8 bytes for each; where its folder is missing or cannot be
        written to, nothing is kept.
    """
    try:
        known = np.load(note, allow_pickle=False)
    except (OSError, ValueError, EOFError):  # none yet, or damaged
        known = np.empty(0, np.int64)
    found = array("q")  # a set of tens of millions would take gigabytes

    def fault_of(path):
        try:
            state = _state(path)
        except OSError as error:
            return reason_of(error)
        place = np.searchsorted(known, state)
        if place < len(known) and known[place] == state:
            return None
        fault = find_fault(path)
        if fault is None:
            found.append(state)
        return fault

    def find_faults(paths):
        paths = list(paths)
        groups = [paths[first : first + AT_ONCE] for first in range(0, len(paths), AT_ONCE)]
        faults = pool.map(lambda group: [fault_of(path) for path in group], groups)
        return itertools.chain.from_iterable(faults)

    with ThreadPoolExecutor(available_cores()) as pool:  # decoding leaves Python's lock to others
        try:
            yield find_faults
        finally:
            if found:
                with contextlib.suppress(OSError), whole_file(note) as side, side.open("wb") as out:
                    np.save(out, _joined(known, np.frombuffer(found, np.int64)))


def _joined(known: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Both, sorted, each once; of tens of millions, `np.union1d` would take gigabytes."""
    states = np.concatenate([known, found])
    states.sort()
    is_first = np.ones(len(states), bool)
    np.not_equal(states[1:], states[:-1], out=is_first[1:])
    return states[is_first]


def _state(path: Path) -> int:
    """64 bits that tell one state of one file from others, wherever it is linked or moved to."""
    state = path.stat()
    return hash((state.st_ino, state.st_size, state.st_mtime_ns))
