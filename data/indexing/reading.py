"""All videos of a dataset, read one by one for its index: by threads here, or by workers elsewhere.

Both call the same function for each video, and results come in the order of the videos.
"""

import contextlib
import functools
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from data.annotations.joining import Annotated
from data.common.errors import InputError
from data.common.progress import ProgressBar
from data.extraction.calls import Spread
from data.images.completeness import WHOLE_IMAGES, fault_finder
from data.indexing.cleaning import CROPPED
from data.storage.folders import copy_folder
from data.storage.locking import scratch_folder
from data.storage.paths import AnyPath, is_remote

VIDEOS_AT_ONCE = 64  # that are in memory, and written as one group of rows


def read_here(
    root: AnyPath, videos: Sequence[str], read: Callable, annotated: Annotated
) -> Iterator[Any]:
    """What `read` returns of each video.

    Args:
      root: dataset directory.
      videos: names.
      read: called with the dataset directory, a name, and the keywords `annotated` and
        `find_faults`, which is what `fault_finder` gives; returns tables, and what was found.
      annotated: what is known of the dataset's annotations.
    """
    if not videos:  # the note of whole images alone may be large
        return
    with (
        fault_finder(root / WHOLE_IMAGES) as find_faults,
        ThreadPoolExecutor() as pool,  # threads: files are read, and decoded, without Python's lock
        ProgressBar(desc="index", total=len(videos), unit="video") as bar,
    ):
        read = functools.partial(read, root, annotated=annotated, find_faults=find_faults)
        for start in range(0, len(videos), VIDEOS_AT_ONCE):
            for found in pool.map(read, videos[start : start + VIDEOS_AT_ONCE]):
                yield found
                bar.update()


def read_elsewhere(
    root: AnyPath, videos: Sequence[str], read: Callable, annotated: Annotated, spread: Spread
) -> Iterator[Any]:
    """The same by workers, each with its own note of which images are whole.

    Args:
      read: can be pickled.
      spread: has them called; what it keeps is of this run alone, for anything may change until
        the next one.
    """
    run = uuid.uuid4().hex
    calls = {name: functools.partial(_read, root, name, read, annotated) for name in videos}
    for name, result in spread("index", calls, {name: f"{run} {name}" for name in videos}):
        if isinstance(result, InputError):
            raise result
        found, is_untimed, authors = result
        annotated.untimed.extend([name] if is_untimed else [])
        annotated.authors.update({name: authors} if authors is not None else {})
        yield found


def _read(root: AnyPath, video: str, read: Callable, annotated: Annotated, stop, writer):
    """What `read` returns, and what it has told `annotated` of the video."""
    del stop, writer  # it takes no time, and writes nothing that others do
    with (
        _staged(root, video) as place,
        fault_finder(place / "frames" / video / WHOLE_IMAGES) as find_faults,
    ):
        *tables, audit = read(place, video, annotated=annotated, find_faults=find_faults)
        for findings in (audit.remarks, audit.problems):
            findings[:] = [line.replace(str(place), str(root)) for line in findings]
    return (*tables, audit), video in annotated.untimed, annotated.authors.get(video)


@contextlib.contextmanager
def _staged(root: AnyPath, video: str) -> Iterator[Path]:
    """Context with a dataset directory on this machine that has the frames of one video.

    What is cropped of them is stored at the end.
    """
    if not is_remote(root):
        yield root
        return
    with scratch_folder("reading-") as scratch:
        place = Path(scratch)
        copy_folder(root / "frames" / video, place / "frames" / video)
        yield place
        if (place / CROPPED).is_dir():
            copy_folder(place / CROPPED, root / CROPPED)
