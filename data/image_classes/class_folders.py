"""Any folder of `class/image` as a data set: Kvasir, laryngoscopy, a hospital's own.

The folders of `--images` name the classes, as `data/image_classes/layout.py` reads them; their
natural order is that of the ids. Tables (`data/image_classes/image_table.py`) say what belongs
together, in which order, and in which part of a split it is: images of one patient are alike, so
that without `sequence` a test measures in part what was learnt by heart.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from data.annotations.patients import take_patients
from data.common.errors import InputError, some
from data.dataset.audit import Audit
from data.image_classes.image_table import (
    SEQUENCE,
    given_places,
    numbers_of,
    read_tables,
)
from data.image_classes.layout import FOLD, read_layout
from data.image_classes.layout import PARTS as PART_NAMES
from data.image_classes.writing import (
    LabelledImage,
    count_classes,
    make_protocols,
    one_place_each,
    write_dataset,
)
from data.images.completeness import WHOLE_IMAGES, fault_finder, say_several
from data.images.linking import is_linked_from, is_newer, place_image
from data.images.names import is_image, say_alike
from data.splits.patients import Patients, read_patients
from data.video.dicom import read_header
from data.video.dicom_names import same_patients
from data.video.names import names_apart

IMAGES_IN = "images"


def prepare_classes(
    root: Path,
    folder: Path,
    sequences: Path | None,
    seed: int,
    audit: Audit,
    split: Path | None = None,
    level: str | None = None,
    patients: Path | None = None,
) -> dict:
    """Makes the data set in `root`, with hard links to the images (copies on another disk).

    Args:
      root: dataset directory.
      folder: has a folder for each class.
      sequences: a table with `sequence`; None makes every image a sequence of its own.
      seed: of what is drawn of the split.
      audit: receives what was found: images without a row, rows without an image and images that
        cannot be read are problems.
      split: a table with `split` or `fold`; `sequences` may have these columns, too.
      level: as for `read_layout`.
      patients: a table of whose the sequences, or the images, are.

    Returns:
      What `data.image_classes.writing.write_dataset` returns.

    Raises:
      InputError: `root` is in `folder`, fewer than two classes, no usable image, folders that can
        be read in several ways, a CSV without the columns, or one that contradicts itself.
    """
    if root.resolve().is_relative_to(folder.resolve()):
        raise InputError(
            f"{root}: is in --images={folder}, and would be one of its classes; expected "
            "another --data_rootdir"
        )
    layout = read_layout(folder, level, audit.problems)
    classes = list(layout.images)
    files = [file for of_class in layout.images.values() for file in of_class]
    for remark in say_alike(classes, "classes"):
        audit.remark(remark)
    for remark in say_several(files):
        audit.remark(remark)
    columns = read_tables(sequences, split, folder, files, audit)
    if SEQUENCE in columns:
        names = columns[SEQUENCE]
    else:
        names = _own_sequences(layout.images, folder)
        audit.remark(
            f"{folder}: no --sequences, every image is a sequence of its own: images of one "
            "patient can be in training and in test, whose scores are too good then, where neither "
            "--patients nor names or folders tell them"
        )
    places, are_folds = given_places(split or sequences, columns)
    if places is None and layout.parts:
        places, are_folds = layout.parts, layout.are_folds
    numbered = numbers_of(sequences or split, columns)
    with fault_finder(root / WHOLE_IMAGES) as find_faults:
        faults = dict(zip(files, find_faults(files), strict=True))
        root.mkdir(parents=True, exist_ok=True)
    rows, counted, place_of = [], {}, {}
    for label, of_class in enumerate(layout.images.values()):
        for file in of_class:
            if fault := faults[file]:
                shown = file if is_image(file.name) else f"{classes[label]}: a DICOM file"
                audit.problem(f"{shown}: {fault}")
            elif file in names and (places is None or file in places):
                name = names[file]
                counted[name] = counted.get(name, 0) + 1
                number = numbered[0].get(file) if numbered else counted[name]
                place = Path(IMAGES_IN, _place(file, classes[label], folder))
                rows.append((file, LabelledImage(name, number, label, place.as_posix())))
                if places is not None:
                    place_of.setdefault(name, set()).add(places[file])
    images = [image for _, image in rows]
    for remark in say_alike(dict.fromkeys(image.sequence for image in images), "sequences"):
        audit.remark(remark)
    where = one_place_each(place_of)
    _check_order(images)
    is_ours, own = is_linked_from(root, IMAGES_IN, folder), []
    for file, image in rows:
        if is_newer(file, root / image.file):
            if not is_ours:
                own.append(file)
                continue
            (root / image.file).unlink()
            audit.changed.append(image.sequence)
        place_image(file, root / image.file)
    if own:
        audit.remark(
            f"{some(own)}: newer than the images of these names in {root / IMAGES_IN}, which stay; "
            "remove those there, and the next call takes these"
        )
    if audit.changed:
        audit.changed = list(dict.fromkeys(audit.changed))
        audit.remark(f"{some(audit.changed)}: images were replaced since; taken again")
    known = _take_patients(root, patients, rows, folder, classes, SEQUENCE in columns, audit)
    counts = count_classes(images, len(classes))
    protocols = make_protocols(root, counts, classes, where, are_folds, seed, known, audit)
    return write_dataset(
        root, images, classes, protocols, audit, fps=numbered[1] if numbered else None
    )


def _check_order(images: list[LabelledImage]) -> None:
    """Raises `InputError` for two images in one place of a sequence."""
    seen = set()
    for image in images:
        if (image.sequence, image.frame) in seen:
            raise InputError(f"{image.sequence}: two images at one time; expected an order")
        seen.add((image.sequence, image.frame))


def _take_patients(
    root: Path,
    given: Path | None,
    rows: Sequence[tuple[Path, LabelledImage]],
    folder: Path,
    classes: Sequence[str],
    are_sequences_given: bool,
    audit: Audit,
) -> Patients:
    """Notes who is the patient of which sequence, and says what is known of them.

    Folders that name a class, a part of a split or a fold say nothing of patients, and none does
    where the user has said what belongs together; nor do DICOM files then.
    """
    aliases, places, dicoms = {}, {}, {}
    said = {*classes, *PART_NAMES}
    for file, image in rows:
        aliases |= {file.relative_to(folder).as_posix(): image.sequence}
        if are_sequences_given:
            places[image.sequence] = PurePath(image.sequence)
        elif not is_image(file.name):
            dicoms.setdefault(image.sequence, []).append(file)
        else:
            parts = file.relative_to(folder).parts
            above = (
                part
                for part in parts[:-1]
                if part not in said and part.lower() not in said and not FOLD.fullmatch(part)
            )
            places.setdefault(image.sequence, PurePath(*above, parts[-1]))
    by_name = Counter(file.name for file, _ in rows)
    aliases |= {file.name: image.sequence for file, image in rows if by_name[file.name] == 1}
    sequences = {image.sequence for _, image in rows}
    take_patients(root, given, sequences, places, audit, aliases, same_patients(dicoms))
    known = read_patients(root)
    return known.believing(sequences)


def _place(file: Path, of_class: str, folder: Path) -> Path:
    """Where an image belongs in a data set; of DICOM, by nothing that its path may say."""
    if is_image(file.name):
        place = file.relative_to(folder)
        return place.with_suffix(".png") if place.suffix.lower() == ".npy" else place
    header = read_header(file)
    return Path(of_class, f"dicom_{header.digest}.png" if header else "dicom_damaged.png")


def _own_sequences(images: Mapping[str, list[Path]], folder: Path) -> dict[Path, str]:
    """{image: a name of its own}, from where it belongs."""
    pairs = (
        ("_".join(_place(file, of_class, folder).parts), file)
        for of_class, files in images.items()
        for file in files
    )
    named = names_apart(pairs, [])
    return {file: name for name, file in named.items()}
