"""Writes what a model says of videos into a folder, in a format that annotators correct.

Beside the files stands `model_intervals.json`, what the model itself has said: what an annotator
has changed is told by it, however the file was edited (`data/annotations/corrections.py`).
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from data.annotation_writers.elan import write_elan
from data.annotation_writers.forms import FORMS
from data.annotation_writers.interval_csv import write_tables
from data.annotation_writers.intervals import VideoIntervals
from data.annotation_writers.label_studio import write_label_studio
from data.annotation_writers.said import SAID, Said, read_said
from data.common.errors import InputError, some
from data.storage.whole import write_json

HIDDEN = ".part-annotations"  # where files are until all of them are written
KINDS = {".csv", ".tsv", ".txt", ".eaf", ".json", ".xml"}  # that annotations may be in
WRITERS = dict(zip(FORMS, (write_tables, write_elan, write_label_studio), strict=True))


def check_folder(folder: Path, form: str) -> None:
    """Raises `InputError` where annotations cannot be written to a folder without losing any.

    What file managers and annotation programs leave beside them is nobody's work, and stays.

    Args:
      folder: it may be missing.
      form: of WRITERS.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--annotations={folder}: a file; expected a folder")
    there = sorted(file for file in folder.rglob("*") if file.is_file() and _is_work(file, folder))
    said = read_said(folder / SAID) if (folder / SAID).is_file() else Said()
    if said.form and said.form != form:
        raise InputError(
            f"--annotations={folder}: has {said.form} of the same model; expected another folder "
            f"for {form}: a video would be annotated twice"
        )
    edited = [file for file in there if file.name != SAID]
    edited = [file for file in edited if _digest(file) != said.files.get(file.name)]
    if edited:
        raise InputError(
            f"--annotations={folder}: {some([file.name for file in edited])}: not what inference "
            "has written there, and would be lost; expected another folder"
        )


def write_annotations(folder: Path, form: str, videos: Sequence[VideoIntervals]) -> list[Path]:
    """Writes the intervals of videos, in the place of what an earlier call has written.

    Args:
      folder: as `check_folder` allows it; made where it is missing.
      form: of WRITERS.
      videos: at least one, all of the same group.

    Returns:
      The files that were written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = read_said(folder / SAID) if (folder / SAID).is_file() else Said()
    hidden = folder / HIDDEN
    hidden.mkdir(exist_ok=True)
    try:
        made = WRITERS[form](hidden, videos)
        files = {file.name: _digest(file) for file in made}
        intervals = {
            of.video: {of.group: [[i.start, i.end, i.label] for i in of.intervals]} for of in videos
        }
        # First: a file that it does not know would count as a person's.
        said = Said(form, {**before.files, **files}, {**before.intervals, **intervals})
        write_json(folder / SAID, said.to_json())
        for file in made:
            file.replace(folder / file.name)
        for name in before.files.keys() - files.keys():
            (folder / name).unlink(missing_ok=True)
        write_json(folder / SAID, Said(form, files, intervals).to_json())
    finally:
        for file in hidden.iterdir():
            file.unlink()
        hidden.rmdir()
    return [folder / name for name in files]


def _is_work(file: Path, folder: Path) -> bool:
    """Whether a file may be annotations: not hidden, and of a kind that is read as such."""
    is_hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return not is_hidden and file.suffix.lower() in KINDS


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
