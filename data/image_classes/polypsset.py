"""PolypsSet: colonoscopy frames with the box and the kind of a polyp, as a data set of two classes.

Facts. Li et al., PLoS ONE 16(8):e0255809, 2021 (doi 10.1371/journal.pone.0255809); archive: doi
10.7910/DVN/FCBUOR (CC0 1.0, as its users quote), which we have not seen ourselves. Frames of public
videos (MICCAI 2017, CVC-ColonDB, GLRC) and of the University of Kansas Medical Center, divided by
video sequence within each source and class; long sequences were thinned to about 300 to 500 frames.
28,773 / 4,254 / 4,872 frames to train, validate and test. The layout is
`val2019/Image/<sequence>/M.jpg` and `val2019/Annotation/<sequence>/M.xml`, the same for `test2019`,
and flat in `train2019`. As others have counted (usmanasifdar/fyp), `val2019` and `test2019` have
376 and 422 annotations more than images: that is remarked here, and is no fault of a copy.

What belongs together and what is wrong there: `data/image_classes/polypsset_frames.py`.

Sequences of `train2019`. The archive has none there: its numbers are reported to be shuffled (a
public script that undoes it, Lechtr/Master_Daten, sorts by the tag `path`). Here a training
sequence is the frames whose tag `path` names the same folder, and which have the same class. Where
there is no tag, or a folder has more frames than a sequence can (`MOST_FRAMES`), it is cut into
`BLOCK` frames by number. The tag decides nothing else: labels come from the file's own annotation.
These sequences are an approximation. Two of them may show one polyp. That does not touch the
published split, nor the intervals, which draw test sequences; but cross-validation within
`train2019` leaks as far as they are wrong, and a "fraction of the training sequences" can hold more
polyps than such a fraction of the real ones.

Crops show the largest object.
Hirsch et al., arXiv 2308.12394, who classify these polyps, do not say whether they used whole
frames or crops; whole frames are the default here.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data.annotation_formats.labels import UNKNOWN
from data.archives import unpack_tar
from data.archives.unpack_zip import list_zip, unpack_zip
from data.archives.unpacking import (
    SUFFIXES,
    UNPACKING,
    check_kind,
    filling,
    is_tar,
    is_zip,
    needs_archive,
)
from data.common.errors import InputError
from data.dataset.audit import Audit
from data.image_classes.polypsset_frames import (
    ANNOTATIONS_IN,
    FINDINGS,
    IMAGES_IN,
    NAMES,
    Frame,
    read_part,
)
from data.image_classes.writing import LabelledImage, check_margin, note_margin, write_dataset
from data.images.folders import list_files
from data.images.linking import link_file
from data.images.names import natural_key
from data.indexing.cleaning import CROPPED, cropping
from data.splits.overlaps import SYNTHETIC

FOLDERS = {"train": "train2019", "validation": "val2019", "test": "test2019"}
PROTOCOL = "published"
MOST_FRAMES = 1000  # of a sequence: twice what the paper thins long ones to
BLOCK = 250
ARCHIVES = (*SUFFIXES, ".7z", ".rar")
DEPTH = 3  # folders above the layout that an archive may have


def find_layout(folder: Path) -> Path | None:
    """The folder that has train2019, val2019 or test2019: this one or one not far below it."""
    for depth in range(DEPTH + 1):
        for part in FOLDERS.values():
            for place in sorted(folder.glob("*/" * depth + f"{part}/{IMAGES_IN}")):
                return place.parent.parent
    return None


def prepare_polyps(
    root: Path, source: Path | None, crop_margin: float | None, audit: Audit
) -> dict:
    """Makes the data set in `root`; frames are used where they lie.

    Args:
      root: dataset directory. It has PolypsSet already, at any depth down to three, or `source`.
      source: the archive, zip or tar, which is unpacked unless that is done; or an unpacked
        PolypsSet, of which `root` gets hard links (copies on another disk).
      crop_margin: None for whole frames. Else the index names square crops, copies in `cropped/`:
        the larger side of the largest object's box and this share of it on every side.
      audit: receives what was found.

    Returns:
      What `data.image_classes.writing.write_dataset` returns.

    Raises:
      InputError: no PolypsSet there, nothing usable in it, a margin that is out of range, or a
        data set that was prepared with another one.
    """
    check_polyps(root, source, crop_margin)
    is_taken = source is not None and needs_archive(root, find_layout)
    if is_taken:
        _take_over(root, source, audit.problems)
    top = find_layout(root)
    if top is None:
        raise InputError(f"{source}: {_no_layout()}")
    frames, counts = {}, Counter()
    for part, folder in FOLDERS.items():
        if not (top / folder / IMAGES_IN).is_dir():
            audit.remark(f"{top / folder}: missing; nothing to {part} there")
        frames[part] = read_part(top / folder, counts, audit)
    _summarise(top, counts, audit)
    if crop_margin is not None:
        boxless = sum(frame.box is None for of_part in frames.values() for frame in of_part)
        audit.remarks.insert(1, f"{top}: {boxless} frames without a box have no crop")
    if source is not None and not is_taken:
        audit.remarks.insert(
            0, f"{root}: has a PolypsSet already; {source} is not read, for it use another --name"
        )
    images, split = [], {}
    for part, of_part in frames.items():
        sequences = name_sequences(top / FOLDERS[part], of_part, audit)
        rows = []
        for name, members in sequences.items():
            rows += _as_images(root, name, members, crop_margin, audit)
        split[part] = sorted({row.sequence for row in rows})  # crops may leave none of one
        images += rows
    note_margin(root, crop_margin)
    return write_dataset(root, images, NAMES, {PROTOCOL: split}, audit)


def check_polyps(root: Path, source: Path | None, crop_margin: float | None) -> None:
    """Raises `InputError` for what `prepare_polyps` cannot begin with."""
    if source is None and (root / UNPACKING).exists():
        raise InputError(f"{root}: not all of its archive is unpacked; give --archive again")
    if source is not None and not source.exists():
        raise InputError(f"--archive={source}: no such file or folder")
    if source is not None and (root / SYNTHETIC).is_file():
        raise InputError(f"{root}: holds rendered polyps; use another --name for {source}")
    if source is not None and source.is_file():
        check_kind(source)
        if not is_zip(source) and not is_tar(source):
            raise InputError(f"{source}: neither a zip nor a tar archive, or cut off")
        if is_zip(source) and needs_archive(root, find_layout):
            _check_members(source, list_zip(source))
    elif find_layout(source or root) is None:
        raise InputError(f"{source or root}: {_no_layout()}")
    check_margin(root, crop_margin)


def _check_members(source: Path, names: Sequence[str]) -> None:
    """Raises `InputError` if an archive holds no part of PolypsSet."""
    parts = [f"/{part}/{IMAGES_IN}/" for part in FOLDERS.values()]
    if any(part in f"/{name}" for name in names for part in parts):
        return
    within = [name for name in names if name.lower().endswith(ARCHIVES)]
    advice = f"; it holds {', '.join(within)}: unpack it first" if within else ""
    raise InputError(f"{source}: {_no_layout()}{advice}")


def _take_over(root: Path, source: Path, faults: list[str]) -> None:
    """Links the frames of an unpacked PolypsSet into `root`, or unpacks an archive there."""
    with filling(root):
        if source.is_dir():
            top = find_layout(source)
            for part in FOLDERS.values():
                for file in list_files(top / part, faults):
                    link_file(file, root / part / file.relative_to(top / part))
        elif is_zip(source):
            unpack_zip(source, root)
        else:
            unpack_tar.unpack(source, root)


def _no_layout() -> str:
    folders = ", ".join(FOLDERS.values())
    return f"no PolypsSet in it; expected {folders} with {IMAGES_IN}/ and {ANNOTATIONS_IN}/"


def name_sequences(folder: Path, frames: Sequence[Frame], audit: Audit) -> dict[str, list[Frame]]:
    """{name: frames}: "test2019-12" for test2019/Image/12; for flat frames see the module."""
    sequences, flat = {}, []
    for frame in frames:
        parts = frame.file.relative_to(folder / IMAGES_IN).parent.parts
        if parts:
            sequences.setdefault("-".join((folder.name, *parts)), []).append(frame)
        else:
            flat.append(frame)
    blocks, cut = [], 0
    for group in _group_flat(flat):
        is_sequence = group[0].source and len(group) <= MOST_FRAMES
        step = len(group) if is_sequence else BLOCK
        starts = range(0, len(group), step)
        blocks += [group[start : start + step] for start in starts]
        cut += 0 if is_sequence else len(starts)
    taken = set(sequences)
    free = (n for n in itertools.count(1) if f"{folder.name}-{n}" not in taken)
    for block, number in zip(blocks, free, strict=False):
        sequences[f"{folder.name}-{number}"] = block
    if blocks:
        audit.remark(
            f"{folder}: {len(flat)} images in no sequence's folder; {len(blocks) - cut} "
            f"sequences are made from the tag path, {cut} by number alone: "
            "approximations, two may show one polyp"
        )
    for name, members in sequences.items():
        if len(kinds := {frame.label for frame in members} - {UNKNOWN}) > 1:
            audit.remark(f"{name}: frames of {len(kinds)} classes in one sequence")
    return sequences


def _group_flat(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Frames by the folder their tag names, and by class where a folder has more than one."""
    folders, groups = {}, []
    for frame in frames:
        folders.setdefault(frame.source, []).append(frame)
    for source in sorted(folders, key=natural_key):
        members = folders[source]
        labels = sorted({frame.label for frame in members})
        if len([label for label in labels if label != UNKNOWN]) < 2:
            groups.append(members)
        else:
            groups += [[frame for frame in members if frame.label == label] for label in labels]
    return groups


