"""The frame index in memory: one dataset, or several as one.

There are few templates of paths, so that an index of millions of frames fits into memory without a
string per frame. `data/dataset/index_columns.py` says what the file holds.
"""

import contextlib
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.common.errors import InputError, some
from data.dataset.classes import Classes, frame_rate, new_ids, read_classes
from data.dataset.index_columns import INDEX, LABEL, PRETRAINING_INDEX, column_of, index_schema
from data.images.names import natural_key
from data.storage.folders import local_copy
from data.storage.paths import AnyPath, is_remote, to_path, to_paths


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """Frames of videos, sorted by video (natural order of names), then by frame.

    Attributes:
      videos: names of the videos.
      video: int32 [n], positions in `videos`.
      frame: int32 [n], the numbers in the files' names, in a video whose names count from 0 one
        more: the first second of a video is that of frame 1.
      phase: int8 [n], phase ids, -1 where unknown.
      presence: {group: int8 [n, names]}, of multi-label groups such as "tools": 1 where present, 0
        where not, -1 where unknown.
      label: int16 [n], class ids, -1 where unknown or where the data set has no classes.
      classes: what the ids mean, and the names of the groups.
      fps: float64 [videos], frames per second of video.
      templates: absolute paths with the frame's number left open.
      template: int32 [n], positions in `templates`.
    """

    videos: tuple[str, ...]
    video: np.ndarray
    frame: np.ndarray
    phase: np.ndarray
    presence: Mapping[str, np.ndarray]
    label: np.ndarray
    classes: Classes
    fps: np.ndarray
    templates: pa.LargeStringArray | np.ndarray
    template: np.ndarray

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def tools(self) -> np.ndarray:
        """int8 [n, tools], as in `presence`; of no tools where there is no such group."""
        return self.presence.get("tools", np.empty((len(self), 0), np.int8))

    @property
    def second(self) -> np.ndarray:
        """[n], seconds since the video's beginning, in milliseconds; int64 where all are whole."""
        second = np.round((self.frame - 1) / self.fps[self.video], 3)
        whole = second.astype(np.int64)
        return whole if (whole == second).all() else second

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
        return [
            t.format(n, n - 1) for t, n in zip(templates, self.frame[rows].tolist(), strict=True)
        ]

    def files(self, rows) -> list[AnyPath]:
        """The same as paths that can be opened, on a disk or an object store."""
        return [to_path(path) for path in self.paths(rows)]

    def select(
        self,
        videos: Iterable[str] | None = None,
        exclude: Iterable[str] | None = None,
        in_place: bool = False,
    ) -> "FrameIndex":
        """The frames of some videos.

        Args:
          videos: names of the videos to keep; None keeps all.
          exclude: names of videos to leave out. A name that is not there is left out already: the
            test videos of a published split can be excluded from any part of the dataset.
          in_place: whether this index is of no use afterwards: the columns of the result lie where
            its own did. A copy of millions of rows would be in memory beside it.

        Raises:
          InputError: `videos` names one that is not there.
        """
        wanted = set(self.videos if videos is None else videos)
        if unknown := sorted(wanted - set(self.videos), key=natural_key):
            raise InputError(
                f"no such video: {some(unknown)}; the index has {some(self.videos, limit=8)}"
            )
        wanted -= set(exclude or ())
        is_wanted = np.array([name in wanted for name in self.videos], bool)
        if is_wanted.all():
            return self
        new_place = np.cumsum(is_wanted, dtype=np.int32) - np.int32(1)
        kept = self.take(is_wanted[self.video], in_place)
        return replace(
            kept,
            videos=tuple(name for name in self.videos if name in wanted),
            video=new_place[kept.video],
            fps=self.fps[is_wanted],
        )

    def take(self, rows: np.ndarray, in_place: bool = False) -> "FrameIndex":
        """The frames at `rows`, an array of positions or a mask; `videos` stay as they are."""

        def taken(column):
            kept = column[rows]
            if not in_place:
                return kept
            column[: len(kept)] = kept
            return column[: len(kept)]

        columns = ("video", "frame", "phase", "label", "template")
        presence = {group: taken(values) for group, values in self.presence.items()}
        columns = {name: taken(getattr(self, name)) for name in columns}
        return replace(self, presence=presence, **columns)


def load_index(
    roots: str | AnyPath | Sequence[str | AnyPath], *, pretraining: bool = False
) -> FrameIndex:
    """Opens the index of a dataset, or of several as one, their classes joined by name.

    Args:
      roots: dataset directories, as `prepare.py` made them, on a disk or an object store.
      pretraining: whether to leave out the frames that were cleaned away for pre-training
        (`data.indexing.cleaning`), where there are such, and the multi-label groups, which it
        does not look at.

    Raises:
      InputError: a directory or its index is missing, empty or damaged, or two datasets have a
        video of the same name.
    """
    roots = to_paths(roots)
    if not roots:
        raise InputError("no dataset directory; expected one or more")
    parts = [_load(root, pretraining) for root in roots]
    return parts[0] if len(parts) == 1 else _merge(parts, roots)


