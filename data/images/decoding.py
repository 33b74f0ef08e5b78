"""Bytes of an image file to an array, or the reason why they are none.

Other decoders paint what is missing grey, or go on wrongly where a file is damaged, and do not say
so. Here:

- JPEG is decoded by simplejpeg, whose pixels are OpenCV's (both are libjpeg-turbo): it raises what
  libjpeg merely warns of, of an image that is reduced as it is decoded, too. Whatever lies behind
  the end of a picture does no harm.
- PNG has checksums, which are compared.
- TIFF is decoded by Pillow, too, which notices more; and libtiff takes three samples that are
  tagged as grey for one, and L*a*b* for RGB that differs by 14 levels.
- OpenCV decodes the rest, and what is turned by its EXIF data. WebP and BMP have no checksums. What
  is cut off is found. Noise in a lossy WebP is, as its decoder runs out of bits; zeros there, and
  half of what is damaged in a lossless one, no decoder can tell from a picture.
- .npy: arrays of uint8 [height, width, 3], RGB. DICOM: `data/images/dicom_stills.py`.
"""

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image, ImageOps, TiffImagePlugin

from data.common.errors import InputError, one_line
from data.common.logs import caught_stderr
from data.images.dicom_stills import decode_still, is_dicom_data

JPEG_BEGIN, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
PNG_BEGIN = b"\x89PNG\r\n\x1a\n"
TIFF_BEGINS = (b"II*\0", b"MM\0*")
NPY_BEGIN = b"\x93NUMPY"
EXIF = b"Exif\0\0"
MAX_PIXELS = 1 << 30  # OpenCV's limit
# Tags of TIFF, and values of theirs.
PHOTOMETRIC, GREY, LAB, SAMPLES = 262, (0, 1), (8, 9, 10), 277
COMPRESSION, DEFLATE, PIECES = 259, (8, 32946), ((273, 279), (324, 325))  # strips and tiles
PILLOW_ERRORS = (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError)

Shape = tuple[int, int]  # (height, width)
Reduction = Callable[[Shape], int]  # 1, 2, 4 or 8, that the sides of such an image are divided by

_one_tiff = threading.Lock()  # what is written to stderr is caught: of one at a time


def decode_image(data: np.ndarray, name: str | Path) -> np.ndarray:
    """Decodes the bytes of an image file, uint8 [n], to RGB, uint8 [height, width, 3].

    Grey, palettes, CMYK and 16-bit become RGB 8-bit, alpha is dropped, and an orientation that
    the file's EXIF data tell is applied.

    Args:
      data: the file.
      name: for errors.

    Raises:
      InputError: it is no image, or damaged, or not all of it is there.
    """
    try:
        return _decode(data.tobytes())
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def decode_reduced(
    data: np.ndarray, name: str | Path, reduction: Reduction
) -> tuple[np.ndarray, Shape]:
    """Decodes an image no larger than it is needed.

    Of JPEG, what is not needed is never made: its decoder leaves out the fine frequencies of every
    block, and half the sides take three quarters of the time. Other images are decoded whole, and
    averaged.

    Args:
      data: the file, uint8 [n].
      name: for errors.
      reduction: is asked when the size is known.

    Returns:
      RGB, uint8, its sides divided by `reduction`, rounded up; and the whole image's (height,
      width).

    Raises:
      InputError: as `decode_image` does.
    """
    encoded = data.tobytes()
    if encoded.startswith(JPEG_BEGIN) and EXIF not in encoded:
        try:
            image, shape = _decode_jpeg(encoded, reduction)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        if image is not None:
            return image, shape
    image = decode_image(data, name)
    return shrink(image, reduction(image.shape[:2])), image.shape[:2]


