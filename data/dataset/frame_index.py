"""The frame index: one row per frame of a dataset, the one table that every loader reads.

`index.parquet` has the columns video, frame (the number NNNNNN in the file's name, counted from 1),
phase (-1 unknown), one per tool (1, 0, -1 unknown), file (relative to the dataset directory) and
template: `file` with the number left open, "frames/video68/video68_{:06d}.jpg". There are few
templates, so that an index of millions of frames fits into memory without a string per frame.
Data sets of images in classes (data/image_classes/class_folders.py) have one column more, label: a
position in the list of names in `classes.json`, -1 unknown.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.common.errors import InputError
from data.dataset.cholec80 import TOOLS
from data.images.names import natural_key
from data.storage.paths import AnyPath, is_remote, to_paths

INDEX = "index.parquet"
CLASSES = "classes.json"
PRETRAINING_INDEX = "pretraining.parquet"  # without the frames that cleaning took out

SCHEMA = pa.schema(
    [
        ("video", pa.string()),
        ("frame", pa.int32()),
        ("phase", pa.int8()),
        *((tool, pa.int8()) for tool in TOOLS),
        ("file", pa.string()),
        ("template", pa.string()),
    ]
)
LABEL = pa.field("label", pa.int16())  # where a data set has classes


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """Frames of videos, sorted by video (natural order of names), then by frame.

    Attributes:
      videos: names of the videos.
      video: int32 [n], positions in `videos`.
      frame: int32 [n], the numbers in the files' names; in the official layout they count from 1.
      phase: int8 [n], phase ids, -1 where unknown.
      tools: int8 [n, 7], 1 where the tool is present, 0 where not, -1 where unknown.
      label: int16 [n], class ids, -1 where unknown or where the data set has no classes.
      templates: absolute paths with the frame's number left open.
      template: int32 [n], positions in `templates`.
    """

    videos: tuple[str, ...]
    video: np.ndarray
    frame: np.ndarray
    phase: np.ndarray
    tools: np.ndarray
    label: np.ndarray
    templates: pa.LargeStringArray | np.ndarray
    template: np.ndarray

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def second(self) -> np.ndarray:
        """int32 [n], seconds since the video's beginning, for frames extracted at 1 fps."""
        return self.frame - 1

    def seconds(self, rows, fps) -> np.ndarray:
        """Seconds since the video's beginning of frames that were extracted at any rate.

        Args:
          rows: a position, an array of positions, or a slice.
          fps: float, or one for each of the rows: frames per second; NaN where it is unknown.

        Returns:
          float64 of the shape of `rows`, NaN where the file's number or its rate does not tell.
        """
        frame = self.frame[rows]
        return np.where(frame > 0, (frame - 1) / fps, np.nan)

    def paths(self, rows) -> list[str]:
        """Absolute paths of the frames at `rows`, an array of positions or a slice."""
        templates = self.templates.take(pa.array(self.template[rows])).tolist()
        return [t.format(n) for t, n in zip(templates, self.frame[rows].tolist(), strict=True)]

    def select(
        self, videos: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> "FrameIndex":
        """The frames of some videos.

        Args:
          videos: names of the videos to keep; None keeps all.
          exclude: names of videos to leave out. A name that is not there is left out already: the
            test videos of a published split can be excluded from any part of the dataset.

        Raises:
          InputError: `videos` names one that is not there.
        """
        wanted = set(self.videos if videos is None else videos)
        if unknown := sorted(wanted - set(self.videos), key=natural_key):
            raise InputError(
                f"no such video: {_shorten(unknown)}; the index has {_shorten(self.videos)}"
            )
        wanted -= set(exclude or ())
        is_wanted = np.array([name in wanted for name in self.videos], bool)
        if is_wanted.all():
            return self  # a copy of millions of rows would be in memory beside it
        new_place = np.cumsum(is_wanted, dtype=np.int32) - np.int32(1)
        kept = self.take(is_wanted[self.video])
        return replace(
            kept,
            videos=tuple(name for name in self.videos if name in wanted),
            video=new_place[kept.video],
        )

    def take(self, rows: np.ndarray) -> "FrameIndex":
        """The frames at `rows`, an array of positions or a mask; `videos` stay as they are."""
        columns = ("video", "frame", "phase", "tools", "label", "template")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})


def index_files(
    files: Sequence[Path], videos: Iterable[str], video: Sequence[int], frame: Sequence[int]
) -> FrameIndex:
    """An index of any image files, without labels.

    Args:
      files: by row.
      videos: their names.
      video: by row, positions in `videos`.
      frame: by row, numbers counted from 1; 0 where there is none.
    """
    n = len(files)
    escaped = [str(file).replace("{", "{{").replace("}", "}}") for file in files]
    return FrameIndex(
        videos=tuple(videos),
        video=np.array(video, np.int32),
        frame=np.array(frame, np.int32),
        phase=np.full(n, -1, np.int8),
        tools=np.full((n, len(TOOLS)), -1, np.int8),
        label=np.full(n, -1, np.int16),
        templates=np.array(escaped, object),  # names that are no UTF-8 are no Arrow strings
        template=np.arange(n, dtype=np.int32),
    )


