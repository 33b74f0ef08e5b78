"""A miniature PolypsSet: rendered colonoscopy, one polyp a sequence, written in the real layout.

Two classes that differ in what endoscopists look at (Kudo et al., Gastrointest Endosc 44:8, 1996):
the surface of a hyperplastic polyp has round pits, that of an adenomatous one long, winding
grooves; the first is flat with a smooth outline, the second higher and lobed. Colours, size, light
and camera are drawn alike for both, and both patterns have the same mean and contrast, so that
colour does not tell the classes apart.

The files are what the archive holds, with what is wrong there (see
`data/image_classes/polypsset.py`): training frames flat, their numbers shuffled; tags `folder`,
`filename` and `path` of another machine; some annotations without an image, an image without one,
frames without an object, a box that reaches out of the image.
"""

import json
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from data.archives.unpacking import filling, needs_archive
from data.common.errors import InputError, check_range
from data.common.progress import ProgressBar
from data.image_classes.polypsset import find_layout
from data.image_classes.polypsset_frames import ANNOTATIONS_IN, IMAGES_IN, NAMES
from data.image_classes.voc import CORNERS
from data.images.image_io import write_frame
from data.indexing.cleaning import QUALITY
from data.splits.overlaps import SYNTHETIC
from data.synthetic.mucosa import Polyp

PARTS = {"train2019": 24, "val2019": 8, "test2019": 12}  # sequences
FRAMES = 12  # of a sequence, on average
SIZE = (256, 192)
VERSION = 1  # of the drawing: frames of another version do not belong into one data set


def make_polyps(
    root: Path,
    sequences: int = sum(PARTS.values()),
    frames: int = FRAMES,
    seed: int = 0,
    size: tuple[int, int] = SIZE,
) -> None:
    """Renders frames and annotations into `root/train2019`, `val2019` and `test2019`.

    What is there already with the same settings is kept. Half of each part is of each class.

    Args:
      root: dataset directory.
      sequences: of all parts together, in the proportions of `PARTS`; at least two in each.
      frames: mean length of a sequence.
      seed: of everything random.
      size: (width, height) in pixels.

    Raises:
      InputError: an argument is out of range, or `root` holds other frames.
    """
    check_range("sequences", sequences, 3)
    check_range("frames", frames, 4)
    check_range("seed", seed, 0)
    check_range("size", min(size), 64)
    root = Path(root)
    settings = {"polyps": VERSION, "sequences": sequences, "frames": frames, "seed": seed}
    settings["size"] = list(size)
    note = root / SYNTHETIC
    if note.is_file() and json.loads(note.read_text()) == settings:
        if not needs_archive(root, find_layout):
            return
    elif note.is_file() or find_layout(root):
        raise InputError(f"{root}: holds other frames than {settings}; use another --name")
    total = sum(PARTS.values())
    counts = {part: max(2, round(sequences * n / total)) for part, n in PARTS.items()}
    with filling(root), ProgressBar(desc="render", total=sum(counts.values()), unit="polyp") as bar:
        note.write_text(json.dumps(settings) + "\n")
        for place, (part, count) in enumerate(counts.items()):
            random = np.random.default_rng([seed, place])
            _make_part(root / part, count, frames, size, random, bar)


def _make_part(folder, count, frames, size, random, bar) -> None:
    """Renders one part; training frames are flat and their numbers shuffled, as in the archive."""
    is_flat = folder.name == "train2019"
    lengths = random.integers(round(0.7 * frames), round(1.3 * frames) + 1, count)
    shuffled = iter(random.permutation(lengths.sum()) + 1)
    for number, length in enumerate(lengths, 1):
        label = number % 2
        polyp = Polyp(random, NAMES[label], size, int(length))
        for frame in range(int(length)):
            image, box = polyp.frame(frame)
            name = f"{next(shuffled)}" if is_flat else f"{number}/{frame + 1}"
            tags = _tags(random, NAMES[label], number, frame + 1)
            _write(folder, name, image, _voc(tags, NAMES[label], box, size))
        bar.update()
    _break(folder, "1" if is_flat else "1/1")


def _write(folder: Path, name: str, image: np.ndarray, annotation: str) -> None:
    for kind in (IMAGES_IN, ANNOTATIONS_IN):
        (folder / kind / name).parent.mkdir(parents=True, exist_ok=True)
    path = folder / IMAGES_IN / f"{name}.jpg"
    write_frame(path, image, {"size": None, "quality": QUALITY})
    (folder / ANNOTATIONS_IN / f"{name}.xml").write_text(annotation, encoding="utf-8")


def _tags(random, name: str, number: int, frame: int) -> dict[str, str]:
    """What the machine that the annotator used left in the tags: of several forms."""
    if name == "adenomatous":
        folder, file = "adenoma", f"adenoma_{frame}.png"
        path = f"/home/reader/polyps/adenoma/{number}"
    else:
        folder, file = str(number) if random.random() < 0.7 else "frames", f"{frame}.png"
        path = f"D:\\polyps\\hyperplastic\\{number}\\{frame}.png"
    return {"folder": folder, "filename": file, "path": path}


def _voc(tags: dict[str, str], name: str, box, size) -> str:
    """An annotation; without a box, without an object."""
    lines = [f"    <{tag}>{escape(text)}</{tag}>" for tag, text in tags.items()]
    width, height = size
    lines.append(f"    <size><width>{width}</width><height>{height}</height></size>")
    if box is not None:
        sides = zip(CORNERS, box, strict=True)
        corners = "".join(f"<{corner}>{value}</{corner}>" for corner, value in sides)
        lines.append(f"    <object><name>{name}</name><bndbox>{corners}</bndbox></object>")
    return "\n".join(["<annotation>", *lines, "</annotation>", ""])


def _break(folder: Path, name: str) -> None:
    """What is wrong in each part: see the module."""
    annotation = folder / ANNOTATIONS_IN / f"{name}.xml"
    if folder.name == "train2019":
        annotation.unlink()
    elif folder.name == "test2019":
        (folder / IMAGES_IN / f"{name}.jpg").unlink()
    else:
        text = annotation.read_text(encoding="utf-8")
        annotation.write_text(text.replace("<xmax>", "<xmax>9"), encoding="utf-8")
