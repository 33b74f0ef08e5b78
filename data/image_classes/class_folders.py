"""Any folder of `class/image` as a data set: Kvasir, laryngoscopy, a hospital's own.

The folders in `--images` are the classes, in natural order of their names; images may lie deeper in
them. A CSV says what belongs together:

  image,sequence
  adenoma/0001.jpg,patient 7
  adenoma/0002.jpg,patient 7

`image` is a path relative to the folder, or a file name if only one image has it; `sequence` is a
patient, an examination, a polyp: whatever must not be in two parts of a split. Images of one
patient are alike, so that without this a test measures in part what was learnt by heart.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from data.common.errors import InputError, some
from data.dataset.audit import Audit
from data.image_classes.writing import LabelledImage, count_classes, draw_stratified, write_dataset
from data.images.completeness import WHOLE_IMAGES, fault_finder
from data.images.folders import list_files, list_folder
from data.images.linking import link_file
from data.images.names import is_image
from data.video.names import unique_names

COLUMNS = ("image", "sequence")
PROTOCOL = "70/10/20 by sequence, within each class"
IMAGES_IN = "images"


def prepare_classes(
    root: Path, folder: Path, sequences: Path | None, seed: int, audit: Audit
) -> dict:
    """Makes the data set in `root`, with hard links to the images (copies on another disk).

    Args:
      root: dataset directory.
      folder: has a folder for each class.
      sequences: the CSV; None makes every image a sequence of its own.
      seed: of the split.
      audit: receives what was found: images without a row, rows without an image and images that
        cannot be read are problems.

    Returns:
      What `data.image_classes.writing.write_dataset` returns.

    Raises:
      InputError: `root` is in `folder`, fewer than two classes, no usable image, a CSV without the
        columns, or with two sequences for one image.
    """
    if root.resolve().is_relative_to(folder.resolve()):
        raise InputError(
            f"{root}: is in --images={folder}, and would be one of its classes; expected "
            "another --data_rootdir"
        )
    images = find_classes(folder, audit.problems)
    classes = list(images)
    files = [file for of_class in images.values() for file in of_class]
    if sequences is None:
        names = _own_sequences(folder, files)
        audit.remark(
            f"{folder}: no --sequences, every image is a sequence of its own: images of one "
            "patient can be in training and in test, which then promises too much"
        )
    else:
        names = read_sequences(sequences, folder, files, audit)
    with fault_finder(root / WHOLE_IMAGES) as find_faults:
        faults = dict(zip(files, find_faults(files), strict=True))
        root.mkdir(parents=True, exist_ok=True)
    rows, numbers = [], {}
    for label, of_class in enumerate(images.values()):
        for file in of_class:
            if fault := faults[file]:
                audit.problem(f"{file}: {fault}")
            elif file in names:
                numbers[names[file]] = numbers.get(names[file], 0) + 1
                place = Path(IMAGES_IN, file.relative_to(folder))
                link_file(file, root / place)
                rows.append(
                    LabelledImage(names[file], numbers[names[file]], label, place.as_posix())
                )
    counts = count_classes(rows, len(classes))
    _remark_few(counts, classes, audit)
    return write_dataset(root, rows, classes, PROTOCOL, draw_stratified(counts, seed), audit)


def find_classes(folder: Path, faults: list[str]) -> dict[str, list[Path]]:
    """{class: its images}, in natural order.

    Raises:
      InputError: no such folder, or fewer than two folders in it have images.
    """
    if not folder.is_dir():
        raise InputError(f"--images={folder}: no such folder; expected one with a folder per class")
    folders, _ = list_folder(folder, faults)
    images = {
        entry.name: [file for file in list_files(entry, faults) if is_image(file.name)]
        for entry in folders
    }
    images = {name: files for name, files in images.items() if files}
    if len(images) < 2:
        names = ", ".join(images) or "none"
        raise InputError(
            f"{folder}: folders with images: {names}; one per class, two at least"
            + (f"; {some(faults, '; ')}" if faults else "")
        )
    return images


def read_sequences(path: Path, folder: Path, files: list[Path], audit: Audit) -> dict[Path, str]:
    """{image: sequence} of the images that the CSV names; what does not fit is a problem.

    Raises:
      InputError: not such a CSV, or it gives an image two sequences.
    """
    by_name = {}  # path or file name -> images
    for file in files:
        for name in {file.relative_to(folder).as_posix(), file.name}:
            by_name.setdefault(name, []).append(file)
    result = {}
    for line, row in _rows(path):
        image, sequence = (row[column].strip() for column in COLUMNS)
        matching = by_name.get(image.replace("\\", "/").removeprefix("./"), [])
        if not image or not sequence:
            audit.problem(f"{path}, line {line}: image or sequence is empty")
        elif len(matching) != 1:
            many = "no such image" if not matching else f"{len(matching)} images of this name"
            audit.problem(f"{path}, line {line}: {image}: {many} in {folder}")
        elif result.setdefault(matching[0], sequence) != sequence:
            raise InputError(
                f"{path}, line {line}: {image} is of {sequence} and of {result[matching[0]]}"
            )
    for file in files:
        if file not in result:
            audit.problem(f"{file}: not in {path}; an image without a sequence is not used")
    return result


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """[(line number, row)] of a CSV with the columns; separated by commas or by semicolons."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text in UTF-8; save it as CSV UTF-8") from error
    head = text.partition("\n")[0]
    reader = csv.DictReader(text.splitlines(), delimiter=";" if ";" in head else ",", restval="")
    if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
        raise InputError(
            f"{path}: no column {missing[0]!r} in {head.strip()!r}; expected {','.join(COLUMNS)}"
        )
    return [(reader.line_num, row) for row in reader]


def _own_sequences(folder: Path, files: list[Path]) -> dict[Path, str]:
    """{image: a name of its own}, from where it lies."""
    named = unique_names(("_".join(file.relative_to(folder).parts), file) for file in files)
    return {file: name for name, file in named.items()}


def _remark_few(counts: Mapping[str, np.ndarray], classes: list[str], audit: Audit) -> None:
    """Names the classes that cannot be in all three parts."""
    for label, name in enumerate(classes):
        number = sum(int(of_class[:-1].argmax()) == label for of_class in counts.values())
        if number < 3:
            audit.remark(f"{name}: {number} sequences; in all three parts it would be with three")
