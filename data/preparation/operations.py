"""Operations that a recorder has cut into several files: which files are parts of which.

A table says so (--operations), or their names do; names are believed only when the user has seen
what they would join (--join_parts).
"""

import re
import struct
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from data.annotation_formats.delimited import read_table
from data.common.errors import USED_UP_TO, InputError, some
from data.dataset.audit import Audit
from data.images.names import composed, named_below, natural_key, plain_path
from data.video.clock import estimate_seconds
from data.video.parts import VideoFiles

COLUMNS = ("file", "operation", "order")
_NUMBERED = re.compile(
    r"(?P<head>.+?)(?:[-_. ]+(?:part|pt|teil|segment|seg|chunk|disc|cd)[-_. ]*(?P<word>\d{1,3})"
    r"(?:[-_. ]*of[-_. ]*\d+)?|[-_. ]*\((?P<bracket>\d{1,3})\)|_(?P<digits>\d{3}))",
    re.IGNORECASE,
)
CERTAIN_GAP = 5  # seconds; creation times are whole
EQUALLY_LONG = 0.05  # parts without a word that says so are cut after the same time, or size

# {operation: {number of the part: name of the video that it would be by itself}}
Operations = dict[str, dict[int, str]]


def find_parts(videos: Mapping[str, Path]) -> Operations:
    """The operations that names of videos in one folder speak of: op12_part1, op12 (2), op12_002.

    Numbers alone count only from 0 or 1 on, and where all files but the last are equally long or
    large: whoever numbers operations does not have that.
    """
    groups, of_stem = {}, {}
    for name, file in videos.items():
        # A name may begin with folders, which it shares with none of the other parts.
        stem = file.stem if name.endswith(file.stem) else name
        of_stem[file.parent, stem] = name
        # The folder may be called by the operation: op12/part1.mp4.
        in_folder = f"{file.parent.name}_{stem}"
        if match := _NUMBERED.fullmatch(stem) or _NUMBERED.fullmatch(in_folder):
            kind = match.lastgroup
            numbers = groups.setdefault((match["head"], kind, file.parent), {})
            numbers.setdefault(int(match[kind]), []).append(name)
    folders = {}
    for head, _, folder in groups:
        folders.setdefault(head, set()).add(folder)
    found = {}
    for (head, kind, folder), numbers in sorted(groups.items()):
        operation = head if len(folders[head]) == 1 else f"{folder.name}_{head}"
        parts = {number: numbers[number][0] for number in sorted(numbers)}
        is_ambiguous = operation in found or any(len(same) > 1 for same in numbers.values())
        # op12.mp4 with op12 (2).mp4 is the part before it.
        if first := of_stem.get((folder, head)):
            before = min(parts) - 1
            is_ambiguous |= before not in ((0, 1) if kind == "bracket" else (1,))
            parts = {before: first} | parts
        if is_ambiguous or len(parts) == 1 or (kind == "digits" and not _is_cut(videos, parts)):
            continue
        found[operation] = parts
    return {operation: found[operation] for operation in sorted(found, key=natural_key)}


def read_operations(
    table: Path, folder: Path, videos: Mapping[str, Path], audit: Audit
) -> Operations:
    """Reads a table with the columns file, operation, order.

    Args:
      table: CSV. A file is named by its path in `folder`, or without it where one has that name.
      folder: where the videos were searched for.
      videos: {name: file} of those that were found.
      audit: receives a problem for each row that cannot be used.

    Raises:
      InputError: the table has other columns, or two files in one place.
    """
    rows = read_table(table, audit)
    columns = [column.casefold() for column in rows.columns]
    if not set(COLUMNS) <= set(columns):
        raise InputError(f"{table}:1: columns {some(rows.columns)}; expected {', '.join(COLUMNS)}")
    base = plain_path(folder)
    by_path, by_name = {}, {}
    for name, path in videos.items():
        below = composed(plain_path(path).relative_to(base).as_posix())
        by_path.setdefault(below, []).append(name)
        by_name.setdefault(Path(below).name, []).append(name)
    cells = [rows.texts(columns.index(column)) for column in COLUMNS]
    found, used = {}, set()
    for place, line in enumerate(rows.lines.tolist()):
        file, operation, order = (texts[places[place]] for texts, places in cells)
        where = f"{table}:{line}"
        if not order.isdecimal() or not operation or Path(operation).name != operation:
            raise InputError(
                f"{where}: operation {operation!r}, order {order!r}; expected a name without "
                "slashes, and 1, 2, 3, ..."
            )
        below = composed(named_below(file, folder))
        same = by_path.get(below) or by_name.get(below, [])
        name = same[0] if len(same) == 1 else None
        if name is None:
            audit.problem(f"{where}: {len(same) or 'no'} videos of this name in {folder}; not used")
            continue
        parts = found.setdefault(operation, {})
        if int(order) in parts or name in used:
            raise InputError(f"{where}: a file, or a number of {operation}, for the second time")
        parts[int(order)] = name
        used.add(name)
    return found


def find_operations(
    videos: Mapping[str, Path], table: Path | None, folder: Path, audit: Audit
) -> tuple[Operations, Operations]:
    """The operations of a table, and those that the names of all other videos speak of.

    Args:
      videos: {name: file}.
      table: as for `read_operations`; None without one.
      folder: where the videos were searched for.
      audit: receives a problem for each row of the table that cannot be used.

    Raises:
      InputError: the table is wrong, or lacks some of the files with an operation's name.
    """
    listed = read_operations(table, folder, videos, audit) if table else {}
    used = {name for parts in listed.values() for name in parts.values()}
    return listed, find_parts({name: file for name, file in videos.items() if name not in used})


