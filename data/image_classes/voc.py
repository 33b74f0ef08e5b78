"""Annotations of objects in Pascal VOC's XML: one file per image, names and boxes.

Format: Everingham et al., IJCV 2010; its development kit's documentation, section 8.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from data.common.errors import InputError, reason_of

MAX_BYTES = 1 << 20  # an annotation has about a thousand
CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VocObject:
    """An object: its name as it is written, and its box (left, top, right, bottom) in pixels."""

    name: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class VocAnnotation:
    """What a file says.

    Attributes:
      objects: in the order of the file.
      path: text of the tag `path`, "" without it: where the image lay when it was annotated.
    """

    objects: tuple[VocObject, ...]
    path: str


def read_voc(file: Path) -> VocAnnotation:
    """Reads an annotation.

    Raises:
      InputError: not a complete XML file, not an annotation, or an object without name or box.
    """
    try:
        if (size := file.stat().st_size) > MAX_BYTES:
            raise InputError(f"{file}: {size} bytes; an annotation has a few thousand at most")
        root = ElementTree.fromstring(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file}: {reason_of(error)}") from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(f"{file}: not readable as XML ({error})") from error
    if root.tag != "annotation":
        raise InputError(f"{file}: begins with <{root.tag}>; expected <annotation>")
    objects = tuple(_read_object(file, element) for element in root.iter("object"))
    return VocAnnotation(objects, _text(root, "path"))


def _read_object(file: Path, element: ElementTree.Element) -> VocObject:
    name = _text(element, "name")
    if not name:
        raise InputError(f"{file}: an object without a name")
    texts = [_text(element, f"bndbox/{corner}") for corner in CORNERS]
    try:
        box = tuple(float(text) for text in texts)
    except ValueError:
        box = (math.nan,) * 4
    if not all(math.isfinite(value) for value in box):
        raise InputError(f"{file}: {name} has the box {', '.join(texts)}; expected four numbers")
    return VocObject(name, box)


def _text(element: ElementTree.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()