def shrink(image: np.ndarray, times: int) -> np.ndarray:
    """Averages `times` x `times` pixels: uint8 [height, width, 3], sides divided, rounded up."""
    if times == 1:
        return image
    height, width = (-(-side // times) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def find_damage(data: bytes) -> str | None:
    """Why `decode_image` would not decode a file's bytes, or None; of JPEG, in half the time."""
    try:
        if data.startswith(JPEG_BEGIN):
            _decode_jpeg(data, lambda shape: 8)
        else:
            _decode(data)
    except InputError as error:
        return str(error)
    return None


def _decode(data: bytes) -> np.ndarray:
    if not data:
        raise InputError("empty")
    if data.startswith(JPEG_BEGIN):
        image, _ = _decode_jpeg(data, lambda shape: 1)
        return image if image is not None and EXIF not in data else _by_opencv(data)
    if data.startswith(NPY_BEGIN):
        return _decode_npy(data)
    if is_dicom_data(data):
        return decode_still(data)
    if data.startswith(TIFF_BEGINS):
        return _decode_tiff(data)
    if data.startswith(PNG_BEGIN):
        data = _checked_png(data)
    return _by_opencv(data)


def _by_opencv(data: bytes) -> np.ndarray:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:  # an image larger than OpenCV's limit, for one
        image = None
    if image is None:
        raise InputError(f"{len(data)} bytes that are not a complete image")
    return image


def _decode_jpeg(data: bytes, reduction: Reduction) -> tuple[np.ndarray | None, Shape]:
    """RGB, its sides divided; None of CMYK, which is checked alone. And the size of the whole."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data, strict=True)
        if height * width > MAX_PIXELS:
            raise ValueError(f"{width}x{height} pixels")
        is_cmyk, smaller = colours in ("CMYK", "YCCK"), reduction((height, width))
        image = simplejpeg.decode_jpeg(
            data,
            colorspace="CMYK" if is_cmyk else "RGB",
            min_height=height // smaller,
            min_width=width // smaller,
            min_factor=smaller,
            strict=True,
        )
    except ValueError as error:
        if JPEG_END not in data:
            raise InputError(f"a JPEG file cut off after {len(data)} bytes") from error
        raise InputError(f"a damaged JPEG file ({one_line(error)})") from error
    return None if is_cmyk else image, (height, width)


def _checked_png(data: bytes) -> bytes:
    """The file without comments that are damaged; raises `InputError` if the picture is."""
    place, kind, used = len(PNG_BEGIN), b"", [PNG_BEGIN]
    while kind != b"IEND":
        head = data[place : place + 8]
        end = place + 12 + int.from_bytes(head[:4], "big")
        if len(head) < 8 or end > len(data):
            raise InputError(f"a PNG file cut off after {len(data)} bytes")
        kind = head[4:]
        checksum = int.from_bytes(data[end - 4 : end], "big")
        is_needed = kind[:1].isupper()  # so the format has it
        if zlib.crc32(data[place + 4 : end - 4]) == checksum:
            used.append(data[place:end])
        elif is_needed:
            raise InputError(f"a damaged PNG file (checksum at byte {place})")
        place = end
    return b"".join(used)


def _decode_tiff(data: bytes) -> np.ndarray:
    with _one_tiff, caught_stderr(), warnings.catch_warnings(action="ignore"):
        _check_tags(data)
        without_alpha = None
        try:
            with Image.open(io.BytesIO(data)) as opened:
                opened.load()
                if opened.mode == "RGBA":  # OpenCV multiplies the colours by alpha
                    without_alpha = np.asarray(ImageOps.exif_transpose(opened))[..., :3]
        except (Image.UnidentifiedImageError, Image.DecompressionBombError):
            pass  # a kind of TIFF that Pillow does not read
        except PILLOW_ERRORS as error:
            raise InputError(f"a damaged TIFF file ({one_line(error)})") from error
        image = _by_opencv(data)
    return image if without_alpha is None else np.ascontiguousarray(without_alpha)


def _check_tags(data: bytes) -> None:
    """Raises `InputError` for what libtiff does not notice."""
    directory = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
    file = io.BytesIO(data)
    try:
        file.seek(directory.next)
        directory.load(file)
        photometric, samples = directory.get(PHOTOMETRIC), directory.get(SAMPLES, 1)
        if directory.get(COMPRESSION) in DEFLATE:
            for offsets, lengths in PIECES:
                pieces = zip(directory.get(offsets, ()), directory.get(lengths, ()), strict=True)
                for offset, length in pieces:
                    zlib.decompress(data[offset : offset + length])  # compares checksums
    except (*PILLOW_ERRORS, zlib.error) as error:
        raise InputError(f"a damaged TIFF file ({one_line(error)})") from error
    if photometric in LAB:
        raise InputError("a TIFF file of L*a*b* colours; expected RGB")
    if photometric in GREY and samples > 2:  # two: grey and alpha
        raise InputError(f"a TIFF file of {samples} samples a pixel that are tagged as grey")


def _decode_npy(data: bytes) -> np.ndarray:
    try:
        array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, TypeError, SyntaxError) as error:
        raise InputError(f"a damaged .npy file ({one_line(error)})") from error
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise InputError(
            f"an array of {array.dtype}, {list(array.shape)}; expected uint8, [height, width, 3]"
        )
    return np.ascontiguousarray(array)
