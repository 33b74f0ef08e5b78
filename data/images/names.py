"""What the names of image files say: the video, the number of the frame, the order."""

import fnmatch
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from data.common.errors import some
from data.images.image_io import SUFFIXES
from data.storage.paths import AnyPath, is_remote

_TRAILING_NUMBER = re.compile(r"[-_. ]*(?:frame)?[-_. ]*(\d+)$", re.IGNORECASE)


def natural_key(name: str) -> tuple:
    """A sort key that takes digits as numbers: video2 before video10."""
    parts = re.split(r"(\d+)", name)
    return tuple(int(part) if part.isdecimal() else part for part in parts), name


def composed(name: str) -> str:
    """A name in which a letter with an accent is one letter; as Macs write names it is two."""
    return unicodedata.normalize("NFC", name)


def matches(name: str, pattern: str) -> bool:
    """Whether a pattern stands for a name, however the accents of both are written."""
    return fnmatch.fnmatchcase(composed(name), composed(pattern))


def say_alike(names: Iterable[str], what: str) -> list[str]:
    """A line, or none, for names that case, or the way to write accents, alone tells apart.

    Args:
      names: each once.
      what: they are names of, in words.
    """
    groups = {}
    for name in names:
        groups.setdefault(composed(composed(name).casefold()), []).append(name)
    alike = [group for group in groups.values() if len(group) > 1]
    if not alike:
        return []
    # On a terminal, two ways to write one accent look the same.
    look_same = set()
    for group in alike:
        if len(set(map(composed, group))) < len(group):
            look_same.update(group)
    shown = [" and ".join(ascii(n) if n in look_same else n for n in group) for group in alike]
    return [
        f"{some(shown, '; ')}: told apart by case, or by how accents are written, alone; taken for "
        f"different {what}; expected one name where they are one, else others"
    ]


def is_image(name: str) -> bool:
    """Whether a file's name is that of an image we read; hidden files are none."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122


def trailing_number(stem: str) -> str | None:
    """The digits at the end of a name: "00001-21711-frame-14628" -> "14628"; None without."""
    match = _TRAILING_NUMBER.search(stem)
    return match and match[1]


def are_numbered(stems: Iterable[str]) -> bool:
    """Whether each of a folder's names ends with a number that no other has, as frames' names do.

    Else the images are no video: "0a2fd84b-e62b", "cju0qkwl35pi".
    """
    digits = {stem: trailing_number(stem) for stem in stems}
    numbers = [int(number) for number in digits.values() if number]
    return len(set(numbers)) == len(digits)


def official_number(stem: str, video: str) -> int | None:
    """NNNNNN of a file named `<video>_NNNNNN`, None if it is named otherwise."""
    digits = stem.removeprefix(f"{video}_")
    is_official = digits != stem and digits.isascii() and digits.isdecimal() and len(digits) < 10
    return int(digits) if is_official else None


def video_of(stem: str) -> str:
    """The video that an image in a flat folder is of: "00001-21711-frame-14628" -> "00001-21711".

    A name that is a number, and nothing else, is of the video "images".
    """
    return _TRAILING_NUMBER.sub("", stem) or "images"


def first_number(file: Path) -> int:
    """From what the numbers of a video's frames count: 0 where a frame 0 is beside this, else 1.

    Args:
      file: named `<video>_NNNNNN`.
    """
    before, _, digits = file.stem.rpartition("_")
    zeros = (f"{before}_{'0' * width}{file.suffix}" for width in {1, len(digits)})
    return 0 if any(file.with_name(name).exists() for name in zeros) else 1


def place_in_video(file: Path, root: Path) -> tuple[str, int | None]:
    """The video that an image is of, and its number there if its name is `<video>_NNNNNN`.

    Args:
      file: in `root` or in a folder below it.
      root: where the search for images began.

    Returns:
      The name as `group_images` gives it, and the number in the file's name, or None.
    """
    parts = plain_path(file).relative_to(plain_path(root)).parent.parts
    video = "_".join(parts) or video_of(file.stem)
    return video, official_number(file.stem, parts[-1] if parts else video)


def named_below(name: str, folder: AnyPath) -> str:
    """What a table calls a file of a folder, from there; absolute paths and `~` are taken, too."""
    path = os.path.expanduser(name)  # noqa: PTH111, not every name is a path
    base = plain_path(folder)
    is_below = os.path.isabs(path) and plain_path(path).is_relative_to(base)  # noqa: PTH117
    return plain_path(path).relative_to(base).as_posix() if is_below else name


def plain_path(path: AnyPath) -> Path:
    """The absolute path without "..", for names: one folder is one video, however it is written.

    Of a remote path one that is on no disk, with the same names in it.
    """
    if is_remote(path):
        return Path("/", str(path).replace("://", "/"))
    return Path(os.path.abspath(path))  # noqa: PTH100, of links nothing is resolved
