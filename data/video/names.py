"""Which files are videos, and what the videos are called."""

import contextlib
import functools
import hashlib
import itertools
import os
import unicodedata
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data.common.errors import InputError
from data.images.names import plain_path
from data.storage.folders import read_part
from data.storage.paths import AnyPath, is_remote

VIDEO_SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".divx", ".flv", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4"),
    *(".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)


SAMPLES, SAMPLE_BYTES = 16, 2**18  # of a file's content, from its first bytes to its last
TELLING = 16  # a file's beginning that can be compressed to less than a sixteenth says nothing


def name_videos(
    folder: Path,
    files: Iterable[Path],
    remarks: list[str],
    known: "KnownNames | None" = None,
) -> dict[str, Path]:
    """Names videos by their files: a name does not depend on which folder was passed.

    `case 1/left.mp4` is "left" where no other file is called so; else as many folders above it are
    in the name as it takes to tell them apart: "case 1_left" and "case 2_left". Of files of one
    stem side by side the first keeps it: `op.avi` is "op", `op.mkv` "op_mkv". Before all that, a
    file keeps the name that it has in `known`, and no other file gets that. `remarks` receives a
    line for each that is called otherwise than by its stem.
    """
    files, known = list(files), known or NONE_KNOWN
    kept, fresh = {}, files
    # A place where another file lies now says less than contents that were moved.
    for find in (
        known.by_place_and_size,
        lambda file: known.by_state(file, _below(folder, file)),
        known.by_place,
        known.by_head,
    ):
        files_before, fresh = fresh, []
        for file in files_before:
            before = find(file)
            if before is None or before in kept:
                fresh.append(file)
                continue
            kept[before] = file
            if before != file.stem:
                remarks.append(f"{file}: named {before}, as before")
    named = _distinct(fresh, files, kept, known.taken)
    beside = []
    videos = names_apart(named, beside, kept, known.taken)
    for name, file in named:
        if name != file.stem and videos[name] == file:
            remarks.append(f"{file}: named {name}, as other videos are called {file.stem}")
    remarks += beside
    return videos


@dataclass(frozen=True)
class KnownNames:
    """Names that videos have from earlier runs.

    Attributes:
      places: {hash of where a file lies (`sources_of`): name}.
      states: {(name, bytes): `content_digest`, None where it was not noted}, by which a file that
        was moved is known again.
      taken: names that no other file gets.
      operations: {hash of where the first of several files lies: name}, of operations in parts.
      heads: {`head_digest`: name} of damaged files: one that was mended and moved is known again.
    """

    places: Mapping[str, str] = field(default_factory=dict)
    states: Mapping[tuple[str, int], str | None] = field(default_factory=dict)
    taken: frozenset[str] = frozenset()
    operations: Mapping[str, str] = field(default_factory=dict)
    heads: Mapping[str, str] = field(default_factory=dict)

    def find_operation(self, first: Path) -> str | None:
        """The name of an operation by its first file."""
        sources = (source for source in sources_of(first) if source in self.operations)
        return next((self.operations[source] for source in sources), None)

    def by_place(self, file: Path) -> str | None:
        """The name of a file that lies where it lay."""
        return next((self.places[s] for s in sources_of(file) if s in self.places), None)

    def by_place_and_size(self, file: Path) -> str | None:
        """The name of a file that lies where it lay, and is as large as it was."""
        name = self.by_place(file)
        with contextlib.suppress(OSError):
            return name if (name, file.stat().st_size) in self.states else None
        return None

    def by_state(self, file: Path, below: str) -> str | None:
        """The name of a file that was moved, or that was named by its place below the folder."""
        with contextlib.suppress(OSError):
            size = file.stat().st_size
            for name in (below, file.stem):
                if (name, size) in self.states:
                    content = self.states[name, size]
                    if content is None or content == content_digest(file):
                        return name
        return None

    def by_head(self, file: Path) -> str | None:
        """The name of a damaged file that begins as this one does."""
        with contextlib.suppress(OSError):
            return self.heads.get(head_digest(file)) if self.heads else None
        return None


NONE_KNOWN = KnownNames()


def _below(folder: Path, file: Path) -> str:
    """How earlier versions named a file, by where it lies below the folder that was passed."""
    return "_".join(plain_path(file).relative_to(plain_path(folder)).with_suffix("").parts)


def _distinct(
    fresh: Iterable[Path], files: Iterable[Path], kept: Mapping[str, Path], taken: Collection[str]
) -> list[tuple[str, Path]]:
    """[(name, file)]: the shortest end of its path that no file in another folder has."""
    places = {}  # stem -> where files of it lie
    for file in files:
        places.setdefault(file.stem, set()).add(plain_path(file).with_suffix("").parts)
    taken = taken | kept.keys()

    @functools.cache
    def ends(stem, length):
        return Counter("_".join(parts[-length:]) for parts in places[stem])

    named = []
    for file in fresh:
        parts = plain_path(file).with_suffix("").parts
        names = ((n, "_".join(parts[-n:])) for n in range(1, len(parts)))
        free = (name for n, name in names if name not in taken and ends(file.stem, n)[name] == 1)
        is_beside = file.stem in kept and kept[file.stem].parent == file.parent
        named.append((file.stem if is_beside else next(free, file.stem), file))
    return named


def is_video(name: str) -> bool:
    """Whether a file's name is that of a video; hidden files are none."""
    return not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES


def sources_of(file: Path) -> tuple[str, str]:
    """Hashes of where a file lies, for paths may name a patient.

    One of the plain path; and one of the path as it is written, "..", too, which earlier logs have.
    """
    plain = plain_path(file)
    written = plain if is_remote(file) else file.absolute()
    source = _digest_of(plain)
    return source, source if written == plain else _digest_of(written)


def _digest_of(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def folder_digest(name: str) -> str:
    """A hash of a folder's name, in any case, with spaces or underscores: it may name a patient."""
    plain = unicodedata.normalize("NFC", name).replace(" ", "_").casefold()
    return hashlib.sha256(plain.encode(errors="surrogateescape")).hexdigest()[:16]


def content_digest(file: AnyPath) -> str:
    """A hash of some megabytes of a file: a copy has the same, another video has not."""
    digest, size = hashlib.sha256(), file.stat().st_size
    for place in range(SAMPLES):
        begin = max(0, size - SAMPLE_BYTES) * place // (SAMPLES - 1)
        digest.update(read_part(file, begin, min(size, begin + SAMPLE_BYTES)))
    return digest.hexdigest()[:16]


def head_digest(file: AnyPath) -> str:
    """A hash of a file's first bytes; "" where others may begin as it does.

    These are files that have fewer, or keep room for an index in front, or begin with black frames.
    """
    head = read_part(file, 0, SAMPLE_BYTES)
    if len(head) < SAMPLE_BYTES or len(zlib.compress(head, 1)) < SAMPLE_BYTES // TELLING:
        return ""
    return hashlib.sha256(head).hexdigest()[:16]


def names_apart(
    named: Iterable[tuple[str, Path]],
    remarks: list[str],
    kept: Mapping[str, Path] | None = None,
    taken: Collection[str] = (),
) -> dict[str, Path]:
    """A mapping of pairs (name, file); a name that is taken gets the file's suffix, or a number.

    The names `kept` are taken, and in it.
    """
    named = list(named)
    videos, wanted = dict(kept or {}), {name for name, _ in named}
    taken = frozenset(taken)
    for name, file in named:
        others = itertools.chain((file.suffix.lstrip("."),), itertools.count(2))
        free = (f"{name}_{other}" for other in others)
        new = (
            name
            if name not in videos and name not in taken
            else next(n for n in free if n not in videos and n not in wanted and n not in taken)
        )
        if new != name:
            remarks.append(f"{file}: named {new}, as {name} is {videos.get(name, 'another video')}")
        videos[new] = file
    return videos


def unique_names(named: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """A mapping of pairs (name, file); raises `InputError` if two have one name."""
    videos = {}
    for name, file in named:
        if name in videos:
            raise InputError(f"{file} and {videos[name]}: both would be named {name}; rename one")
        videos[name] = file
    return videos
