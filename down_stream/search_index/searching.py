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
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from data.common.errors import InputError, some
from data.images.names import composed
from down_stream.lookup.pictures import files_before
from down_stream.lookup.tables import ROWS_AT_ONCE
from down_stream.search_index.codes import CODES, read_codes

MANIFEST, NAMES = "index.json", "names.json"
COMPARED = 400  # frames that are found by codes for each that is wanted, at least


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
            self.manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            self.names = json.loads((folder / NAMES).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{folder}: no complete index; expected --embeddings, of which it is built"
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
        return read_codes(self.folder)

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """float32 [n, width], of some rows."""
        piece, place = np.divmod(rows, ROWS_AT_ONCE)
        found = np.empty((len(rows), self.manifest["width"]), np.float32)
        for number in np.unique(piece):
            found[piece == number] = self._vectors[number][place[piece == number]]
        return found

    def row_of(self, video: str, second: float) -> int:
        """The frame of a video that is nearest to a second.

        Raises:
          InputError: no such video, or the second is before its first frame or after its last.
        """
        if video not in self.names["videos"]:
            same = [v for v in self.names["videos"] if composed(v) == composed(video)]
            if len(same) != 1:
                known = some(self.names["videos"])
                raise InputError(f"{video}: not in {self.folder}; it has {known}")
            video = same[0]
        rows = np.flatnonzero(self._columns["video"] == self.names["videos"].index(video))
        seconds = self._columns["second"][rows]
        if np.isnan(seconds).all():  # of frames without a time, by place
            seconds = np.arange(len(rows), dtype=float)
        first, last = float(np.nanmin(seconds)), float(np.nanmax(seconds))
        step = 1 / (self.manifest.get("fps") or 1.0)
        if not first - step <= second <= last + step:
            raise InputError(
                f"{video}: second {second:g}; its frames in {self.folder} are of seconds {first:g} "
                f"to {last:g}"
            )
        return int(rows[np.nanargmin(np.abs(seconds - second))])

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
        if (self.folder / CODES).is_file():
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


def unit_vectors(embeddings: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Embeddings [n, width] as the index compares them, float32."""
    points = embeddings.astype(np.float32) - centre
    return points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
