"""Rows of the index that stay as they are, since nothing that they come from has changed.

A note beside the index says of each video in which state its folders were before it was read, what
else its rows depend on, and what was found. Where all of it is as it was, the video is not read
again; a video with a problem always is, for the disk may be well again. An index or a project that
has changed makes the note worthless.
"""

import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.common.configurations import ROOT
from data.dataset.audit import Audit
from data.dataset.index_columns import INDEX, PRETRAINING_INDEX
from data.images.names import official_number
from data.images.states import READ_VIDEOS, folder_state, folder_states
from data.indexing.cleaning import CROPPED, Cleaning
from data.storage.whole import write_json

Rows = tuple[pa.Table, pa.Table, Audit]  # of a video; of it for pre-training; what was found


class Kept:
    """What an earlier call has read of a dataset on a disk.

    Args:
      root: dataset directory.
      cleaning: what is asked for now; rows that were cleaned otherwise are none.

    Attributes:
      complete: {video: n} of those videos of which it is known that their folder has the frames 1
        to n, named `<video>_NNNNNN`.
    """

    def __init__(self, root: Path, cleaning: Cleaning):
        self._root, self._cleaning = root, cleaning
        names = (INDEX, PRETRAINING_INDEX) if cleaning.drops else (INDEX,)
        self._files = [root / name for name in names]
        self._valid = _digest(_code(), str(root.absolute()), asdict(cleaning), _who())
        self._note = self._read()
        noted: dict[str, dict[str, Any]] = self._note.get("videos", {})
        self._noted = noted
        self._starts = [
            dict(zip(noted, itertools.accumulate([0, *counts]), strict=False))
            for counts in zip(*(video["rows"] for video in noted.values()), strict=True)
        ]
        self._places: dict[str, list[Path]] = {}
        self._states = self._ask(noted)
        self.complete = {
            video: told["complete"]
            for video, told in noted.items()
            if told["complete"] and self._states[video] == told["state"]
        }
        self._now: dict[str, dict[str, Any]] = {}
        self._old: list[_Table] = []

    def _read(self) -> dict[str, Any]:
        """The note; nothing where it is not of what is there."""
        try:
            note = json.loads((self._root / READ_VIDEOS).read_text())
            is_valid = note["valid"] == self._valid and note["files"] == _identities(self._files)
        except (OSError, ValueError, KeyError, TypeError):  # none yet, or damaged
            return {}
        return note if is_valid else {}

    def _ask(self, noted: dict) -> dict[str, list]:
        """{video: state of its folders, and when its frames came or went last}."""
        folders = [folder for video in noted for folder in self._folders(video)]
        changed = {folder: _changed(folder) for folder in folders}
        found = folder_states(folders, sum(told["rows"][0] for told in noted.values()))
        self._changed = changed
        return {video: [found[folder] for folder in self._folders(video)] for video in noted}

    def _folders(self, video: str) -> list[Path]:
        if video not in self._places:
            cropped = [self._root / CROPPED / video] if self._cleaning.borders else []
            self._places[video] = [self._root / "frames" / video, *cropped]
        return self._places[video]

    def look(self, video: str) -> None:
        """Asks for the state of a video's frames, before they are read."""
        self._states[video] = [folder_state(self._folders(video)[0])]

    def usable(self, abouts: dict[str, str]) -> set[str]:
        """The videos of which the rows stay; `abouts` is {video: what else they depend on}."""
        return {
            video
            for video, about in abouts.items()
            if (told := self._noted.get(video))
            and told["about"] == about
            and told["state"] == self._states[video]
            # Frames that came since the folders were asked, as of a video that has changed.
            and all(self._changed[folder] == _changed(folder) for folder in self._folders(video))
        }

    def is_index(self, videos: Sequence[str]) -> bool:
        """Whether the index has these videos, and no others, in this order."""
        return bool(videos) and list(self._noted) == list(videos)

    def findings(self, video: str) -> tuple[Audit, dict[str, str]]:
        """What was found in a video, and who its labels are by."""
        told = self._noted[video]
        self._now[video] = told
        sizes = Counter({(width, height): count for width, height, count in told["sizes"]})
        return Audit(told["remarks"], videos={video: told["counts"]}, sizes=sizes), told["authors"]

    def tables(self, video: str) -> tuple[pa.Table, pa.Table]:
        """The rows of a video, and those of them for pre-training, from the index that is there."""
        self._old = self._old or [_Table(file) for file in self._files]
        counts = self._noted[video]["rows"]
        rows = [
            old.rows(starts[video], count)
            for old, starts, count in zip(self._old, self._starts, counts, strict=True)
        ]
        return rows[0], rows[-1]

    def note(self, video: str, about: str, rows: Rows, authors: dict[str, str]) -> None:
        """Notes what was read of a video after `look`, unless it has a problem."""
        *tables, audit = rows
        state = self._states[video]
        if self._cleaning.borders:
            state = [state[0], folder_state(self._folders(video)[1])]
        self._now[video] = {
            "state": state if state[0] and not audit.problems else None,
            "about": about,
            "rows": [len(table) for table in tables[: len(self._files)]],
            "complete": _complete(video, tables[0]),
            "counts": audit.videos[video],
            "remarks": audit.remarks,
            "sizes": [[*size, count] for size, count in audit.sizes.items()],
            "authors": authors,
        }

    def write(self, videos: Iterable[str]) -> None:
        """Writes the note, unless it is there, when the index has these videos, in this order."""
        told = {video: self._now[video] for video in videos}
        content = {"valid": self._valid, "files": _identities(self._files), "videos": told}
        if content != self._note:
            write_json(self._root / READ_VIDEOS, content)


class _Table:
    """An index on the disk, read from its beginning to its end."""

    def __init__(self, path: Path):
        self._file = pq.ParquetFile(path)
        groups = range(self._file.num_row_groups)
        sizes = [self._file.metadata.row_group(group).num_rows for group in groups]
        self._starts = list(itertools.accumulate([0, *sizes]))
        self._groups: dict[int, pa.Table] = {}

    def rows(self, start: int, count: int) -> pa.Table:
        """Rows of the index; those before them are not in memory any more."""
        wanted = [
            group
            for group, (first, end) in enumerate(itertools.pairwise(self._starts))
            if first < start + count and start < end
        ]
        self._groups = {
            group: self._groups.get(group) or self._file.read_row_group(group) for group in wanted
        }
        if not wanted:
            return self._file.schema_arrow.empty_table()
        table = pa.concat_tables(self._groups.values())
        return table.slice(start - self._starts[wanted[0]], count)


def _digest(*what: Any) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]


def _code() -> str:
    """A digest of all that makes rows of images: another version may make others."""
    files = sorted((ROOT / "data").rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _who() -> list[int]:
    """Who asks: what one user may read, another may not."""
    return [os.geteuid(), *sorted(os.getgroups())]


def _identities(files: Iterable[Path]) -> list[list[int]]:
    states = [file.stat() for file in files]
    return [[state.st_ino, state.st_size, state.st_mtime_ns] for state in states]


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def _complete(video: str, table: pa.Table) -> int:
    """n, if a video's frames are 1 to n and its files are named by them; else 0."""
    n = len(table)
    if not n or table["frame"][-1].as_py() != n:
        return 0
    return n if official_number(Path(table["file"][-1].as_py()).stem, video) == n else 0
