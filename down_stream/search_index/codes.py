"""Product-quantised vectors (IVF-PQ) of an index of many frames, made and read by Faiss."""

from pathlib import Path

import numpy as np

from data.common.errors import InputError
from data.common.progress import ProgressBar
from data.storage.whole import whole_file
from down_stream.lookup.tables import ROWS_AT_ONCE

LARGE = 100_000  # frames from which codes are used
TRAINED_ON = 200_000  # frames by which cells and codes are found
CELLS_VISITED = 64
_BYTES = 8  # numbers of a vector that one byte of a code stands for
CODES_KEPT_EVERY = 64  # pieces: four million frames
CODES, _BEGUN = "codes.faiss", "begun.faiss"


def import_faiss():
    """The package faiss; raises `InputError` with what to install where it is missing."""
    try:
        import faiss
    except ImportError as error:
        raise InputError(
            f"{LARGE:,} frames or more need Faiss: pip install -r requirements-search.txt"
        ) from error
    return faiss


def read_codes(folder: Path):
    """The Faiss index in a folder; it looks for what is near in a part of its cells."""
    codes = import_faiss().read_index(str(folder / CODES))
    codes.nprobe = CELLS_VISITED
    return codes


def write_codes(folder: Path, length: int, width: int) -> None:
    """Finds cells and codes by some of the vectors, and writes those of all.

    What a stopped call has coded is kept, every CODES_KEPT_EVERY pieces.
    """
    faiss = import_faiss()
    pieces = sorted(folder.glob("piece_*.npy"))
    begun = folder / _BEGUN
    if not begun.is_file():
        _write_index(faiss, _trained(faiss, pieces, length, width), begun)
    codes = faiss.read_index(str(begun))
    done = -(-codes.ntotal // ROWS_AT_ONCE)
    bar = ProgressBar(desc="codes", total=len(pieces), initial=done, unit="piece")
    with bar:
        for number, piece in enumerate(pieces[done:], done + 1):
            codes.add(np.load(piece).astype(np.float32))
            if number % CODES_KEPT_EVERY == 0:
                _write_index(faiss, codes, begun)
            bar.update(1)
    _write_index(faiss, codes, folder / CODES)
    begun.unlink()


def _trained(faiss, pieces, length, width):
    """An index without frames. A frame's cell is looked up in a graph (HNSW, arXiv 1603.09320)."""
    cells = int(min(4 * np.sqrt(length), TRAINED_ON / 40))
    size = max(n for n in range(1, width // _BYTES + 2) if width % n == 0)
    kind = f"IVF{cells}_HNSW32,PQ{size}"
    codes = faiss.index_factory(width, kind, faiss.METRIC_INNER_PRODUCT)
    each = -(-TRAINED_ON // len(pieces))
    opened = (np.load(piece, mmap_mode="r") for piece in pieces)
    drawn = [np.array(vectors[:: max(1, len(vectors) // each)]) for vectors in opened]
    codes.train(np.concatenate(drawn).astype(np.float32))
    return codes


def _write_index(faiss, codes, path) -> None:
    with whole_file(path, durable=True) as side:
        faiss.write_index(codes, str(side))
