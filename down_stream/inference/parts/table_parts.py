"""What a table is assembled from: parts, video by video, kept for the next run.

They lie beside the table, in `<table>.parts/`:

    made_with.json          the model's fingerprint, and what was asked of it
    <video>-<digest>/       of one video, in one state of its files
        video.json          its name, and how many frames it has
        part_<stop>.npz     the rows up to `stop`, from where the part before ends

A file is there as a whole or not at all, and its name says what it holds: whatever ended a run, the
next one goes on. All of it may be deleted at any time and is made again, but for what is of videos
that are gone: their rows, which `--gone=keep` keeps, are here and in the table alone.
"""

import bisect
import functools
import hashlib
import itertools
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np

from data.common.errors import InputError
from data.frames.frames import Frames
from data.storage.folders import remove_folder
from data.storage.paths import AnyPath
from down_stream.inference.parts.notes import (
    MADE_WITH,
    VIDEO,
    difference,
    parts_folder,
    read_note,
    write_note,
)
from down_stream.inference.parts.video_parts import (
    VideoParts,
    content_of,
    digests_of_images,
)

LIST = "list of images"  # in which videos take turns: it counts as one video

# A column in parts: a function that begins with the first part again, for each time it is read.
Column = Callable[[], Iterator[np.ndarray]]


