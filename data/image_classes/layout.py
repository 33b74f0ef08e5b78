"""How folders of images name classes, and perhaps the parts of a split.

`class/image` needs no more. `train/`, `val/` or `validation/`, and `test/`, above or below the
classes, are a split, and so are `training_set/` and the like; `fold1/`, `fold_2/`, `Fold 3/`,
`cv1/` or `split1/` there are folds. Where images lie deeper,
`polyps/adenoma/1.png` may be of the class adenoma, and `adenoma/patient 7/1.png` is not of the
class patient 7: only the user knows.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data.common.errors import InputError, some
from data.images.finding import is_picture
from data.images.folders import list_files
from data.images.image_io import SUFFIXES
from data.images.names import natural_key

_WORDS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_ENDINGS = ("", *(f"{sign}{noun}" for noun in ("set", "data", "images") for sign in ("", *"_- ")))
PARTS = {f"{word}{end}": part for part in _WORDS for word in _WORDS[part] for end in _ENDINGS}
FOLD = re.compile(r"(?:k[ _-]?)?(fold|cv|split)s?[ _-]?(\d+)", re.IGNORECASE)
UNREAD = {".gif", ".heic", ".heif", ".avif", ".jp2", ".j2k", ".jxl", ".mpo", ".psd", ".ppm"}


class Layout(NamedTuple):
    """What folders say.

    Attributes:
      images: {class: its images}, in natural order.
      parts: {image: "train", "validation" or "test", or its fold}; empty where folders do not say.
      are_folds: whether these are folds.
    """

    images: dict[str, list[Path]]
    parts: dict[Path, str]
    are_folds: bool


def read_layout(folder: Path, level: str | None, faults: list[str]) -> Layout:
    """The classes of the images in a folder and below it.

    Args:
      folder: of all classes.
      level: which of several folders names the class, the "first" or the "last"; None where the
        user does not say.
      faults: receives a line for what cannot be used.

    Raises:
      InputError: no such folder, fewer than two classes, folders that can be read in several ways.
    """
    if not folder.is_dir():
        raise InputError(f"--images={folder}: no such folder; expected one with a folder per class")
    passed_over = []
    found = list_files(folder, faults, passed_over)
    files = [file for file in found if is_picture(file)]
    if unread := [file for file in found if file.suffix.lower() in UNREAD]:
        faults.append(
            f"{some(unread)}: {len(unread)} images of formats that are not read; expected "
            f"{', '.join(SUFFIXES)}, or DICOM"
        )
    faults += (
        f"{link}: a link to {link.resolve()}, whose images count once, there; expected a folder "
        "with images of its own"
        for link in passed_over
    )
    places = {file: list(file.relative_to(folder).parent.parts) for file in files}
    if loose := [file for file in files if not places[file]]:
        names = some([file.name for file in loose])
        faults.append(f"{folder}: {len(loose)} images in no class's folder: {names}")
        places = {file: place for file, place in places.items() if place}
    parts, are_folds = _take_folds(folder, places), True
    if not parts:
        parts, are_folds = _take_parts(folder, places), False
    named = {file: _class_of(place, level) for file, place in places.items()}
    depths = {len(place) for place in places.values()}
    if level is None and max(depths, default=0) > 1:
        deepest = max(places, key=lambda file: len(places[file]))
        last, first = (
            sorted({_class_of(place, of) for place in places.values()}, key=natural_key)
            for of in ("last", "first")
        )
        raise InputError(
            f"{folder}: images lie deeper than one folder ({deepest.relative_to(folder)}); "
            f"expected --class_folders=last for the classes {some(last)}, or --class_folders=first "
            f"for {some(first) if len(first) > 1 else f'{first[0]} alone'}"
        )
    images = {}
    for file, name in named.items():
        images.setdefault(name, []).append(file)
    images = {name: images[name] for name in sorted(images, key=natural_key)}
    if len(images) < 2:
        names = ", ".join(images) or "none"
        raise InputError(
            f"{folder}: folders with images: {names}; one per class, two at least"
            + (f"; {some(faults, '; ')}" if faults else "")
        )
    return Layout(images, parts, are_folds)


def _take_folds(folder: Path, places: dict[Path, list[str]]) -> dict[Path, str]:
    """Takes the names of folds out of the folders of all images, at one depth."""
    for depth in range(min(map(len, places.values()), default=0)):
        found = {file: FOLD.fullmatch(place[depth]) for file, place in places.items()}
        if not all(found.values()) or len({fold[0] for fold in found.values()}) < 2:
            continue
        names = sorted({fold[0] for fold in found.values()}, key=natural_key)
        for place in places.values():
            del place[depth]
        if not all(places.values()):
            raise InputError(
                f"{folder}: images in {some(names)} itself; expected a folder for each class there"
            )
        if any(name.lower() in PARTS for place in places.values() for name in place):
            raise InputError(
                f"{folder}: {some(names)} with a split of their own in each; expected one of them, "
                f"as in --images={folder / names[0]}"
            )
        return {file: f"{fold[1].lower()}{int(fold[2])}" for file, fold in found.items()}
    return {}


def _take_parts(folder: Path, places: dict[Path, list[str]]) -> dict[Path, str]:
    """Takes the names of parts out of the folders of all images, at one depth."""
    for depth in range(min(map(len, places.values()), default=0)):
        names = {place[depth].lower() for place in places.values()}
        if names <= PARTS.keys():
            parts = {file: PARTS[place.pop(depth).lower()] for file, place in places.items()}
            if not all(places.values()):
                raise InputError(
                    f"{folder}: images in {some(sorted(names))} itself; expected a "
                    "folder for each class there"
                )
            return parts
    used = {name for place in places.values() for name in place if name.lower() in PARTS}
    if used:
        others = {place[0] for place in places.values()} - used
        raise InputError(
            f"{folder}: {some(sorted(used, key=natural_key))} beside "
            f"{some(sorted(others, key=natural_key))}; expected all images in the folders of a "
            "split, or none"
        )
    return {}


def _class_of(place: Sequence[str], level: str | None) -> str:
    return place[0] if level == "first" else place[-1]
