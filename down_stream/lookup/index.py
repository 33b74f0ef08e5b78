"""An index of the frames of tables, on disk: built piece by piece, searched by likeness.

    FOLDER/index.json         what it is of: tables, length, width, centre, fps
    FOLDER/piece_00000.npz    of 65,536 rows: video, second, path (numbers into names.json)
    FOLDER/piece_00000.npy    float16 [rows, width], centred, of length 1
    FOLDER/names.json         videos and files
    FOLDER/codes.faiss        product-quantised (IVF-PQ), where there are LARGE frames or more

Likeness is the cosine of embeddings after their mean is taken off, which all frames have in common.
Below LARGE frames every frame is compared. Above, Faiss (Johnson et al., arXiv 1702.08734) finds
some, in memory of some 50 bytes a frame, and these are compared by their vectors on disk.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from data.common.errors import InputError
from data.common.progress import ProgressBar
from data.storage.locking import locked
from data.storage.paths import AnyPath
from data.storage.whole import whole_file, write_json
from down_stream.lookup.pictures import files_before
from down_stream.lookup.tables import ROWS_AT_ONCE, Rows, Table

LARGE = 100_000  # frames from which codes are used
TRAINED_ON = 200_000  # frames by which cells and codes are found
COMPARED = 400  # frames that are found by codes for each that is wanted, at least
CELLS_VISITED = 64
_BYTES = 8  # numbers of a vector that one byte of a code stands for
CODES_KEPT_EVERY = 64  # pieces: four million frames
_MANIFEST, _NAMES, _CODES, _BEGUN = "index.json", "names.json", "codes.faiss", "begun.faiss"


@dataclass(frozen=True)
class Found:
    """A frame that is like what was asked for.

    Attributes:
      row: its position in the index.
      likeness: cosine, 1 the same.
      video, second, path: where it is; the second is NaN where it is unknown.
    """

    row: int
    likeness: float
    video: str
    second: float
    path: str


class SearchIndex:
    """An index that was built.

    Args:
      folder: of `build_index`.

    Attributes:
      manifest: what index.json holds.
      centre: float32 [width].

    Raises:
      InputError: there is none.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            self.manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
            self.names = json.loads((folder / _NAMES).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{folder}: no index that is complete; give --embeddings, and it is built"
            ) from error
        self.centre = np.array(self.manifest["centre"], np.float32)

    def __len__(self) -> int:
        return self.manifest["length"]

    @cached_property
    def _columns(self) -> dict[str, np.ndarray]:
        parts = [np.load(path) for path in sorted(self.folder.glob("piece_*.npz"))]
        names = "video", "second", "path"
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    @cached_property
    def _vectors(self) -> list[np.ndarray]:
        files = sorted(self.folder.glob("piece_*.npy"))
        return [np.load(file, mmap_mode="r") for file in files]

    @cached_property
    def _codes(self):
        faiss = import_faiss()
        codes = faiss.read_index(str(self.folder / _CODES))
        codes.nprobe = CELLS_VISITED
        return codes

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """float32 [n, width], of some rows."""
        piece, place = np.divmod(rows, ROWS_AT_ONCE)
        found = np.empty((len(rows), self.manifest["width"]), np.float32)
        for number in np.unique(piece):
            found[piece == number] = self._vectors[number][place[piece == number]]
        return found

    def row_of(self, video: str, second: float) -> int:
        """The frame of a video that is nearest to a second; raises `InputError` without any."""
        if video not in self.names["videos"]:
            raise InputError(
                f"{video}: not in {self.folder}; it has {self.names['videos'][:3]} ..."
            )
        rows = np.flatnonzero(self._columns["video"] == self.names["videos"].index(video))
        distance = np.abs(self._columns["second"][rows] - second)
        if np.isnan(distance).all():
            return int(rows[min(int(second), len(rows) - 1)])  # of frames without a time, by place
        return int(rows[np.nanargmin(distance)])

    def frame(self, row: int, likeness: float = 1.0) -> Found:
        """What is known of a row."""
        video, second, path = (self._columns[name][row] for name in ("video", "second", "path"))
        names = self.names
        return Found(row, likeness, names["videos"][video], float(second), names["paths"][path])

    def files_before(self, found: Iterable[Found]) -> dict[str, tuple[str, ...]]:
        """`pictures.files_before` of the videos that some frames are of."""
        columns, before = self._columns, {}
        for name in {one.video for one in found}:
            rows = np.flatnonzero(columns["video"] == self.names["videos"].index(name))
            paths = [self.names["paths"][code] for code in columns["path"][rows]]
            before |= files_before([name] * len(rows), paths, columns["second"][rows].tolist())
        return before

    def nearest(self, query: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows most like a query [width] of length 1, best first, and their cosines."""
        number = min(number, len(self))
        if (self.folder / _CODES).is_file():
            candidates = min(len(self), max(COMPARED, 4 * number))
            _, rows = self._codes.search(query[None].astype(np.float32), candidates)
            rows = rows[0][rows[0] >= 0]
            likeness = self.vectors(rows) @ query
        else:
            rows = np.arange(len(self))
            likeness = np.concatenate(
                [np.asarray(piece, np.float32) @ query for piece in self._vectors]
            )
        best = np.lexsort((rows, -likeness))[:number]
        return rows[best], likeness[best]


def import_faiss():
    """The package faiss; raises `InputError` with what to install where it is missing."""
    try:
        import faiss
    except ImportError as error:
        raise InputError(
            f"{LARGE:,} frames or more need Faiss: pip install -r requirements-search.txt"
        ) from error
    return faiss


def build_index(tables: Sequence[AnyPath], folder: Path, large: int = LARGE) -> SearchIndex:
    """Builds an index, or opens the one that is there of the same tables.

    Pieces that an earlier call has written are kept.

    Args:
      tables: of embeddings, as inference.py writes them.
      folder: of the index, local.
      large: frames from which codes are used.

    Raises:
      InputError: a table cannot be read, or they do not fit each other; or Faiss is needed and not
        there.
    """
    opened = [Table(path) for path in tables]
    first = opened[0]
    for table in opened[1:]:
        if table.width != first.width or _print(table) != _print(first):
            raise InputError(f"{table.path}: of another encoder than {first.path}")
    length = sum(table.length for table in opened)
    if length >= large:
        import_faiss()
    of = [[str(table.path), *_state(table.path)] for table in opened]
    with locked(folder):
        if _is_built(folder, of):
            return SearchIndex(folder)
        (folder / _MANIFEST).unlink(missing_ok=True)
        centre = _centre(opened, folder, of)
        names = _write_pieces(opened, folder, centre, length)
        write_json(folder / _NAMES, names)
        if length >= large:
            _write_codes(folder, length, first.width)
        manifest = {"tables": of, "length": length, "width": first.width}
        manifest |= {"fps": first.metadata.get("fps"), "model": first.metadata.get("model")}
        manifest |= {"fingerprint": _print(first), "features": first.metadata.get("features")}
        write_json(folder / _MANIFEST, {**manifest, "centre": centre.tolist()})
        return SearchIndex(folder)


def _print(table):
    return table.metadata.get("fingerprint")


def _state(path):
    state = path.stat()
    return state.st_size, state.st_mtime_ns


def _is_built(folder, of):
    try:
        return json.loads((folder / _MANIFEST).read_text())["tables"] == json.loads(json.dumps(of))
    except (OSError, ValueError, KeyError):
        return False


def _centre(tables, folder, of):
    """The mean embedding; where tables have changed, pieces of before are removed."""
    kept = folder / "centre.json"
    if kept.is_file():
        told = json.loads(kept.read_text())
        if told["tables"] == json.loads(json.dumps(of)):
            return np.array(told["centre"], np.float32)
    for file in [*folder.glob("piece_*"), *folder.glob("*.faiss")]:
        file.unlink(missing_ok=True)
    total, count = 0, 0
    for table in tables:
        for rows in table.parts():
            total, count = total + rows.embeddings.sum(axis=0, dtype=np.float64), count + len(rows)
    write_json(kept, {"tables": of, "centre": (total / count).tolist()})
    return (total / count).astype(np.float32)


def unit_vectors(embeddings: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Embeddings [n, width] as the index compares them, float32."""
    points = embeddings.astype(np.float32) - centre
    return points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)