def _load(root: AnyPath, pretraining: bool) -> FrameIndex:
    """Reads one index, a group of rows at a time: nothing is in memory twice."""
    classes = read_classes(root)
    with _opened(root, pretraining, classes) as file:
        if pretraining:
            classes = replace(classes, multi_label={})
        return _read(file, root, classes)


def _read(file: pq.ParquetFile, root: AnyPath, classes: Classes) -> FrameIndex:
    n = file.metadata.num_rows
    video, frame, template = (np.empty(n, np.int32) for _ in range(3))
    phase = np.empty(n, np.int8)
    groups = classes.multi_label.items()
    presence = {group: np.empty((n, len(names)), np.int8) for group, names in groups}
    label = np.full(n, -1, np.int16)
    videos, templates = {}, {}  # name -> position, in the order of appearance
    names = ["video", "template", "frame", "phase", LABEL.name]
    names += [column_of(group, name) for group, tools in groups for name in tools]
    start = 0
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, names)
        rows = slice(start, start := start + len(table))
        video[rows] = _positions(table["video"], videos)
        template[rows] = _positions(table["template"], templates)
        frame[rows] = table["frame"]
        phase[rows] = table["phase"]
        for group, tools in groups:
            for place, tool in enumerate(tools):
                presence[group][rows, place] = table[column_of(group, tool)]
        if LABEL.name in table.column_names:
            label[rows] = table[LABEL.name]
    prefix = str(root.absolute()).replace("{", "{{").replace("}", "}}")
    paths = pa.array([f"{prefix}/{path}" for path in templates], pa.large_string())
    return FrameIndex(
        videos=tuple(videos),
        video=video,
        frame=frame,
        phase=phase,
        presence=presence,
        label=label,
        classes=classes,
        fps=np.full(len(videos), frame_rate(root)),
        templates=paths,
        template=template,
    )


@contextlib.contextmanager
def _opened(root: AnyPath, pretraining: bool, classes: Classes) -> Iterator[pq.ParquetFile]:
    """Context with the index of a data set, of a remote one a copy: Arrow opens it by its path."""
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
    with contextlib.ExitStack() as stack:
        try:
            local = stack.enter_context(local_copy(path))
            file = stack.enter_context(pq.ParquetFile(local, read_dictionary=["video", "template"]))
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{path}: damaged; {advice}") from error
        expected = index_schema(classes.multi_label).names
        if missing := sorted(set(expected) - set(file.schema_arrow.names)):
            raise InputError(f"{path}: no column {missing[0]!r}; {advice}")
        if not file.metadata.num_rows:
            raise InputError(f"{path}: empty, the dataset has no frames; {advice}")
        yield file


def _positions(column: pa.ChunkedArray, known: dict[str, int]) -> np.ndarray:
    """int32 [n], positions of a column's strings in `known`, which grows by those it has not."""
    codes = column.unify_dictionaries().combine_chunks()
    places = [known.setdefault(name, len(known)) for name in codes.dictionary.to_pylist()]
    return np.array(places, np.int32)[codes.indices.to_numpy()]


def _merge(parts: list[FrameIndex], roots: Sequence[AnyPath]) -> FrameIndex:
    """One index of several; video after video in natural order."""
    classes = functools.reduce(Classes.joined, (part.classes for part in parts))
    parts = [_renamed(part, classes) for part in parts]
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
        return np.concatenate([column(parts[number])[rows] for number, rows in order])

    return FrameIndex(
        videos=tuple(videos),
        video=np.repeat(np.arange(len(videos), dtype=np.int32), lengths),
        frame=gather(lambda part: part.frame),
        phase=gather(lambda part: part.phase),
        presence={
            group: gather(lambda part, group=group: part.presence[group])
            for group in classes.multi_label
        },
        label=gather(lambda part: part.label),
        classes=classes,
        fps=np.array([parts[number].fps[0] for number, _ in order]),
        templates=pa.concat_arrays([part.templates for part in parts]),
        template=gather(lambda part: part.template)
        + np.repeat(offsets[[number for number, _ in order]], lengths),
    )


def _renamed(index: FrameIndex, classes: Classes) -> FrameIndex:
    """An index whose ids are positions in `classes`, which have all of its names."""
    if index.classes == classes:
        return index  # a copy of millions of rows would be in memory beside it
    presence = {}
    for group, names in classes.multi_label.items():
        presence[group] = np.full((len(index), len(names)), -1, np.int8)
        if own := index.classes.multi_label.get(group):
            presence[group][:, new_ids(own, names)[:-1]] = index.presence[group]
    return replace(
        index,
        phase=new_ids(index.classes.phases, classes.phases)[index.phase].astype(np.int8),
        label=new_ids(index.classes.classes, classes.classes)[index.label],
        presence=presence,
        classes=classes,
    )