def crop_box(
    box: Sequence[float], size: tuple[int, int], margin: float
) -> tuple[float, float, float, float]:
    """The part of an image to cut out for a box: as square as the image allows.

    Args:
      box: left, top, right, bottom in pixels.
      size: width, height of the image.
      margin: on every side, as a share of the box's larger side.

    Returns:
      left, top, right, bottom as shares of width and height. It is moved into the image where it
      would reach out of it.
    """
    side = max(box[2] - box[0], box[3] - box[1]) * (1 + 2 * margin)
    starts, ends = [], []
    for low, high, length in zip(box[:2], box[2:], size, strict=True):
        extent = min(side, length)
        start = min(max((low + high - extent) / 2, 0), length - extent)
        starts.append(start / length)
        ends.append((start + extent) / length)
    return (*starts, *ends)


def _as_images(
    root: Path, name: str, frames: list[Frame], margin: float | None, audit: Audit
) -> list[LabelledImage]:
    """A sequence's rows of the index; in a data set of crops, of the frames that have a box."""
    stems = [frame.file.stem for frame in frames]
    is_numbered = all(stem.isascii() and stem.isdecimal() and len(stem) < 10 for stem in stems)
    numbers = [int(stem) for stem in stems] if is_numbered else []
    if len(set(numbers)) != len(frames):
        numbers = range(1, len(frames) + 1)
    files = [frame.file for frame in frames]
    if margin is not None:
        with cropping(root / CROPPED / name) as crop, ThreadPoolExecutor() as pool:
            files = list(pool.map(lambda frame: _crop_frame(frame, crop, margin), frames))
    images = []
    for number, frame, file in zip(numbers, frames, files, strict=True):
        if isinstance(file, InputError):
            audit.problem(str(file))
        elif file is not None:
            place = file.relative_to(root).as_posix()
            images.append(LabelledImage(name, number, frame.label, place))
    return images


def _crop_frame(frame: Frame, crop: Callable, margin: float) -> Path | InputError | None:
    """The copy; None without a box; the error where the image cannot be decoded."""
    if frame.box is None:
        return None
    try:
        return crop(frame.file, crop_box(frame.box, frame.size, margin))
    except InputError as error:
        return error


def _summarise(top: Path, counts: Counter, audit: Audit) -> None:
    """Puts the numbers of all findings before everything else that is remarked."""
    parts = [f"{counts[kind]} {text}" for kind, text in FINDINGS.items() if counts[kind]]
    audit.remarks.insert(0, f"{top}: {', '.join(parts) or 'every image has its annotation'}")
