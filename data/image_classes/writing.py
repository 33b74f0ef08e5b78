"""Writing data sets of images with one class each: the index, the classes' names, the splits.

Images come in sequences (a polyp, a patient, an examination): a sequence is a video of the index,
and is in one part of a split. `classes.json` is the list of names that labels are positions in.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.annotation_formats.labels import UNKNOWN
from data.common.errors import InputError, check_range, some
from data.dataset.audit import AUDIT, Audit
from data.dataset.classes import Classes, has_classes, write_classes
from data.dataset.index_columns import INDEX, LABEL, PRETRAINING_INDEX
from data.images.names import natural_key
from data.indexing.index_table import index_table
from data.splits.drawing import SHARES, draw, stays
from data.splits.manifest import MANIFEST, describe_part, drawn_before
from data.splits.parts import PARTS
from data.splits.patients import NOBODY, Patients
from data.splits.remarks import remark_groups, say_shares, say_torn_patients
from data.storage.whole import whole_file, write_json

# {"crop_margin": share}, or null of whole frames; its name, and that of earlier versions.
CROPS, CROPS_BEFORE = "crops.json", "polypsset.json"
DRAWN, GIVEN = "70/10/20 by sequence, within each class", "as given"
LITTLE = 0.1  # of a class's images: half of the share that is to be tested


class LabelledImage(NamedTuple):
    """An image of a data set.

    Attributes:
      sequence: name of what it is one of several pictures of.
      frame: its number there; no two images of a sequence have the same.
      label: position in the classes' names, -1 unknown.
      file: relative to the dataset directory, with "/".
    """

    sequence: str
    frame: int
    label: int
    file: str


def write_dataset(
    root: Path,
    images: Iterable[LabelledImage],
    classes: Sequence[str],
    protocols: Mapping[str, Mapping[str, Sequence[str]]],
    audit: Audit,
    fps: float | None = None,
) -> dict:
    """Writes index.parquet, classes.json, splits.json and audit.json.

    Args:
      root: dataset directory, in which the images are.
      images: in any order.
      classes: their names; of two, the second is the positive one.
      protocols: {name: split}, the default first; a split is {"train", "validation", "test"}: names
        of sequences.
      audit: what was found; it receives the counts of each sequence.
      fps: numbers of images a second, where they tell the time.

    Returns:
      What splits.json holds: as `data.splits.protocols.write_splits` writes it, with "classes"
      (frames by class) in place of "phases", and "sequences", by the class that most of their
      frames have.

    Raises:
      InputError: there are no images; nothing was written.
    """
    images = sorted(images, key=lambda image: (natural_key(image.sequence), image.frame))
    if not images:
        raise InputError(f"{root}: no usable image; {some(audit.problems, '; ')}")
    by_sequence = count_classes(images, len(classes))
    for sequence, counts in by_sequence.items():
        audit.videos[sequence] = {"frames": int(counts.sum()), "labelled": int(counts[:-1].sum())}
    manifest = {
        "default": next(iter(protocols)),
        "protocols": {
            name: {part: _describe(split[part], by_sequence, classes) for part in PARTS}
            for name, split in protocols.items()
        },
    }
    sequences, frames, labels, files = zip(*images, strict=True)
    no_phases = np.full(len(images), UNKNOWN, np.int8)
    table = index_table(sequences, frames, no_phases, {}, {}, map(Path, files))
    table = table.append_column(LABEL, pa.array(labels, LABEL.type))
    with whole_file(root / INDEX, durable=True) as side:
        pq.write_table(table, side, compression="zstd")
    (root / PRETRAINING_INDEX).unlink(missing_ok=True)  # of what was there before
    write_classes(root, Classes(classes=tuple(classes)), fps=fps)
    write_json(root / MANIFEST, manifest)
    audit.write(root / AUDIT)
    return manifest


def check_margin(root: Path, crop_margin: float | None) -> None:
    """Raises `InputError` for a margin out of range, or another than `root` was prepared with."""
    if crop_margin is not None:
        check_range("crop_margin", crop_margin, 0, 10)
    note = next((file for name in (CROPS, CROPS_BEFORE) if (file := root / name).is_file()), None)
    if note is None or not has_classes(root):
        return
    try:
        before = json.loads(note.read_text(encoding="utf-8"))["crop_margin"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{note}: damaged, and with it what {root} has is not known; use another --name"
        ) from error
    if before != crop_margin:
        is_now, was = ("whole frames" if m is None else m for m in (crop_margin, before))
        raise InputError(f"crop_margin: {is_now}, but {root} has {was}; use another --name")


def note_margin(root: Path, crop_margin: float | None) -> None:
    """Notes the margin for `check_margin`, in place of an earlier version's note."""
    write_json(root / CROPS, {"crop_margin": crop_margin})
    (root / CROPS_BEFORE).unlink(missing_ok=True)


def count_classes(images: Iterable[LabelledImage], number: int) -> dict[str, np.ndarray]:
    """{sequence: int64 [number + 1]}, its images by class; the last are those without a label."""
    counts = {}
    for image in images:
        counts.setdefault(image.sequence, np.zeros(number + 1, np.int64))[image.label] += 1
    return counts


def one_place_each(place_of: Mapping[str, set[str]]) -> dict[str, str]:
    """{sequence: part of a split, or fold}; raises `InputError` where one has several."""
    if torn := [name for name, places in place_of.items() if len(places) > 1]:
        places = some(sorted(place_of[torn[0]], key=natural_key))
        raise InputError(
            f"{len(torn)} sequences are in several parts of the split ({some(torn)}; the first in "
            f"{places}); expected each in one"
        )
    return {name: next(iter(places)) for name, places in place_of.items()}


