"""Tiny DICOM files with real videos in them, of a patient whose data must appear nowhere."""

import io

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from tests.support.small_videos import draw_number

SYNTAX = "1.2.840.10008.1.2.4."
MPEG2, H264, HEVC, JPEG = (f"{SYNTAX}{number}" for number in (100, 102, 107, 50))
PATIENT = {
    "PatientName": "Mustermann^Jörg^^Dr.",
    "PatientID": "0047110815",
    "PatientBirthDate": "19580312",
    "PatientSex": "M",
    "PatientComments": "prefers to be called Jolly",
    "OtherPatientNames": "Beispielmann",
    "AccessionNumber": "ACC99887",
    "StudyID": "ST5566",
    "ReferringPhysicianName": "Überweiser^Karla",
    "InstitutionName": "Klinikum Nirgendwo",
    "StudyDescription": "Cholezystektomie bei Mustermann",
}
# In any spelling; in lower case.
SECRETS = ("mustermann", "jörg", "joerg", "jorg", "47110815", "jolly", "beispielmann")
SECRETS += ("19580312", "1958-03-12", "12.03.1958")  # the year alone is found in digests by chance
SECRETS += ("acc99887", "st5566", "überweiser", "ueberweiser", "karla", "nirgendwo")


def write_dicom(path, pixels, syntax, frames=1, fragments=1, picture=None, **elements):
    """A file with a video stream (bytes), frames (a list of bytes) or raw pixels as it says."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = (
        "1.2.840.10008.5.1.4.1.1.77.1.1.1"  # Video Endoscopic Image Storage
    )
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(
        entropy_srcs=[path.name]
    )
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in (PATIENT | elements).items():
        setattr(dataset, keyword, value)
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames, 48, 96
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "YBR_PARTIAL_420"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation, dataset.PlanarConfiguration = 7, 0, 0
    for keyword, value in (picture or {}).items():
        setattr(dataset, keyword, value)
    if syntax == ExplicitVRLittleEndian:
        dataset.PixelData = pixels
    else:
        pixels = pixels if isinstance(pixels, list) else [pixels]
        dataset.PixelData = encapsulate(pixels, fragments_per_frame=fragments)
        dataset["PixelData"].VR = "OB"
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def write_still(path, image, kind="RGB"):
    """A file with one picture, uint8 [height, width, 3]; of grey kinds, its first channel."""
    height, width, _ = image.shape
    layout = {"Rows": height, "Columns": width, "PhotometricInterpretation": kind}
    grey = {"SamplesPerPixel": 1}
    if kind == "JPEG":
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=95)
        layout["PhotometricInterpretation"] = "YBR_FULL_422"
        return write_dicom(path, file.getvalue(), JPEG, picture=layout)
    pixels = image
    if kind == "YBR_FULL":
        pixels = np.asarray(Image.fromarray(image).convert("YCbCr"))
    elif kind == "12 bits":
        pixels = image[..., 0].astype("<u2") * 16 + image[..., 0] // 16
        grey |= {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}
        layout |= grey | {"PhotometricInterpretation": "MONOCHROME2"}
    elif kind.startswith("MONOCHROME"):
        pixels = image[..., 0] if kind == "MONOCHROME2" else 255 - image[..., 0]
        layout |= grey
    return write_dicom(path, pixels.tobytes(), ExplicitVRLittleEndian, picture=layout)


def jpegs(frames, first=0):
    """JPEG frames that show their numbers."""
    encoded = []
    for number in range(first, first + frames):
        file = io.BytesIO()
        Image.fromarray(draw_number(number)).save(file, "JPEG")
        encoded.append(file.getvalue())
    return encoded


def h264(frames):
    """A bare H.264 stream (Annex B) whose frames show their numbers, in macroblocks of PCM."""
    ue = _exp_golomb
    width, height = 6, 3  # macroblocks of 16 x 16
    level = f"{66:08b}{0:08b}{30:08b}"  # baseline
    size = ue(width - 1) + ue(height - 1)
    sps = level + ue(0) + ue(0) + ue(2) + ue(0) + "0" + size + "1" + "1" + "0" + "0"
    pps = ue(0) + ue(0) + "0" + "0" + ue(0) + ue(0) + ue(0) + "0" + "00" + ue(0) * 3 + "100"
    stream = _unit(0x67, sps) + _unit(0x68, pps)
    for number in range(frames):
        grey = draw_number(number)[..., 0]
        bits = ue(0) + ue(7) + ue(0) + "0000" + ue(number % 2) + "00" + ue(0) + ue(1)
        for row in range(height):
            for column in range(width):
                bits += ue(25)
                bits += "0" * (-len(bits) % 8)
                block = grey[16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
                values = [*block.ravel().tolist(), *([128] * 128)]
                bits += "".join(f"{value:08b}" for value in values)
        stream += _unit(0x65, bits)
    return stream


def _exp_golomb(value):
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits


def _unit(header, bits):
    bits += "1"
    bits += "0" * (-len(bits) % 8)
    content = bytes([header]) + int(bits, 2).to_bytes(len(bits) // 8, "big")
    for last in (b"\0", b"\1", b"\2", b"\3"):
        assert b"\0\0" + last not in content[:40], "would need emulation prevention"
    return b"\0\0\0\1" + content
