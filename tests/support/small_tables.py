"""Tables of embeddings in which it is known what is like what."""

import numpy as np

from data.storage.paths import to_path
from down_stream.inference.parts.table import write_table
from down_stream.lookup.tables import Rows
from down_stream.selection.candidates import open_candidates


def make_rows(units=12, frames=20, kinds=3, width=6, seed=0, probabilities=None):
    """Rows of units of `kinds` kinds, unit u of kind u % kinds, whose frames differ little."""
    random = np.random.default_rng(seed)
    centres = 4 * np.eye(width)[:kinds]
    video, second, points = [], [], []
    for unit in range(units):
        own = centres[unit % kinds] + random.normal(0, 0.1, width)
        points.append(own + random.normal(0, 0.3, (frames, width)))
        video += [f"video{unit + 1:02d}"] * frames
        second += range(frames)
    n = units * frames
    return Rows(
        np.concatenate(points).astype(np.float32),
        np.array(video),
        np.array(second, float),
        np.full(n, -1),
        np.full(n, ""),
        np.empty((n, 0), np.float32) if probabilities is None else probabilities,
    )


def make_candidates(kind="video", classes=(), interval=10.0, **arguments):
    """Candidates of `make_rows`, at a frame a second."""
    return open_candidates(make_rows(**arguments), kind, classes, 1.0, interval)


def write_rows(path, rows, classes=(), **metadata):
    """Writes rows as inference.py writes its table; returns its path."""
    columns = {
        name: (lambda values: lambda: iter([values]))(getattr(rows, name))
        for name in ("embeddings", "video", "second", "path")
    }
    if classes:
        columns["probabilities"] = lambda: iter([rows.probabilities])
    write_table(to_path(path), len(rows), columns, classes, {"fps": 1.0, **metadata})
    return to_path(path)
