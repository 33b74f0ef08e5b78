"""The frames of PolypsSet and their annotations, joined by place and name, and what is wrong there.

An image and an annotation belong together if they have the same place and name. The tags `folder`,
`filename` and `path` name where an image was when it was annotated, and join nothing. Where two
images have one name (`1.jpg`, `1.png`), or two annotations, nobody knows what belongs together.

Several objects in one frame: one class, or no label if they differ.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from PIL import Image

from data.annotation_formats.labels import UNKNOWN
from data.common.errors import InputError, some
from data.common.progress import ProgressBar
from data.dataset.audit import Audit
from data.image_classes.voc import read_voc
from data.images.completeness import WHOLE_IMAGES, fault_finder
from data.images.folders import list_files
from data.images.image_io import SUFFIXES
from data.images.names import is_image

NAMES = ("hyperplastic", "adenomatous")  # the second is the positive class
IMAGES_IN, ANNOTATIONS_IN = "Image", "Annotation"

# What is counted, and said first of all that is remarked.
FINDINGS = {
    "no_annotation": "images without an annotation",
    "no_image": "annotations without an image",
    "no_object": "frames without an object",
    "several": "frames with several objects",
    "outside": "boxes that reach out of the image or are empty",
    "name": "objects of an unknown name",
    "xml": "unreadable annotations",
    "image": "unreadable images",
    "twice": "names that several images or several annotations have",
}


class Frame(NamedTuple):
    """A readable image and what its annotation says.

    Attributes:
      file: the image.
      label: position in `NAMES`, -1 unknown.
      size: (width, height) in pixels.
      box: of the largest object, (left, top, right, bottom) within the image; None without.
      source: folder that the annotation's tag `path` names, "" without.
    """

    file: Path
    label: int
    size: tuple[int, int]
    box: tuple[float, float, float, float] | None
    source: str


class Finding(NamedTuple):
    """A line of the audit, and which of `FINDINGS` it counts as."""

    kind: str
    text: str


def read_part(folder: Path, counts: Counter, audit: Audit) -> list[Frame]:
    """Reads train2019, val2019 or test2019.

    Args:
      folder: that part, with `Image/` and `Annotation/`.
      counts: receives how often each of `FINDINGS` was found.
      audit: receives a problem for each file that cannot be used, a remark for anything else.

    Returns:
      The frames whose image can be read, in natural order.
    """
    if not folder.is_dir():
        return []
    places = {name: folder / name for name in (IMAGES_IN, ANNOTATIONS_IN)}
    images = _by_name(places[IMAGES_IN], is_image, audit.problems)
    annotations = _by_name(
        places[ANNOTATIONS_IN], lambda name: name.lower().endswith(".xml"), audit.problems
    )
    pairs, twice = [], []
    for name, files in images.items():
        xmls = annotations.pop(name, [])
        if len(files) > 1 or len(xmls) > 1:
            shown = ", ".join(str(file.relative_to(folder)) for file in files + xmls)
            text = f"{folder}: {shown}: one name; expected one image and one annotation of it"
            twice.append(Finding("twice", text))
        else:
            pairs.append((files[0], xmls[0] if xmls else None))
    with fault_finder(folder / WHOLE_IMAGES) as find_faults, ThreadPoolExecutor() as pool:
        bar = ProgressBar(desc=folder.name, total=len(pairs), unit="frame")
        frames, findings = [], []
        faults = find_faults(image for image, _ in pairs)
        for frame, of_frame in pool.map(_read_frame, *zip(*pairs, strict=True), faults):
            frames += [frame] if frame else []
            findings += of_frame
            bar.update()
        bar.close()
    without = [file for files in annotations.values() for file in files]
    findings += [Finding("no_image", f"{file}: no such image") for file in without]
    for kind, text in findings + twice:
        counts[kind] += 1
        (audit.problem if kind in ("xml", "image", "name", "twice") else audit.remark)(text)
    return frames


def _by_name(
    folder: Path, is_wanted: Callable[[str], bool], faults: list[str]
) -> dict[str, list[Path]]:
    """{place and name without suffix: files}, in natural order."""
    files = {}
    for file in list_files(folder, faults):
        if is_wanted(file.name):
            name = file.relative_to(folder).with_suffix("").as_posix()
            files.setdefault(name, []).append(file)
    return files


def _read_frame(
    image: Path, annotation: Path | None, fault: str | None
) -> tuple[Frame | None, list[Finding]]:
    if fault:
        return None, [Finding("image", f"{image}: {fault}")]
    try:
        with Image.open(image) as opened:
            size = opened.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return None, [Finding("image", f"{image}: not an image ({error})")]
    if annotation is None:
        finding = Finding("no_annotation", f"{image}: no annotation; without a label")
        return Frame(image, UNKNOWN, size, None, ""), [finding]
    try:
        content = read_voc(annotation)
    except InputError as error:
        return Frame(image, UNKNOWN, size, None, ""), [Finding("xml", str(error))]
    label, box, findings = _judge(annotation, content.objects, size)
    return Frame(image, label, size, box, folder_of(content.path)), findings


def _judge(annotation: Path, objects: Sequence, size: tuple[int, int]) -> tuple:
    """(label, box of the largest object, findings) of a frame's objects."""
    findings, boxes = [], []
    if not objects:
        findings.append(Finding("no_object", f"{annotation}: no object; without a label"))
    names = [element.name.lower() for element in objects]
    known = {NAMES.index(name) for name in names if name in NAMES}
    label = known.pop() if len(known) == 1 and set(names) <= set(NAMES) else UNKNOWN
    for element, name in zip(objects, names, strict=True):
        if name not in NAMES:
            text = f"{annotation}: {element.name!r} is not {' or '.join(NAMES)}; without a label"
            findings.append(Finding("name", text))
        inside = _clip(element.box, size)
        if inside != element.box or not _area(inside):
            shown = ", ".join(f"{value:g}" for value in element.box)
            text = f"{annotation}: the box {shown} in an image of {size[0]} x {size[1]} pixels"
            findings.append(Finding("outside", text))
        boxes += [inside] if _area(inside) else []
    if len(objects) > 1:
        text = f"{annotation}: {len(objects)} objects ({some(sorted(set(names)))})"
        text += "" if label != UNKNOWN else "; without a label"
        findings.append(Finding("several", text))
    return label, max(boxes, key=_area, default=None), findings


def folder_of(path: str) -> str:
    """The folder that a tag `path` names, with "/": some name the image, some its folder alone."""
    place = PurePosixPath(path.replace("\\", "/"))
    return (place.parent if place.suffix.lower() in SUFFIXES else place).as_posix() if path else ""


def _clip(box: Sequence[float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    width, height = size
    return max(left, 0), max(top, 0), min(right, width), min(bottom, height)


def _area(box: Sequence[float]) -> float:
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)