def join_operations(
    videos: Mapping[str, Path],
    listed: Operations,
    by_name: Operations,
    join_parts: bool,
    taken: set[str],
    audit: Audit,
) -> dict[str, VideoFiles]:
    """All videos, their parts joined as a user asks for.

    Args:
      videos: {name: file}.
      listed, by_name: as `find_operations` returns them.
      join_parts: whether to join `by_name`; else the audit says what it would join.
      taken: names that other things have.
      audit: receives remarks about parts, and about gaps between them.

    Raises:
      InputError: an operation and something else have one name.
    """
    if not join_parts:
        remark_parts(videos, by_name, audit)
        by_name = {}
    for name in listed.keys() & by_name.keys():
        raise InputError(f"{name}: in --operations without all files of this name; expected all")
    joined = join_files(videos, listed | by_name, taken)
    remark_gaps(joined, audit)
    return joined


def join_files(
    videos: Mapping[str, Path], operations: Operations, taken: set[str]
) -> dict[str, VideoFiles]:
    """All videos, those of `operations` joined up to the first part that is missing.

    Args:
      videos: {name: file}.
      operations: names of their parts, all of them in `videos`.
      taken: names that other things have.

    Raises:
      InputError: an operation and something else have one name.
    """
    parts = {name for numbers in operations.values() for name in numbers.values()}
    joined = {name: VideoFiles((file,)) for name, file in videos.items() if name not in parts}
    for operation, numbers in operations.items():
        if operation in joined or operation in taken:
            raise InputError(f"{operation}: an operation and another video are named so; rename it")
        first = 0 if 0 in numbers else 1
        expected = range(first, max(numbers) + 1)
        missing = [number for number in expected if number not in numbers]
        end = missing[0] if missing else max(numbers) + 1
        fault = ""
        if missing:
            used = f"{USED_UP_TO} {end - 1}" if end > first else "not used"
            fault = (
                f"{operation}: part {some(missing)} is missing among parts {first} "
                f"to {max(numbers)}; {used}"
            )
        files = tuple(videos[numbers[number]] for number in range(first, end))
        joined[operation] = VideoFiles(files, fault)
    return {name: joined[name] for name in sorted(joined, key=natural_key)}


def remark_parts(videos: Mapping[str, Path], operations: Operations, audit: Audit) -> None:
    """Says which videos look like parts of one operation."""
    groups = []
    for numbers in operations.values():
        first, *others = (videos[numbers[number]].name for number in sorted(numbers))
        groups.append(f"{first} and {len(others)} more")
    if groups:
        each = " each" if len(groups) > 1 else ""
        audit.remark(
            f"{some(groups, '; ')} look like parts of one operation{each}; --join_parts joins them"
        )


def remark_gaps(joined: Mapping[str, VideoFiles], audit: Audit) -> None:
    """Says where nothing was recorded between two parts, as far as MP4 files tell that.

    Some recorders note when a file begins, others when it ends. It is a gap if it is one by both.
    """
    for name, video in joined.items():
        if len(video.files) == 1:  # thousands of files need not be opened
            continue
        lengths = [estimate_seconds(file) for file in video.files]
        created = [_creation_time(file) for file in video.files]
        for part, (before, after) in enumerate(pairwise(created), 1):
            longer = max(lengths[part - 1 : part + 1])
            if before and after and after - before > longer + CERTAIN_GAP:
                audit.remark(
                    f"{name}: by their creation times, at least {after - before - longer:.0f} "
                    f"seconds lie between part {part} and the next; its clock runs on without them"
                )


def check_extracted(frames_dir: Path, operations: Operations, is_joined: bool) -> None:
    """Raises `InputError` where frames would be in a dataset twice, in a part's and the whole's."""
    for operation, numbers in operations.items():
        parts = [name for name in numbers.values() if name != operation]
        for name in filter(lambda name: (frames_dir / name).is_dir(), parts if is_joined else []):
            raise InputError(
                f"{frames_dir / name}: frames of a part of {operation}, extracted by itself "
                "before; expected another --name"
            )
        if not is_joined and len(parts) == len(numbers) and (frames_dir / operation).is_dir():
            raise InputError(
                f"{frames_dir / operation}: frames of {len(parts)} parts that were joined; "
                "expected --join_parts again, or another --name"
            )


def _creation_time(file: Path) -> int:
    """When an MP4 file says that it was made, in seconds since some day; 0 where it does not."""
    with file.open("rb") as opened:
        while len(head := opened.read(8)) == 8:
            size, kind = struct.unpack(">I4s", head)
            size -= 8
            if size == 1 - 8:  # a size of 64 bits follows
                size = struct.unpack(">Q", opened.read(8).rjust(8, b"\0"))[0] - 16
            if kind == b"moov":
                begin = opened.read(28).ljust(28, b"\0")
                if begin[4:8] != b"mvhd":
                    return 0
                return struct.unpack(
                    ">Q" if begin[8] else ">I", begin[12 : 20 if begin[8] else 16]
                )[0]
            if size < 0:
                return 0
            opened.seek(size, 1)
    return 0


def _is_cut(videos: Mapping[str, Path], parts: Mapping[int, str]) -> bool:
    """Whether files look like those of a recorder that begins a new one after a time or size."""
    if min(parts) > 1:
        return False
    files = [videos[parts[number]] for number in sorted(parts)]
    seconds = [length for file in files if (length := estimate_seconds(file))]
    sizes = [file.stat().st_size for file in files]
    return any(
        max(amounts) <= (1 + EQUALLY_LONG) * min(amounts[:-1])
        for amounts in (seconds, sizes)
        if len(amounts) > 1
    )