class Parts:
    """The parts of all videos of a table.

    Args:
      output: the table.
      made_with: what the parts are made with, as JSON.

    Attributes:
      regained: names of the videos that were made but for frames of which some can now be read.

    Raises:
      InputError: there are parts that were made with something else.
    """

    def __init__(self, output: AnyPath, made_with: Mapping):
        self.folder = parts_folder(output)
        note = self.folder / MADE_WITH
        if note.is_file() and (other := difference(note, made_with)):
            raise InputError(
                f"{output}: made with {other}; expected the same, or another --output; or "
                f"delete {self.folder} to make all of it again (but for videos that are gone)"
            )
        if not note.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_note(note, made_with)
        self.videos, self.starts, self.regained = [], [], []

    def take(self, frames: Frames, names: Collection[str] | None = None) -> None:
        """Takes those of the videos of `frames`, complete or not, in their order.

        Frames that were unreadable are tried once more: from the first that no longer is, a video
        is made again. So is a video that two processes have written to at the same time.

        Args:
          frames: of all videos.
          names: of those to take, if not all.
        """
        for video, rows in videos_of(frames):
            if names is not None and video not in names:
                continue
            parts = self._of_state(video, rows, frames.state(rows))
            if not parts.files and (
                same := self._of_former_state(frames, video, rows)
                or self._of_same_content(frames, video, rows)
            ):
                parts = same.move(parts.folder)
            parts.is_damaged = video in frames.damaged
            if (np.diff(parts.whole("rows", np.int64)) <= 0).any():
                parts.remove()
            if parts.is_done:
                known = parts.whole("rows", np.int64)
                row = _readable_again(frames, rows, known)
                if row is not None and len(known):
                    self.regained.append(video)
                parts.drop_from(len(rows) if row is None else row)
            self.videos.append(parts)
            self.starts.append(rows.start)

    def _of_state(self, video: str, rows: range, state: str) -> VideoParts:
        name = re.sub(r"[^\w.-]", "_", video or "list", flags=re.ASCII)[:80]
        digest = hashlib.sha256(f"{video}\n{state}".encode()).hexdigest()
        return VideoParts(self.folder / f"{name}-{digest[:32]}", video, len(rows))

    def _of_former_state(self, frames: Frames, video: str, rows: range) -> VideoParts | None:
        """Parts of earlier versions, whose notes do not tell the content."""
        former = frames.former_state(rows)
        parts = self._of_state(video, rows, former) if former else None
        is_noted = parts and "content" in read_note(parts.folder / VIDEO)
        return parts if parts and parts.files and not is_noted else None

    def _of_same_content(self, frames: Frames, video: str, rows: range) -> VideoParts | None:
        """Parts of the same video, of which only the time of change is another."""
        content, images = content_of(frames.paths([rows.start, rows.stop - 1])), None
        for folder, note in self._noted.get(video, ()):
            if note["frames"] != len(rows) or (content and not content.items() <= note.items()):
                continue
            parts = VideoParts(folder, video, len(rows))
            made = parts.whole("rows", np.int64)
            seconds = frames.seconds(slice(rows.start, rows.stop))[made]
            if not np.array_equal(parts.whole("second"), seconds, equal_nan=True):
                continue
            if content or not len(made):  # what was unreadable is tried again
                return parts
            noted = parts.whole("image", np.uint64)
            if len(noted) != len(made) or not noted.all():
                continue  # of an earlier version, or of images that changed meanwhile
            if images is None:
                images = digests_of_images(frames.paths(np.arange(rows.start, rows.stop)))
            if images is not None and np.array_equal(noted, images[made]):
                return parts
        return None

    @functools.cached_property
    def _noted(self) -> dict[str, list[tuple[AnyPath, dict]]]:
        """{video: (folder, note) of each state} of those that are there at the beginning."""
        noted = {}
        for folder in self.folder.glob("*-*"):
            note = read_note(folder / VIDEO)
            noted.setdefault(note["video"], []).append((folder, note))
        return noted

    def others(self) -> tuple[list[VideoParts], list[VideoParts]]:
        """Those that were not taken: of videos that are gone, and of earlier states of any."""
        taken = {parts.folder.name for parts in self.videos}
        names = {parts.video for parts in self.videos}
        gone, replaced = [], []
        for folder in sorted(self.folder.glob("*"), key=lambda folder: folder.name):
            if folder.name in taken or not folder.is_dir():
                continue
            parts = _opened(folder)
            is_gone = parts.video not in (*names, LIST) and parts.is_done and parts.length
            (gone if is_gone else replaced).append(parts)
        gone.sort(key=lambda parts: parts.files[-1].stat().st_mtime_ns)
        latest = {parts.video: parts for parts in gone}
        replaced += [parts for parts in gone if latest[parts.video] is not parts]
        return sorted(latest.values(), key=lambda parts: parts.folder.name), replaced

    def append(self, gone: Sequence[VideoParts]) -> None:
        """Takes those of videos that are gone, after all others."""
        for parts in gone:
            self.starts.append(self.starts[-1] + self.videos[-1].length)
            self.videos.append(parts)

    def left(self, is_joined: bool = True) -> Iterator[range]:
        """Rows that have not been tried, those of neighbouring videos together or each alone."""
        first = stop = 0
        for start, parts in zip(self.starts, self.videos, strict=True):
            if parts.is_done:
                continue
            if stop != start + parts.stop or not is_joined:
                if first < stop:
                    yield range(first, stop)
                first = start + parts.stop
            stop = start + parts.length
        if first < stop:
            yield range(first, stop)

    def add(self, first: int, stop: int, table: Mapping[str, np.ndarray], faults: Sequence) -> None:
        """Keeps what was made of the rows from `first` to before `stop`.

        Args:
          first, stop: rows.
          table: "rows" int64 [n], of the readable ones, and other arrays [n, ...] by name.
          faults: a (row, reason) of each of the others.
        """
        for start, parts in zip(self.starts, self.videos, strict=True):
            begin, end = max(first, start), min(stop, start + parts.length)
            if begin < end:
                of_video = slice(*np.searchsorted(table["rows"], [begin, end]))
                own = {name: values[of_video] for name, values in table.items()}
                own["rows"] = own["rows"] - start
                if not len(own["rows"]):
                    own = {}
                parts.add(end - start, own, [why for row, why in faults if begin <= row < end])

    def column(self, name: str) -> Column:
        """The arrays of one name, part by part."""
        return lambda: (part for parts in self.videos for part in parts.column(name))

    def whole(self, name: str) -> np.ndarray:
        """A small column as one array."""
        return np.concatenate(list(self.column(name)()))

    def rows(self) -> np.ndarray:
        """int64 [n], the rows that could be read."""
        own = zip(self.starts, self.videos, strict=True)
        return np.concatenate([start + parts.whole("rows", np.int64) for start, parts in own])

    def faults(self) -> list[str]:
        """The lines of all parts."""
        return [line for lines in self.column("faults")() for line in lines.tolist()]

    def place(self, row: int) -> tuple[VideoParts, int]:
        """The parts that a row belongs to, and which of their rows it is."""
        at = bisect.bisect_right(self.starts, row) - 1
        return self.videos[at], row - self.starts[at]

    def remove(self) -> None:
        """Removes those that were taken, and where there are no others, all."""
        for parts in self.videos:
            parts.remove()
        if not any(map(list, self.others())):
            remove_folder(self.folder)


def videos_of(frames: Frames) -> Iterator[tuple[str, range]]:
    """(name, rows) of each video; a list in which videos take turns is one."""
    if (np.diff(frames.video) < 0).any():
        yield LIST, range(len(frames))
        return
    for name, ends in zip(frames.videos, itertools.pairwise(frames.starts.tolist()), strict=True):
        yield name, range(*ends)


def _readable_again(frames: Frames, rows: range, known: np.ndarray) -> int | None:
    """The first row of a video that is not among the `known`, int64 [n], and can be read now."""
    lost = rows.start + np.setdiff1d(np.arange(len(rows)), known)
    for piece in frames.pieces(lost[0], lost[-1] + 1) if lost.size else ():
        of_piece = lost[slice(*np.searchsorted(lost, [piece.start, piece.stop]))].tolist()
        if of_piece:
            tried = range(of_piece[0], of_piece[-1] + 1)
            for row, item in zip(tried, frames.read_in_order(tried), strict=True):
                if row in of_piece and not isinstance(item, InputError):
                    return row - rows.start
    return None


def _opened(folder: AnyPath) -> VideoParts:
    note = read_note(folder / VIDEO)
    return VideoParts(folder, note["video"], note["frames"])
