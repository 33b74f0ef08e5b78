"""Tables about images: what belongs together, in which order, and a split that was given.

  image,sequence,second,split
  adenoma/0001.jpg,patient 7,0,train
  adenoma/0002.jpg,patient 7,4.5,train

`image` is a path relative to the folder, or a file name if only one image has it. The others are
optional: `sequence` is a patient, an examination, a polyp, whatever must not be in two parts of a
split; `second` or `time` (1:02:03), or `frame` (1, 2, ... one a second), is the order within it;
`split` is train, validation or test; `fold` is any name.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.annotation_formats.clock_times import parse_times
from data.common.errors import InputError, reason_of, some
from data.dataset.audit import Audit
from data.image_classes.layout import PARTS
from data.images.names import composed, named_below
from data.storage.texts import read_any_text

IMAGE = "image"
SEQUENCE, SPLIT, FOLD, FRAME, SECOND, TIME = "sequence", "split", "fold", "frame", "second", "time"
KNOWN = (SEQUENCE, SPLIT, FOLD, FRAME, SECOND, TIME)
RATES = (1, 2, 4, 5, 10, 20, 25, 30, 50, 60, 100, 1000)  # frames a second that times may be at


def read_tables(
    sequences: Path | None, split: Path | None, folder: Path, files: Sequence[Path], audit: Audit
) -> dict[str, dict[Path, str]]:
    """What `read_images` returns of both tables together, of those that are given.

    Args:
      sequences: a table with `sequence`.
      split: a table with `split` or `fold`; `sequences` may have these columns, too.
      folder, files, audit: as for `read_images`.
    """
    columns = {}
    for path, needed in ((sequences, (SEQUENCE,)), (split, (SPLIT, FOLD))):
        if path:
            columns |= read_images(path, needed, folder, files, audit)
    return columns


def read_images(
    path: Path, needed: Sequence[str], folder: Path, files: Sequence[Path], audit: Audit
) -> dict[str, dict[Path, str]]:
    """{column: {image: text}} of the columns in `KNOWN` that a CSV has.

    Args:
      path: separated by commas or by semicolons.
      needed: one of these columns has to be there.
      folder: that paths are relative to.
      files: the images. One that has no row is a problem, and in no column.
      audit: receives what does not fit.

    Raises:
      InputError: not such a CSV, or it says two things about an image.
    """
    by_name = {}  # path or file name -> images
    for file in files:
        for name in {file.relative_to(folder).as_posix(), file.name}:
            by_name.setdefault(composed(name), []).append(file)
    rows, columns = _rows(path, needed, audit)
    unfit = {}  # what is wrong -> in which rows
    result = {column: {} for column in columns}
    for line, row in rows:
        image = row[IMAGE].strip()
        values = {column: row[column].strip() for column in columns}
        name = named_below(image.replace("\\", "/").removeprefix("./"), folder)
        matching = by_name.get(composed(name), [])
        if not image or not all(values.values()):
            empty = next((c for c in (IMAGE, *columns) if not row[c].strip()), IMAGE)
            unfit.setdefault(f"{empty} is empty", []).append(f"line {line}")
        elif len(matching) != 1:
            many = "several images of this name" if matching else "no such image"
            unfit.setdefault(f"{many} in {folder}", []).append(f"line {line}: {image}")
        else:
            for column, value in values.items():
                if (before := result[column].setdefault(matching[0], value)) != value:
                    raise InputError(
                        f"{path}, line {line}: {image} is of {value} and of {before} ({column})"
                    )
    for fault, lines in unfit.items():
        audit.problem(f"{path}: {fault}: {some(lines)}")
    if missing := [file for file in files if file not in result[columns[0]]]:
        names = some([file.relative_to(folder) for file in missing])
        audit.problem(f"{path}: without {len(missing)} of {len(files)} images: {names}; not used")
    return result


def _rows(
    path: Path, needed: Sequence[str], audit: Audit
) -> tuple[list[tuple[int, dict]], list[str]]:
    """[(line number, row)] of a CSV, and which of the known columns it has."""
    try:
        text, remark = read_any_text(path)
    except OSError as error:
        raise InputError(f"{path}: {reason_of(error)}") from error
    if remark:
        audit.remark(remark)
    head = text.partition("\n")[0]
    reader = csv.DictReader(text.splitlines(), delimiter=";" if ";" in head else ",", restval="")
    names = reader.fieldnames or ()
    columns = [column for column in KNOWN if column in names]
    if IMAGE not in names or not set(needed) & set(columns):
        missing = needed[0] if IMAGE in names else IMAGE
        raise InputError(
            f"{path}: no column {missing!r} in {head.strip()!r}; expected {IMAGE}, "
            f"{' or '.join(needed)}"
        )
    return [(reader.line_num, row) for row in reader], columns


def given_places(
    path: Path | None, columns: dict[str, dict[Path, str]]
) -> tuple[dict[Path, str] | None, bool]:
    """{image: "train", "validation" or "test", or its fold}, and whether these are folds.

    None where no table says it; raises `InputError` for another part.
    """
    if SPLIT not in columns:
        return columns.get(FOLD), True
    wrong = sorted({value for value in columns[SPLIT].values() if value.lower() not in PARTS})
    if wrong:
        raise InputError(f"{path}: split {some(wrong)}; expected train, validation or test")
    return {file: PARTS[value.lower()] for file, value in columns[SPLIT].items()}, False


def numbers_of(
    path: Path, columns: dict[str, dict[Path, str]]
) -> tuple[dict[Path, int], float] | None:
    """The order of images: {image: number}, counted from 1, and numbers a second; None without.

    Raises:
      InputError: what should be numbers is none.
    """
    column = next((c for c in (SECOND, TIME, FRAME) if c in columns), None)
    if column is None:
        return None
    files, texts = list(columns[column]), list(columns[column].values())
    times, _ = parse_times(texts, decimal_comma=True)
    if wrong := [text for text, time in zip(texts, times, strict=True) if np.isnan(time)]:
        raise InputError(f"{path}: {column} {some(wrong)}; expected numbers, or times as 1:02:03")
    if column == FRAME:
        if (times % 1).any() or (times < 1).any():
            raise InputError(f"{path}: frame {times.min():g} or a fraction; expected 1, 2, 3, ...")
        return dict(zip(files, times.astype(int).tolist(), strict=True)), 1.0
    exact = (rate for rate in RATES if np.allclose(times * rate, np.round(times * rate), atol=1e-6))
    rate = next(exact, RATES[-1])
    return dict(zip(files, (np.round(times * rate) + 1).astype(int).tolist(), strict=True)), rate