def _write_pieces(tables, folder, centre, length) -> dict:
    """Writes the pieces that are missing; returns the names of videos and files."""
    videos, paths = {}, {}
    bar = ProgressBar(desc="index", total=length, unit="frame")
    with bar:
        for number, rows in enumerate(_even_pieces(tables)):
            codes = [_numbers(rows.video, videos), _numbers(rows.path, paths)]
            vectors, columns = (folder / f"piece_{number:05d}{s}" for s in (".npy", ".npz"))
            if not columns.is_file():
                with whole_file(vectors) as side:
                    np.save(side, unit_vectors(rows.embeddings, centre).astype(np.float16))
                with whole_file(columns) as side:
                    np.savez(side, video=codes[0], second=rows.second, path=codes[1])
            bar.update(len(rows))
    return {"videos": list(videos), "paths": list(paths)}


def _even_pieces(tables):
    """The rows of all tables in pieces of one length, but for the last."""
    waiting = []
    for table in tables:
        for rows in table.parts(ROWS_AT_ONCE):
            waiting.append(rows)
            if sum(map(len, waiting)) >= ROWS_AT_ONCE:
                joined = Rows.joined(waiting)
                yield joined.take(slice(ROWS_AT_ONCE))
                waiting = [joined.take(slice(ROWS_AT_ONCE, None))]
    if sum(map(len, waiting)):
        yield Rows.joined(waiting)


def _numbers(names, known):
    different, place = np.unique(names, return_inverse=True)
    numbers = [known.setdefault(str(name), len(known)) for name in different]
    return np.array(numbers, np.int32)[place]


def _write_codes(folder, length, width) -> None:
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
    _write_index(faiss, codes, folder / _CODES)
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
