"""Search in very many frames: recall of the index, milliseconds a query, memory, time to build.

  python -m tests.benchmarks.search 1000000 384 /tmp/search_benchmark

Synthesised tables of a million frames each: videos of 3,000 frames that wander between scenes,
which are points in 40 dimensions with noise in all. Needs faiss-cpu.
"""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.storage.paths import to_path
from down_stream.lookup.index import build_index

TABLE, VIDEO, PIECE = 1_000_000, 3_000, 60_000
SCENES, EFFECTIVE = 20_000, 40
QUERIES = 50


def write_tables(frames: int, width: int, folder: Path) -> list:
    """Writes the tables, as inference.py would."""
    random = np.random.default_rng(0)
    mixing = random.normal(size=(EFFECTIVE, width)).astype(np.float32)
    scenes = random.normal(size=(SCENES, EFFECTIVE)).astype(np.float32)
    paths = []
    for first in range(0, frames, TABLE):
        path = folder / f"table{first // TABLE:03d}.parquet"
        paths.append(to_path(str(path)))
        if path.is_file():
            continue
        kind = pa.list_(pa.float32(), width)
        schema = pa.schema(
            {"embeddings": kind, "video": pa.string(), "second": pa.float64()},
            {"metadata": json.dumps({"fps": 1.0})},
        )
        with pq.ParquetWriter(path, schema, compression="none") as writer:
            for start in range(first, min(first + TABLE, frames), PIECE):
                rows = np.arange(start, min(start + PIECE, first + TABLE, frames))
                of = random.integers(0, SCENES, -(-len(rows) // 20)).repeat(20)[: len(rows)]
                scene = scenes[of]
                points = scene + 0.5 * random.normal(size=scene.shape).astype(np.float32)
                values = (points @ mixing).astype(np.float32)
                values += 0.5 * random.normal(size=values.shape).astype(np.float32)
                embeddings = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), width)
                names = pa.array([f"video{row // VIDEO:06d}" for row in rows])
                seconds = pa.array((rows % VIDEO).astype(float))
                writer.write_table(pa.table([embeddings, names, seconds], schema))
    return paths


def main(frames: str, width: str, folder: str) -> None:
    """Builds the index, and prints what was measured."""
    frames, width, folder = int(frames), int(width), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tables = write_tables(frames, width, folder)
    began = time.monotonic()
    index = build_index(tables, folder / "index")
    built = time.monotonic() - began
    rows = np.random.default_rng(1).integers(0, frames, QUERIES)
    queries = index.vectors(rows)
    index.nearest(queries[0], 10)  # opens the files
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
            of = np.concatenate([of, top + number * 65_536])
            order = np.argsort(-values)[:10]
            best[place] = values[order], of[order]
    recall = np.mean([len(set(f) & set(of)) / 10 for f, (_, of) in zip(found, best, strict=True)])
    codes = folder / "index" / "codes.faiss"
    told = {
        "frames": frames,
        "width": width,
        "recall@10": float(recall),
        "median ms a query": 1000 * float(np.median(times)),
        "slowest ms": 1000 * float(np.max(times)),
        "codes, MB in memory": codes.stat().st_size / 1e6,
        "peak memory of the process, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        "seconds to build": built,
    }
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
