"""DICOM files with a video in them: MPEG-2, H.264 or HEVC as it was recorded, or JPEG frames.

Only the pixel data leave a file. What it says of the patient is read to keep it out of names
(`data/video/dicom_names.py`), and no error quotes the file: pydicom's would.
"""

import contextlib
import hashlib
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from data.common.errors import InputError, reason_of
from data.images.dicom_stills import DAMAGE, PREAMBLE, has_still, is_dicom_data, silent_pydicom
from data.storage.folders import read_part
from data.video.clock import MAX_DENOMINATOR, Clock, read_clock

# Transfer syntaxes 100 to 106 (MPEG-2, H.264), 107 and 108 (HEVC), ".1" where it may be in
# fragments; 50: JPEG baseline.
_VIDEO = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.10[0-8](\.1)?")
_JPEG = "1.2.840.10008.1.2.4.50"
_SAME_RATE = 0.0005  # FrameTime, in ms, is rounded: 33.33 is 30 a second, 33.37 is 29.97


@dataclass(frozen=True)
class Header:
    """What a DICOM file says of itself.

    Attributes:
      is_video: whether it has a video that we read.
      is_still: whether it has one picture.
      frames: how many, 1 where it does not say.
      syntax: the name of the transfer syntax.
      digest: 8 letters and digits, different for each file, and of no meaning.
      patient: texts about the patient and those who treated them, never to be written.
      patient_id: what all files of a patient have in common, never to be written; "" for none.
    """

    is_video: bool
    is_still: bool
    frames: int
    syntax: str
    digest: str
    patient: tuple[tuple[str, str], ...]
    patient_id: str


def is_dicom(file: Path) -> bool:
    """Whether a file is DICOM by its content, whatever its name is."""
    try:
        return is_dicom_data(read_part(file, 0, PREAMBLE + 4))
    except OSError:
        return False


def read_header(file: Path) -> Header | None:
    """Reads all but the pixel data; None of a file that is damaged.

    `patient` has pairs (value representation, text), such as ("PN", "Doe^Jane").
    """
    with contextlib.suppress(InputError), _opened(file) as (dataset, _):
        syntax, frames = _syntax(dataset), int(dataset.get("NumberOfFrames") or 1)
        patient = [
            (element.VR, str(element.value))
            for element in dataset.iterall()
            if element.VR == "PN"
            or (element.tag.group == 0x0010 and element.VR in ("LO", "SH", "DA", "LT", "ST", "UT"))
            or element.keyword in ("AccessionNumber", "StudyID", "AdmissionID")
        ]
        identifier = str(dataset.get("SOPInstanceUID", "")).encode() or file.read_bytes()[:65536]
        digest = hashlib.sha256(identifier).hexdigest()[:8]
        is_video = bool(_VIDEO.fullmatch(syntax)) or (syntax == _JPEG and frames > 1)
        is_still = not is_video and has_still(dataset)
        number, issuer = (
            str(dataset.get(name) or "").strip() for name in ("PatientID", "IssuerOfPatientID")
        )
        patient_id = f"{number}\n{issuer}" if number else ""
        return Header(is_video, is_still, frames, syntax.name, digest, tuple(patient), patient_id)
    return None


def read_dicom_clock(file: Path, stream: Path) -> Clock:
    """Copies the video in a DICOM file to the file `stream`, and reads its clock.

    A container (MP4, a transport stream) has its own time stamps; of a bare stream, and of JPEG
    frames, FrameTime, CineRate or RecommendedDisplayFrameRate say the rate.

    Raises:
      InputError: there is no video, or nothing says its rate. It names `stream`, not `file`.
    """
    with _opened(file, stream) as (dataset, opened):
        present = _copy_fragments(opened, stream)
        is_jpeg, frames = _syntax(dataset) == _JPEG, int(dataset.get("NumberOfFrames") or 0)
        rate = _display_rate(dataset)
    clock = read_clock(stream)
    if not _has_time_stamps(stream):
        if rate is None and is_jpeg:
            raise InputError(f"{stream}: nothing says its rate; expected FrameTime or CineRate")
        rate = rate or clock.rate
        times = np.arange(len(clock.times)) / float(rate)
        promised = frames / float(rate) if is_jpeg else 0
        clock = replace(clock, times=times, rate=rate, promised=promised, first=float("nan"))
    if present < 1:
        return replace(clock, promised=max(clock.promised, clock.seconds / present))
    return clock


@contextlib.contextmanager
def _opened(file: Path, name: Path | str = "a DICOM file") -> Iterator[tuple]:
    """Context with a dataset without its pixel data, and the file where these begin."""
    try:
        opened = file.open("rb")
    except OSError as error:
        raise InputError(f"{name}: {reason_of(error)}") from None
    with opened:
        try:
            yield silent_pydicom().dcmread(opened, stop_before_pixels=True), opened
        except InputError:
            raise
        except DAMAGE:  # whose texts quote values
            raise InputError(f"{name}: damaged, or not as DICOM has it") from None


def _syntax(dataset):
    return dataset.file_meta.TransferSyntaxUID


def _copy_fragments(opened, stream: Path) -> float:
    """Copies encapsulated pixel data; the share of the last fragment that is there."""
    from pydicom.encaps import parse_fragments

    tag, _, _, length = struct.unpack("<4s2sHL", opened.read(12))
    if tag != b"\xe0\x7f\x10\x00" or length != 0xFFFFFFFF:
        raise InputError(f"{stream}: no video in it")
    _, offsets_length = struct.unpack("<4sL", opened.read(8))
    opened.seek(offsets_length, 1)
    _, fragments = parse_fragments(opened)
    stream.parent.mkdir(parents=True, exist_ok=True)
    there = total = 0
    with stream.open("wb") as copy:
        for place in fragments:
            opened.seek(place + 4)
            (length,) = struct.unpack("<L", opened.read(4))
            total += length
            while length and (piece := opened.read(min(length, 1 << 20))):
                length -= copy.write(piece)
            there = total - length
    if not there:
        raise InputError(f"{stream}: no video in it")
    return there / total


def _has_time_stamps(stream: Path) -> bool:
    """Whether a stream is in a container: MP4, an MPEG transport or program stream."""
    with stream.open("rb") as opened:
        begin = opened.read(8)
    return begin[4:] == b"ftyp" or begin[:1] == b"G" or begin[:4] == b"\0\0\1\xba"


def _display_rate(dataset) -> Fraction | None:
    """Frames per second that the header tells; None where it does not."""
    time = float(dataset.get("FrameTime") or 0)
    rates = (dataset.get("CineRate"), dataset.get("RecommendedDisplayFrameRate"))
    whole = next((float(rate) for rate in rates if rate), 0.0)
    exact = 1000 / time if time > 0 else whole
    if whole and abs(exact / whole - 1) < _SAME_RATE:
        exact = whole
    return Fraction(exact).limit_denominator(MAX_DENOMINATOR) if exact > 0 else None
