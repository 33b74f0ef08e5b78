r"""Frames at random from shards against small files: on a disk, and from a server of objects.

  python -m tests.benchmarks.packed

Frames are rendered, 854 x 480, JPEG, each under many names: FRAMES files, and the same in shards by
`prepare.py --pack`. They are read as pre-training reads them, in a permutation of all, by as many
threads as there are cores: decoded ("value"), as bytes from memory, and as bytes after the system
was told to forget the files. The server is moto's, in another process of this machine, so that it
is requests that are compared, not a network; it reads all of an object to answer for a part, which
Amazon's does not, and so has small shards here. Takes three minutes and 3 GB of disk.
"""

import os
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from data.common.machine import available_cores
from data.frames.frames import Frames
from data.frames.opening import open_source
from data.images.image_io import read_bytes
from data.indexing.building import build_index
from data.storage.folders import copy_folder
from data.tfrecords.packing import pack_frames
from tests.benchmarks.index import draw_images
from tests.benchmarks.report import interleaved, median_ratio, run
from tests.support.object_store import new_place, s3_server

FRAMES, VIDEOS, SHARD = 10_000, 20, 64  # of a shard: MB, so that there are some
REMOTE_VIDEOS, REMOTE_SHARD = 1, 1  # on the server; MB
READ, DECODED, REQUESTS, ROUNDS = 4000, 800, 200, 7


def measure() -> dict:
    """Makes a dataset twice and reads both in turns."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "corpus")
        make_dataset(root, Path(folder, "images"))
        pack_frames(root, SHARD)
        sources = {kind: open_source(kind, root) for kind in ("images", "packed")}
        shards = len(sources["packed"].files(slice(None)))
        rows = Rows(len(sources["images"]))
        decoded = compare(sources, lambda s: read_rows(s.read, rows.next(DECODED)))
        warm = compare(sources, lambda s: read_rows(reader_of(s), rows.next(READ)))
        files = [*root.rglob("*.jpg"), *root.rglob("*.tfrecord")]
        cold = compare(
            sources, lambda s: read_rows(reader_of(s), rows.next(READ)), lambda: forget(files)
        )
        open_files = most_open(sources["packed"], rows.next(READ))
        remote = measure_remote(root)
    return {
        "measured": f"random frames from {shards} shards on a disk, decoded",
        "unit": "images/s",
        "value": DECODED / statistics.median(decoded["packed"]),
        "baseline": f"the same from {FRAMES} files",
        "baseline_value": DECODED / statistics.median(decoded["images"]),
        "ratio": median_ratio(decoded["images"], decoded["packed"]),
        **said("bytes_in_memory", warm, READ),
        **said("bytes_forgotten", cold, READ),
        **said("server", remote, REQUESTS),
        "most_files_open_at_once": open_files,
    }


def measure_remote(root: Path) -> dict[str, list[float]]:
    """Seconds for REQUESTS frames of a part of the dataset, from a server."""
    part = root.with_name("part")
    for video in sorted((root / "frames").iterdir())[:REMOTE_VIDEOS]:
        (part / "frames").mkdir(parents=True, exist_ok=True)
        video.rename(part / "frames" / video.name)
    build_index(part)
    pack_frames(part, REMOTE_SHARD)
    with s3_server():
        copy_folder(part, remote := new_place() / "corpus")
        sources = {kind: open_source(kind, remote) for kind in ("images", "packed")}
        rows = Rows(len(sources["images"]))
        return compare(sources, lambda s: read_rows(reader_of(s), rows.next(REQUESTS)))


class Rows:
    """The rows of one permutation after another."""

    def __init__(self, count: int):
        self._random, self._count, self._left = np.random.default_rng(0), count, []

    def next(self, count: int) -> list[int]:
        """So many more."""
        while len(self._left) < count:
            self._left += self._random.permutation(self._count).tolist()
        taken, self._left = self._left[:count], self._left[count:]
        return taken


def compare(sources: dict[str, Frames], call, before=lambda: None) -> dict[str, list[float]]:
    """Seconds of `call` with each source, in turns; `before` is called before each, untimed."""
    taken = {kind: [] for kind in sources}
    for number in range(ROUNDS + 1):
        for kind, source in sources.items():
            before()
            once = interleaved({kind: lambda source=source: call(source)}, 1)[kind]
            taken[kind] += once if number else []  # the first round fills caches
    return taken


def reader_of(source: Frames):
    """What reads the bytes of a frame."""
    if hasattr(source, "encoded"):
        return source.encoded
    return lambda row: read_bytes(source.name(row))


def read_rows(read, rows: list[int]) -> None:
    with ThreadPoolExecutor(available_cores()) as pool:
        for _ in pool.map(read, rows):
            pass


def forget(files: list[Path]) -> None:
    """Has the system read files from the disk the next time (Linux)."""
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def most_open(source: Frames, rows: list[int]) -> int:
    """How many shards this process has open while it reads."""

    def read(row):
        source.encoded(row)
        names = [os.path.realpath(file) for file in Path("/proc/self/fd").iterdir()]
        return sum(name.endswith(".tfrecord") for name in names)

    return max(map(read, rows[:200]))


def make_dataset(root: Path, images: Path) -> None:
    """Files of their own, not links: each is on a place of its own on the disk."""
    draw_images(images)
    contents = [file.read_bytes() for file in sorted(images.glob("image_*"))]
    for video in range(VIDEOS):
        folder = root / "frames" / f"op{video:02d}"
        folder.mkdir(parents=True)
        for number in range(FRAMES // VIDEOS):
            content = contents[(video * 31 + number) % len(contents)]
            (folder / f"{folder.name}_{number + 1:06d}.jpg").write_bytes(content)
    build_index(root)
    os.sync()


def said(name: str, taken: dict[str, list[float]], count: int) -> dict:
    return {
        f"{name}_images_per_second": count / statistics.median(taken["packed"]),
        f"{name}_files_per_second": count / statistics.median(taken["images"]),
        f"{name}_ratio": median_ratio(taken["images"], taken["packed"]),
    }


if __name__ == "__main__":
    run("packed", measure)