def make_protocols(
    root: Path,
    counts: Mapping[str, np.ndarray],
    classes: Sequence[str],
    where: Mapping[str, str],
    are_folds: bool,
    seed: int,
    patients: Patients,
    audit: Audit,
) -> dict[str, dict]:
    """The splits, as `write_dataset` takes them: drawn, as given, or one for each fold, its test.

    Args:
      root: dataset directory; what it has drawn before stays, as `draw_stratified` says.
      counts: as `count_classes` gives them.
      classes: their names.
      where: {sequence: its part of a split that was given, or its fold}; empty where none was.
      are_folds: which of both.
      seed: of what is drawn.
      patients: what is known of them.
      audit: receives what of them cannot serve.
    """
    _remark_few(counts, classes, audit)
    if not where:
        remark_groups(patients, list(counts), "sequence", audit)
        split = draw_stratified(counts, seed, patients, drawn_before(root, DRAWN))
        if len(set(group_sizes(counts, patients).values())) > 1:
            images = {name: int(of.sum()) for name, of in counts.items()}
            say_shares(split, images, audit)
        _remark_little(split, counts, classes, audit)
        return {DRAWN: split}
    groups = {}
    for name, place in where.items():
        groups.setdefault(place, []).append(name)
    if are_folds:
        protocols = {
            f"fold {fold}": {
                "train": [name for name, of in where.items() if of != fold],
                "validation": [],
                "test": groups[fold],
            }
            for fold in sorted(groups, key=natural_key)
        }
    else:
        protocols = {GIVEN: {part: groups.get(part, []) for part in PARTS}}
    for name, split in protocols.items():
        if not split["test"]:
            audit.remark(f"split {name}: has no test images; an experiment needs some")
        if not split["validation"] and split["train"]:
            of_train, before = {of: counts[of] for of in split["train"]}, drawn_before(root, name)
            split |= set_aside(of_train, seed, patients, before)
            audit.remark(f"split {name}: validation is an eighth of the training images, drawn")
    say_torn_patients(protocols, patients, audit)
    return protocols


def _remark_few(counts: Mapping[str, np.ndarray], classes: Sequence[str], audit: Audit) -> None:
    """Names the classes that cannot be in all three parts."""
    of_sequences = [_class_of(of) for of in counts.values()]
    for label, name in enumerate(classes):
        if (number := of_sequences.count(label)) < 3:
            audit.remark(f"{name}: {number} sequences; in all three parts it would be with three")


def _remark_little(
    split: Mapping[str, list[str]],
    counts: Mapping[str, np.ndarray],
    classes: Sequence[str],
    audit: Audit,
) -> None:
    """Says of which classes few images came to be tested: what is drawn are groups of any size."""
    none = np.zeros(len(classes) + 1, int)
    in_all, tested = (sum((counts[n] for n in of), none) for of in (counts, split["test"]))
    for label, name in enumerate(classes):
        if tested[label] < LITTLE * in_all[label]:
            audit.remark(
                f"{name}: {tested[label]} of {in_all[label]} images are in test: whole "
                "sequences and patients are drawn, of any size; --config.folds=5 tests all of them"
            )


def set_aside(
    counts: Mapping[str, np.ndarray],
    seed: int,
    patients: Patients = NOBODY,
    before: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, list[str]]:
    """Draws an eighth of the images, in each class, for validation: {"train", "validation"}.

    Of a class with two sequences or more, one at least; those of one patient stay together.
    `before` is that of `draw_stratified`.
    """
    return _draw(counts, seed, patients, before, PARTS[:2], (0, 1 / 8))


def draw_stratified(
    counts: Mapping[str, np.ndarray],
    seed: int = 0,
    patients: Patients = NOBODY,
    before: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, list[str]]:
    """Splits images 70/10/20, those of each class for themselves, as `splits.draw` does.

    A sequence is of the class that most of its images have; those of one patient, which stay
    together, are of the class that most of the patient's images have.

    Args:
      counts: as `count_classes` gives them.
      seed: another one draws another split.
      patients: what is known of them.
      before: the split that is there: one that earlier versions drew of these sequences, by the
        number of groups, stays.
    """
    return _draw(counts, seed, patients, before, PARTS, SHARES)


def group_sizes(counts: Mapping[str, np.ndarray], patients: Patients = NOBODY) -> dict[str, int]:
    """How many images each group has that stays together."""
    groups = patients.group(counts).groups
    return {name: int(sum(counts[of].sum() for of in group)) for name, group in groups.items()}


def _draw(counts, seed, patients, before, parts, shares) -> dict[str, list[str]]:
    by_number = _draw_groups(counts, seed, patients, parts, shares, None)
    sizes = group_sizes(counts, patients)
    by_size = _draw_groups(counts, seed, patients, parts, shares, sizes)
    return stays(by_number, before) or by_size


def _draw_groups(counts, seed, patients, parts, shares, sizes) -> dict[str, list[str]]:
    groups, classes = patients.group(counts).groups, {}
    for name, sequences in groups.items():
        of_group = _class_of(sum(counts[sequence] for sequence in sequences))
        classes.setdefault(of_group, []).append(name)
    drawn = [draw(names, seed, shares, sizes) for names in classes.values()]
    return {
        part: [sequence for of in drawn for name in of[part] for sequence in groups[name]]
        for part in parts
    }


def _class_of(counts: np.ndarray) -> int:
    """The class that most images of a sequence have; -1 where none has a label."""
    return int(counts[:-1].argmax()) if counts[:-1].any() else UNKNOWN


def _describe(sequences, counts, classes) -> dict:
    of_class = [_class_of(counts[name]) for name in sequences]
    return {
        **describe_part(sorted(sequences, key=natural_key), counts, "classes", classes),
        "sequences": {name: of_class.count(label) for label, name in enumerate(classes)},
    }
