"""One table by several processes: which videos are whose, who is at work, and who is done.

Every process makes the parts of its own videos in the folder that all of them see, and notes there
that it has done so. The last one finds the notes of all and writes the table, for which it lists
the videos once more: what came or changed while they were at work is nobody's, and is made then.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from data.common.errors import LockedError
from data.frames.frames import Frames
from data.frames.listing import digest_of
from data.storage.locking import locked, owner_of
from data.storage.paths import AnyPath, is_remote
from down_stream.inference.parts.notes import parts_folder, read_note, write_note
from down_stream.inference.parts.table_parts import videos_of
from msn.sweep import Shard

_VIDEOS, _IN_TABLE = "videos", "in_table"


class ShareAtWorkError(LockedError):
    """Shares of the table are being made."""


@dataclass(frozen=True)
class Others:
    """How far the other shards of a table are, as "2/4".

    Attributes:
      not_done: at work, not begun, or not since the table was written last.
      of_other_videos: done, of a folder in which they found other videos.
    """

    not_done: list[str]
    of_other_videos: list[str]


def own_names(sizes: Mapping[str, int], shard: Shard) -> set[str]:
    """The videos of a shard: all are dealt out in turn, the largest first.

    Args:
      sizes: {name: how much there is to do}.
    """
    ordered = sorted(sizes, key=lambda name: (-sizes[name], name))
    return {name for place, name in enumerate(ordered) if shard.has(place)}


def names_of_share(frames: Frames, shard: Shard) -> tuple[set[str], str]:
    """(names of the shard's videos among those of `frames`, a hash of all videos)."""
    if frames.listed:  # only the shard's own have been read
        return set(frames.videos), frames.listed
    sizes = {name: len(rows) for name, rows in videos_of(frames)}
    return own_names(sizes, shard), digest_of(sizes)


@contextlib.contextmanager
def working(output: AnyPath, shard: Shard) -> Iterator[None]:
    """Context in which this process alone has this share of a table.

    Raises:
      LockedError: another process has it, or writes the whole table, or shares are being made of
        which there is another number: their videos would be the same.
    """
    with locked(output.parent, _lock(output, shard.number, shard.count)):
        others = [f".{output.name}.lock", *(n for n in _at_work(output) if not _is_of(n, shard))]
        for name in () if is_remote(output) else others:
            if owner := owner_of(Path(output.parent) / name):
                raise LockedError(
                    f"{output}: another run is writing it ({owner}), not as one of "
                    f"{shard.count} shards; wait for it, or use another --output"
                )
        yield


def check_no_shares(output: AnyPath) -> None:
    """Raises `ShareAtWorkError` while shares of a table are being made."""
    for name in () if is_remote(output) else _at_work(output):
        if owner := owner_of(Path(output.parent) / name):
            share = "/".join(re.findall(r"\d+", name.removeprefix(f".{output.name}")))
            raise ShareAtWorkError(
                f"{output}: --shard={share} of it is being made ({owner}); wait for it, or take "
                "another --output"
            )


def note_done(output: AnyPath, shard: Shard, digest: str) -> None:
    """Notes that all videos of a share are done, of those that `digest` stands for."""
    parts_folder(output).mkdir(parents=True, exist_ok=True)
    note = {_VIDEOS: digest, _IN_TABLE: False}
    write_note(_note(output, shard.number, shard.count), note)


def note_in_table(output: AnyPath) -> None:
    """Notes that the table has what all shares have made: those of the next one are to come."""
    for path in parts_folder(output).glob("shard-*-of-*.json"):
        write_note(path, read_note(path) | {_IN_TABLE: True})


def others(output: AnyPath, shard: Shard, digest: str) -> Others:
    """How far the others are, by their notes, when this one has done those of `digest`."""
    not_done, of_other_videos = [], []
    for number in range(1, shard.count + 1):
        if number == shard.number:
            continue
        share, note = f"{number}/{shard.count}", read_note(_note(output, number, shard.count))
        lock = Path(output.parent) / _lock(output, number, shard.count)
        is_at_work = not is_remote(output) and owner_of(lock)
        if _VIDEOS not in note or note.get(_IN_TABLE, True) or is_at_work:
            not_done.append(share)
        elif note[_VIDEOS] != digest:
            of_other_videos.append(share)
    return Others(not_done, of_other_videos)


def _note(output: AnyPath, number: int, count: int) -> AnyPath:
    return parts_folder(output) / f"shard-{number}-of-{count}.json"


def _lock(output: AnyPath, number: int, count: int) -> str:
    return f".{output.name}.shard-{number}-of-{count}.lock"


def _at_work(output: AnyPath) -> list[str]:
    """Names of the files that processes with a share have locked, or had."""
    pattern = re.compile(re.escape(f".{output.name}.shard-") + r"\d+-of-\d+\.lock")
    folder = Path(output.parent)
    found = folder.iterdir() if folder.is_dir() else ()
    return [file.name for file in found if pattern.fullmatch(file.name)]


def _is_of(name: str, shard: Shard) -> bool:
    return name.endswith(f"-of-{shard.count}.lock")
