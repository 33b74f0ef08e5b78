"""Search in very many frames: recall of the index, milliseconds a query, memory, time to build.

  python -m tests.benchmarks.search 1000000 384 /tmp/search_benchmark

Synthesised features: videos of 3,000 frames that wander between scenes, which are points in 40
dimensions with noise in all. They are made anew whenever they are read, so that the disk has to
hold the index alone: some 840 bytes a frame of 384 numbers. Needs faiss-cpu.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from data.storage.paths import to_path
from down_stream.lookup.tables import ROWS_AT_ONCE, Rows
from down_stream.search_index import building

TABLE, VIDEO = 1_000_000, 3_000
SCENES, EFFECTIVE, PER_SCENE = 20_000, 40, 20
QUERIES = 50


class SynthesisedTable:
    """Stands in for `lookup.tables.Table`: its rows follow from the numbers in a small file.

    Args:
      path: of a JSON file with "number", "length" and "width".
    """

    def __init__(self, path):
        self.path, self.metadata = path, {"fps": 1.0}
        told = json.loads(path.read_text())
        self.number, self.length, self.width = told["number"], told["length"], told["width"]
        random = np.random.default_rng(0)  # one world for all tables
        self.mixing = random.standard_normal((EFFECTIVE, self.width), np.float32)
        self.scenes = random.standard_normal((SCENES, EFFECTIVE), np.float32)

    def parts(self, rows=ROWS_AT_ONCE):
        """All rows, so many at a time, the same in every call."""
        for start in range(0, self.length, rows):
            count = min(rows, self.length - start)
            random = np.random.default_rng([1, self.number, start])
            of = random.integers(0, SCENES, -(-count // PER_SCENE)).repeat(PER_SCENE)[:count]
            points = self.scenes[of] + 0.5 * random.standard_normal((count, EFFECTIVE), np.float32)
            noise = random.standard_normal((count, self.width), np.float32)
            row = np.arange(count) + start + self.number * TABLE
            yield Rows(
                points @ self.mixing + 0.5 * noise,
                np.array([f"video{video:06d}" for video in row // VIDEO]),
                (row % VIDEO).astype(float),
                np.full(count, -1),
                np.full(count, ""),
                np.empty((count, 0), np.float32),
            )


def write_tables(frames: int, width: int, folder: Path) -> list:
    """Writes the small files of tables of a million frames each."""
    paths = []
    for number, first in enumerate(range(0, frames, TABLE)):
        path = folder / f"table{number:03d}.json"
        told = {"number": number, "length": min(TABLE, frames - first), "width": width}
        if not path.is_file() or json.loads(path.read_text()) != told:
            path.write_text(json.dumps(told))
        paths.append(to_path(str(path)))
    return paths


def own_memory() -> float:
    """MB that this process holds, without pages of files that the system may drop."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1e3


def main(frames: str, width: str, folder: str) -> None:
    """Builds the index, and prints what was measured."""
    frames, width, folder = int(frames), int(width), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tables = write_tables(frames, width, folder)
    began = time.monotonic()
    building.Table = SynthesisedTable
    index = building.build_index(tables, folder / "index")
    built, cpu = time.monotonic() - began, time.process_time()
    rows = np.random.default_rng(1).integers(0, frames, QUERIES)
    queries = index.vectors(rows)
    before = own_memory()
    index.nearest(queries[0], 10)  # opens the files
    opened = own_memory() - before
    times, found = [], []
    for query in queries:
        began = time.monotonic()
        found.append(index.nearest(query, 10)[0])
        times.append(time.monotonic() - began)
    best = [(np.empty(0), np.empty(0, np.int64)) for _ in queries]
    for number, piece in enumerate(index._vectors):
        likeness = np.asarray(piece, np.float32) @ queries.T
        for place, (values, of) in enumerate(best):
            top = np.argpartition(-likeness[:, place], min(10, len(piece) - 1))[:10]
            values = np.concatenate([values, likeness[top, place]])
            of = np.concatenate([of, top + number * ROWS_AT_ONCE])
            order = np.argsort(-values)[:10]
            best[place] = values[order], of[order]
    recall = np.mean([len(set(f) & set(of)) / 10 for f, (_, of) in zip(found, best, strict=True)])
    size = sum(file.stat().st_size for file in (folder / "index").iterdir())
    told = {
        "frames": frames,
        "width": width,
        "recall@10": float(recall),
        "median ms a query": 1000 * float(np.median(times)),
        "slowest ms": 1000 * float(np.max(times)),
        "MB in memory for a search": opened,
        "MB on the disk": size / 1e6,
        "seconds to build": built,
        "seconds of CPU to build": cpu,
    }
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
