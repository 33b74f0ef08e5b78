"""Names for DICOM videos without anything of the patient in them."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data.common.errors import some
from data.images.names import natural_key
from data.storage.paths import is_remote
from data.video.dicom import Header, is_dicom, read_header
from data.video.names import NONE_KNOWN, KnownNames, name_videos

LEAST = 3  # letters from which on a part of a word counts; shorter ones only as words
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "æ": "ae"})


@dataclass
class DicomVideos:
    """DICOM files in a folder.

    Attributes:
      videos: {name: file}.
      problems: about files that cannot be used, without their paths.
      remarks: about names, still images, and files without pictures.
      patient: what must not be written; `names_patient` compares with it.
    """

    videos: dict[str, Path] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    patient: set[str] = field(default_factory=set)


def find_dicoms(folder: Path, files: Iterable[Path], known: KnownNames = NONE_KNOWN) -> DicomVideos:
    """Reads the headers of DICOM files, and names those with a video.

    The name is that of other videos (`known` are those of earlier runs); where the path below
    `folder` has anything in it that one of the files says of its patient, it is dicom_ and a digest
    of the SOP Instance UID.
    """
    files = list(files)
    headers = {file: read_header(file) for file in files}
    found = DicomVideos()
    for header in filter(None, headers.values()):
        found.patient |= patient_words(header)
    hidden, stills, others = [], 0, 0
    is_one = {
        file: header and (header.is_video or header.frames != 1) for file, header in headers.items()
    }
    named = name_videos(folder, [file for file in files if is_one[file]], [], known)
    name_of = {file: name for name, file in named.items()}
    for place, (file, header) in enumerate(headers.items(), 1):
        if header is None:
            found.problems.append(f"DICOM file {place} of {len(files)}, by their paths: damaged")
            continue
        if not header.is_video and header.frames == 1:
            stills += header.is_still
            others += not header.is_still
            continue
        name = name_of[file]
        if names_patient(f"{file.relative_to(folder)} {name}", found.patient):
            name = f"dicom_{header.digest}"
            hidden.append(name)
        if not header.is_video:
            found.problems.append(
                f"{name}: {header.frames} frames as {header.syntax}; expected MPEG-2, H.264, HEVC "
                "or JPEG baseline"
            )
        elif name in found.videos:
            found.problems.append(f"{name}: a DICOM file of this name is used already")
        else:
            found.videos[name] = file
    if hidden:
        found.remarks.append(
            f"{len(hidden)} DICOM files have names with data of a patient; named "
            f"{some(hidden)} instead"
        )
    if stills:
        found.remarks.append(
            f"{stills} DICOM files are still images, not videos; not used; prepare.py "
            "--dataset=classes --images takes them, in a folder for each class, and inference.py "
            "--image_path in any"
        )
    if others:
        found.remarks.append(f"{others} DICOM files have no pictures; not used")
    return found


def same_patients(files: Mapping[str, Iterable[Path]]) -> list[list[str]]:
    """Names of videos, or sequences, that DICOM files say are of one patient, in a list each.

    Args:
      files: {name: its files}; those that are no DICOM, or say nothing, are in no list.
    """
    groups = {}
    for name in sorted(files, key=natural_key):
        for file in files[name]:
            if is_remote(file) or not is_dicom(file):
                continue
            header = read_header(file)
            if header and header.patient_id:
                groups.setdefault(header.patient_id, []).append(name)
                break
    return list(groups.values())


def patient_words(header: Header) -> set[str]:
    """What a name must not have in it: plain letters and digits, as `names_patient` compares."""
    words = set()
    for kind, text in header.patient:
        if kind == "DA":
            words |= _dates(text)
            continue
        parts = re.split(r"[\W_]+", text) if kind == "PN" else [text]
        for part in parts:
            words |= {word.lstrip("0") or word for word in _plain(part)}
    return words - {""}


def names_patient(text: str, patient: set[str]) -> bool:
    """Whether a text has a word of `patient_words` in it, in any spelling."""
    whole = _plain(text)
    alone = {form for word in re.split(r"[\W_]+", text) for form in _plain(word)}
    return any(
        word in alone
        or ((len(word) >= LEAST or not word.isascii()) and any(word in w for w in whole))
        for word in patient
    )


def _plain(text: str) -> set[str]:
    """Lower-case letters and digits alone, with accents taken off, and umlauts written out."""
    text = unicodedata.normalize("NFKC", text).casefold()
    forms = (text, text.translate(_UMLAUTS))
    return {"".join(c for c in unicodedata.normalize("NFKD", f) if c.isalnum()) for f in forms}


def _dates(text: str) -> set[str]:
    """The ways to write a date yyyymmdd."""
    year, month, day = text[:4], text[4:6], text[6:8]
    if not day:
        return set()
    orders = [(year, month, day), (day, month, year), (month, day, year)]
    return {"".join(o) for o in orders} | {"".join(o).replace(year, year[2:]) for o in orders}