def load_index(
    roots: str | AnyPath | Sequence[str | AnyPath], *, pretraining: bool = False
) -> FrameIndex:
    """Opens the index of a dataset, or of several as one.

    Args:
      roots: dataset directories, as `prepare.py` made them, on a disk or an object store.
      pretraining: whether to leave out the frames that were cleaned away for pre-training
        (`data.preparation.cleaning`), where there are such.

    Raises:
      InputError: a directory or its index is missing, empty or damaged, or two datasets have a
        video of the same name.
    """
    roots = to_paths(roots)
    if not roots:
        raise InputError("no dataset directory is given; one or more are needed")
    parts = [_load(root, pretraining) for root in roots]
    return parts[0] if len(parts) == 1 else _merge(parts, roots)


def _load(root: AnyPath, pretraining: bool) -> FrameIndex:
    """Reads one index, a group of rows at a time: nothing is in memory twice."""
    file = _open(root, pretraining)
    n = file.metadata.num_rows
    video, frame, template = (np.empty(n, np.int32) for _ in range(3))
    phase, tools = np.empty(n, np.int8), np.empty((n, len(TOOLS)), np.int8)
    label = np.full(n, -1, np.int16)
    videos, templates = {}, {}  # name -> position, in the order of appearance
    names = [name for name in file.schema_arrow.names if name != "file"]
    start = 0
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, names)
        rows = slice(start, start := start + len(table))
        video[rows] = _positions(table["video"], videos)
        template[rows] = _positions(table["template"], templates)
        frame[rows] = table["frame"]
        phase[rows] = table["phase"]
        for column, tool in enumerate(TOOLS):
            tools[rows, column] = table[tool]
        if LABEL.name in table.column_names:
            label[rows] = table[LABEL.name]
    prefix = str(root.absolute()).replace("{", "{{").replace("}", "}}")
    paths = pa.array([f"{prefix}/{path}" for path in templates], pa.large_string())
    return FrameIndex(tuple(videos), video, frame, phase, tools, label, paths, template)


def _open(root: AnyPath, pretraining: bool) -> pq.ParquetFile:
    if not root.is_dir():
        raise InputError(f"{root}: no such dataset directory")
    path = root / INDEX
    advice = f"run: python prepare.py --data_rootdir {root.parent} --name {root.name}"
    if is_remote(root):
        advice = "expected a copy of a folder that prepare.py made"
    if not path.is_file():
        raise InputError(f"{root}: no {INDEX} in it; {advice}")
    if pretraining and (root / PRETRAINING_INDEX).is_file():
        path = root / PRETRAINING_INDEX
    try:
        source = path.open("rb") if is_remote(path) else path
        file = pq.ParquetFile(source, read_dictionary=["video", "template"])
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: damaged; {advice}") from error
    if missing := sorted(set(SCHEMA.names) - set(file.schema_arrow.names)):
        raise InputError(f"{path}: no column {missing[0]!r}; {advice}")
    if not file.metadata.num_rows:
        raise InputError(f"{path}: empty, the dataset has no frames; {advice}")
    return file


def _positions(column: pa.ChunkedArray, known: dict[str, int]) -> np.ndarray:
    """int32 [n], positions of a column's strings in `known`, which grows by those it has not."""
    codes = column.unify_dictionaries().combine_chunks()
    places = [known.setdefault(name, len(known)) for name in codes.dictionary.to_pylist()]
    return np.array(places, np.int32)[codes.indices.to_numpy()]


def _merge(parts: list[FrameIndex], roots: Sequence[AnyPath]) -> FrameIndex:
    """One index of several; video after video in natural order."""
    where = {}  # video -> (part, rows)
    for number, part in enumerate(parts):
        ends = np.searchsorted(part.video, np.arange(len(part.videos)), side="right")
        for name, start, end in zip(part.videos, [0, *ends], ends, strict=False):
            if name in where:
                first = roots[where[name][0]]
                raise InputError(
                    f"{roots[number]}: has a {name}, as {first} has; if these are two videos, "
                    "rename one and prepare it again"
                )
            where[name] = (number, slice(start, end))
    videos = sorted(where, key=natural_key)
    order = [where[name] for name in videos]
    lengths = [rows.stop - rows.start for _, rows in order]
    offsets = np.cumsum([0, *(len(part.templates) for part in parts)], dtype=np.int32)

    def gather(column):
        return np.concatenate([getattr(parts[number], column)[rows] for number, rows in order])

    return FrameIndex(
        videos=tuple(videos),
        video=np.repeat(np.arange(len(videos), dtype=np.int32), lengths),
        frame=gather("frame"),
        phase=gather("phase"),
        tools=gather("tools"),
        label=gather("label"),
        templates=pa.concat_arrays([part.templates for part in parts]),
        template=gather("template") + np.repeat(offsets[[number for number, _ in order]], lengths),
    )


def _shorten(names: Sequence[str], limit: int = 8) -> str:
    """The first names, and how many there are if that was not all."""
    some = ", ".join(names[:limit])
    return some if len(names) <= limit else f"{some}, ... ({len(names)} in all)"
