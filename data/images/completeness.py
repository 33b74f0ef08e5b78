"""Whether an image file is whole, found without decoding it."""

import os
from pathlib import Path

import cv2
import numpy as np

from data.common.errors import InputError
from data.images.image_io import decode_image, read_bytes, read_image

END_BYTES = 4096  # some writers pad their files
JPEG_BEGIN, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
PNG_BEGIN, PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"


def find_fault(path: Path) -> str | None:
    """Why an image cannot be used, or None.

    JPEG and PNG files are complete if they begin and end as such: that costs two small reads, and
    finds what interrupted copies and downloads leave behind. Files of which this cannot be said are
    decoded. Damage in the middle of a file shows when it is read.
    """
    try:
        with path.open("rb", buffering=0) as file:
            begin = file.read(8)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - END_BYTES))
            end = file.read(END_BYTES)
    except OSError as error:
        return (error.strerror or str(error)).lower()
    if begin == PNG_BEGIN or begin.startswith(JPEG_BEGIN) or not size:
        return find_cut(begin + end, size)
    try:
        read_image(path)
    except (InputError, cv2.error):
        return f"{size} bytes that are no image"
    return None


def read_whole_image(path: str | Path) -> np.ndarray:
    """Decodes an image file as `read_image` does; raises `InputError` also if it is cut off."""
    data = read_bytes(path)
    if fault := find_cut(data.tobytes(), len(data)):
        raise InputError(f"{path}: {fault}")
    return decode_image(data, path)


def find_cut(data: bytes, size: int) -> str | None:
    """Whether a file is empty, or a JPEG or PNG file without its end: the reason, or None.

    Decoders paint what is missing grey, and do not say so.

    Args:
      data: the file, or its first and its last bytes.
      size: of the file, in bytes.
    """
    if not size:
        return "empty"
    if data.startswith(PNG_BEGIN) and PNG_END not in data[-END_BYTES:]:
        return f"a PNG file cut off after {size} bytes"
    if data.startswith(JPEG_BEGIN) and JPEG_END not in data[-END_BYTES:]:
        return f"a JPEG file cut off after {size} bytes"
    return None
