"""What a dataset tells apart, and its rates: `classes.json`.

    {"phases": ["Preparation", ...],             in the order of their ids
     "multi_label": {"tools": ["Grasper", ...]}, groups of labels of which a frame has any number
     "classes": ["adenomatous", ...],            of still images, one each
     "fps": 1.0,                                 frames per second of video
     "annotation_fps": 25.0}                     annotated frames per second, where that was given

Ids are positions in these lists. They never change once they are written: new names go to the end.
Datasets, and a model and a dataset, are joined by name. A dataset without the file is one of
Cholec80's kind; a file that holds a bare list names the classes of still images.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from data.common.errors import InputError, some
from data.dataset.cholec80 import PHASES, TOOLS
from data.dataset.extraction_log import LOG, read_log
from data.storage.paths import AnyPath
from data.storage.whole import write_json

CLASSES_FILE = "classes.json"
MAX_CLASSES = np.iinfo(np.int8).max  # phases are int8 in the index


@dataclass(frozen=True)
class Classes:
    """Names of what a dataset tells apart; attributes are as in `classes.json`."""

    phases: tuple[str, ...] = ()
    multi_label: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    def joined(self, other: "Classes") -> "Classes":
        """These classes, and at the end those that only `other` has."""
        groups = dict.fromkeys((*self.multi_label, *other.multi_label))
        return Classes(
            joined(self.phases, other.phases),
            {g: joined(self.multi_label.get(g, ()), other.multi_label.get(g, ())) for g in groups},
            joined(self.classes, other.classes),
        )


CHOLEC80 = Classes(PHASES, {"tools": TOOLS})


def joined(names: Sequence[str], others: Iterable[str]) -> tuple[str, ...]:
    """`names`, then those of `others` that are not among them."""
    return tuple(dict.fromkeys((*names, *others)))


def new_ids(names: Sequence[str], of: Sequence[str]) -> np.ndarray:
    """int16 [len(names) + 1]: positions of `names` in `of`, -1 for others; the last is -1's."""
    places = {name: place for place, name in enumerate(of)}
    return np.array([*(places.get(name, -1) for name in names), -1], np.int16)


def choose(known: Sequence[str], seen: Sequence[str], usual: Sequence[str]) -> tuple[str, ...]:
    """The names of a dataset, in the order of their ids.

    Args:
      known: those that were written before; they stay what they are.
      seen: names in the annotations, in the order of their first appearance.
      usual: Cholec80's. Where the names are of these, or but two of these are among them, they are
        meant: another name is misspelt.

    Returns:
      `usual`, or `known` and then those that are new.
    """
    if not known and seen:
        count = len(set(seen) & set(usual))
        known = usual if count == len(seen) or count >= len(usual) - 2 else ()
    return tuple(usual) if tuple(known) == tuple(usual) else joined(known, seen)


def read_classes(root: AnyPath) -> Classes:
    """The classes of a dataset directory.

    Raises:
      InputError: classes.json is damaged.
    """
    content = _read(root)
    if content is None:
        return CHOLEC80
    if isinstance(content, list):
        return Classes(classes=tuple(content))
    groups = {group: tuple(names) for group, names in content.get("multi_label", {}).items()}
    return Classes(tuple(content.get("phases", ())), groups, tuple(content.get("classes", ())))


def check_kind(root: AnyPath, is_of_classes: bool) -> None:
    """Raises `InputError` where `root` is a dataset already, and of the other kind.

    Args:
      root: dataset directory; it may be missing.
      is_of_classes: whether it is to be one of images in classes, not of videos.
    """
    if not has_classes(root) or bool(read_classes(root).classes) == is_of_classes:
        return
    if is_of_classes:
        raise InputError(f"{root}: a dataset of videos; expected another --name for classes")
    raise InputError(
        f"{root}: a dataset of images in classes, without the time that phases need; expected "
        "--dataset=classes again, or another --name"
    )


def write_classes(root: AnyPath, classes: Classes, **rates: float | None) -> None:
    """Writes classes.json; `rates` are fps and annotation_fps, None where not known.

    Raises:
      InputError: more names than an index has ids for.
    """
    check_number(root / CLASSES_FILE, classes)
    given = {name: rate for name, rate in rates.items() if rate is not None}
    write_json(root / CLASSES_FILE, {**asdict(classes), **given})


def check_number(where: object, classes: Classes) -> None:
    """Raises `InputError`, about `where`, for more names than an index has ids for."""
    lists = {"phases": classes.phases, **classes.multi_label, "classes": classes.classes}
    for kind, names in lists.items():
        if len(names) > MAX_CLASSES:
            raise InputError(
                f"{where}: {len(names)} {kind}: {some(names)}; expected at most {MAX_CLASSES}, so "
                "that this is not the column, or file, that names them"
            )


def has_classes(root: AnyPath) -> bool:
    """Whether a dataset directory says what its classes are."""
    return (root / CLASSES_FILE).is_file()


def frame_rate(root: AnyPath) -> float:
    """Frames per second of video that a dataset has; 1 where nothing says.

    Raises:
      InputError: classes.json or the log of the extraction is damaged.
    """
    noted = (root / "frames" / LOG).is_file()
    return read_log(root / "frames")["fps"] if noted else _rate(root, "fps") or 1.0


def has_times(root: AnyPath) -> bool:
    """Whether the numbers of still images in classes tell their time, as a table said."""
    return bool(read_classes(root).classes) and _rate(root, "fps") is not None


def annotation_rate(root: AnyPath) -> float | None:
    """Annotated frames per second, where a user has said so; raises as `frame_rate` does."""
    return _rate(root, "annotation_fps")


def _rate(root: AnyPath, name: str) -> float | None:
    content = _read(root)
    return content.get(name) if isinstance(content, dict) else None


def _read(root: AnyPath) -> list | dict | None:
    """What classes.json holds, checked; None without the file."""
    path = root / CLASSES_FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error})") from error
    if not isinstance(content, list | dict):
        raise InputError(f"{path}: {type(content).__name__}; expected names of classes")
    lists = {"": content} if isinstance(content, list) else _lists(path, content)
    for name, names in lists.items():
        where = f"{path}: {name}" if name else f"{path}"
        if not isinstance(names, list) or not all(isinstance(n, str) and n for n in names):
            raise InputError(f"{where}: expected a list of names")
        if len(set(names)) < len(names) or len(names) > MAX_CLASSES:
            raise InputError(f"{where}: expected at most {MAX_CLASSES} names, each once")
    return content


def _lists(path: AnyPath, content: dict) -> dict[str, list]:
    known = ("phases", "multi_label", "classes", "fps", "annotation_fps")
    if unknown := [name for name in content if name not in known]:
        raise InputError(f"{path}: {unknown[0]!r}; expected {some(known, limit=8)}")
    groups = content.get("multi_label", {})
    if not isinstance(groups, dict):
        raise InputError(f"{path}: multi_label: expected names of groups, and a list for each")
    for name in ("fps", "annotation_fps"):
        rate = content.get(name, 1.0)
        if not isinstance(rate, int | float) or not rate > 0:
            raise InputError(f"{path}: {name}={rate!r}; expected a number above 0")
    lists = {name: content.get(name, []) for name in ("phases", "classes")}
    return lists | {f"multi_label: {group}": names for group, names in groups.items()}
