"""DICOM files with one picture in them.

Only the picture leaves a file; errors do not quote it, as pydicom's would.
"""

import functools
import io
import logging
import struct
import warnings

import cv2
import numpy as np

from data.common.errors import InputError

PREAMBLE = 128  # bytes before "DICM"
# What pydicom raises for a damaged file.
DAMAGE = (ValueError, TypeError, AttributeError, LookupError, EOFError, ArithmeticError)
DAMAGE += (RuntimeError, struct.error)


def is_dicom_data(begin: bytes) -> bool:
    """Whether a file is DICOM by its first 132 bytes or more."""
    return begin[PREAMBLE : PREAMBLE + 4] == b"DICM"


@functools.cache
def silent_pydicom():
    """The library, without its warnings: they quote values."""
    import pydicom  # here: it takes a while, and most have no such files

    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"pydicom|data\.(video\.dicom|images\.dicom_stills)")
    return pydicom


def has_still(header) -> bool:
    """Whether a file's header, as pydicom reads it, is that of one picture."""
    return int(header.get("NumberOfFrames") or 1) == 1 and bool(header.get("Rows"))


def decode_still(data: bytes) -> np.ndarray:
    """The picture in a DICOM file's bytes: RGB, uint8 [height, width, 3].

    Grey is scaled by the window that the file tells, else by the largest value that its bits can
    hold.

    Raises:
      InputError: there is none, or more than one, or it cannot be decoded.
    """
    try:
        header = silent_pydicom().dcmread(io.BytesIO(data))
        if not has_still(header):
            raise InputError("a DICOM file without a single picture; expected one, or a video")
        array = _pixels(header)
    except InputError:
        raise
    except (*DAMAGE, OSError):  # without what it says, which may be of the patient
        raise InputError("a DICOM file that is damaged, or not as we can decode it") from None
    return np.ascontiguousarray(array)


def _pixels(header) -> np.ndarray:
    from pydicom.pixels import apply_voi_lut, pixel_array

    kind = str(header.PhotometricInterpretation)
    array = pixel_array(header)
    if kind == "PALETTE COLOR":
        from pydicom.pixels import apply_color_lut

        array = apply_color_lut(array, header)
        return (array >> 8).astype(np.uint8)[..., :3] if array.dtype != np.uint8 else array[..., :3]
    if array.ndim == 3:
        bits = int(header.BitsStored)
        return array if array.dtype == np.uint8 else (array >> (bits - 8)).astype(np.uint8)
    low, high = _range(header)
    if "WindowWidth" in header:
        array = apply_voi_lut(array, header)
    shares = (array.astype(np.float64) - low) / (high - low)
    grey = np.round(255 * shares.clip(0, 1)).astype(np.uint8)
    return cv2.cvtColor(255 - grey if kind == "MONOCHROME1" else grey, cv2.COLOR_GRAY2RGB)


def _range(header) -> tuple[float, float]:
    """The least and the largest value of a grey picture's pixels."""
    bits, is_signed = int(header.BitsStored), bool(header.PixelRepresentation)
    low = -(2 ** (bits - 1)) if is_signed else 0
    return low, low + 2**bits - 1
