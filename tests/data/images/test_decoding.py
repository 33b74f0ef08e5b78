"""Damage is found, said with the file's name, and what is whole has OpenCV's pixels."""

import io
import os
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from data.common.errors import InputError
from data.images.decoding import decode_image, decode_reduced, find_damage
from data.images.image_io import read_image
from tests.support.small_dicoms import write_still

NOISE = np.random.default_rng(0)


def picture(height=240, width=320):
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)


def encoded(kind, image=None, mode="RGB", **options):
    file = io.BytesIO()
    image = picture() if image is None else image
    Image.fromarray(image).convert(mode).save(file, kind, **options)
    return file.getvalue()


JPEGS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "full colour": {"subsampling": 0},
    "restarts": {"restart_marker_rows": 1},
    "grey": {"mode": "L"},
    "four colours": {"mode": "CMYK"},
    "odd": {"image": picture(237, 319)},
}


def opencv(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


def decode(data):
    return decode_image(np.frombuffer(data, np.uint8), "x.jpg")


def damaged(data, length, place=None):
    place = len(data) // 2 if place is None else place
    return data[:place] + NOISE.bytes(length) + data[place + length :]


@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
def test_jpeg_has_opencvs_pixels_or_is_damaged(options, capfd):
    data = encoded("JPEG", quality=90, **options)
    np.testing.assert_array_equal(decode(data), opencv(data))
    tail = data + NOISE.bytes(10_000)
    assert find_damage(tail) is None, "whatever lies behind the picture"
    np.testing.assert_array_equal(decode(tail), opencv(data))
    half = data[: len(data) // 2]
    for fault in (damaged(data, 500), half, half + b"\xff\xd9", data[:-2]):
        assert "JPEG file" in find_damage(fault)
        with pytest.raises(InputError, match=r"^x\.jpg: a (damaged )?JPEG file"):
            decode(fault)
    assert capfd.readouterr().err == "", "libjpeg's own words are in the message, with a name"


@pytest.mark.parametrize("times", [1, 2, 4, 8])
@pytest.mark.parametrize("kind", [*JPEGS, "turned", "PNG"])
def test_reduced_images_are_averages_of_the_whole_and_damage_is_found(kind, times):
    options, exif = dict(JPEGS.get(kind, {})), Image.Exif()
    if kind == "turned":
        exif[0x0112] = 6
        options["exif"] = exif
    options.setdefault("image", picture())
    options["image"] = cv2.GaussianBlur(options["image"], (0, 0), 4)
    data = encoded("PNG" if kind == "PNG" else "JPEG", **options)
    whole, asked = decode(data), []

    def reduction(shape):
        asked.append(shape)
        return times

    image, shape = decode_reduced(np.frombuffer(data, np.uint8), "x.jpg", reduction)
    assert set(asked) == {shape} == {whole.shape[:2]}
    height, width = (-(-side // times) for side in shape)
    assert image.shape == (height, width, 3)
    square = (slice(0, side - side % times) for side in shape)  # what is over is filled differently
    expected = whole[tuple(square)].astype(float)
    expected = expected.reshape(shape[0] // times, times, shape[1] // times, times, 3).mean((1, 3))
    assert np.abs(image[: len(expected), : expected.shape[1]] - expected).mean() < 3
    with pytest.raises(InputError, match=r"^x\.jpg: a damaged"):
        decode_reduced(np.frombuffer(damaged(data, 500), np.uint8), "x.jpg", reduction)


@pytest.mark.parametrize(
    "kind, options",
    [
        ("PNG", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_deflate"}),
    ],
)
def test_other_damage_is_found(kind, options, capfd):
    data = encoded(kind, **options)
    np.testing.assert_array_equal(decode(data), opencv(data))
    assert find_damage(data + bytes(10_000)) is None
    for place in range(len(data) // 3, 2 * len(data) // 3, len(data) // 20):
        assert find_damage(damaged(data, 2000, place)), place
    assert find_damage(data[: len(data) // 2])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", ["WEBP", "BMP"])
def test_of_formats_without_checksums_what_is_missing_is_found(kind):
    data = encoded(kind)
    assert find_damage(data + bytes(10_000)) is None
    for length in (10, len(data) // 2, len(data) - 2000):
        assert find_damage(data[:length]) == f"{length} bytes that are not a complete image"


def test_one_wrong_bit_in_a_png_is_found():
    data = bytearray(encoded("PNG"))
    data[len(data) // 2] ^= 1
    assert "damaged PNG file (checksum" in find_damage(bytes(data))


def test_a_comment_in_a_png_may_be_damaged(capfd):
    chunk = len(b"text").to_bytes(4, "big") + b"tEXttext" + b"none"
    data = encoded("PNG")
    data = data[:33] + chunk + data[33:]  # behind IHDR
    np.testing.assert_array_equal(decode(data), picture())
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_three_samples_tagged_as_grey_are_not_one(compression):
    data = bytearray(encoded("TIFF", compression=compression))
    tag = (262).to_bytes(2, "little") + (3).to_bytes(2, "little") + (1).to_bytes(4, "little")
    place = data.index(tag) + len(tag)
    assert data[place] == 2, "RGB"
    data[place] = 1
    assert find_damage(bytes(data)) == "a TIFF file of 3 samples a pixel that are tagged as grey"


def test_arrays_of_frames(tmp_path):
    np.save(tmp_path / "a.npy", picture())
    np.testing.assert_array_equal(read_image(tmp_path / "a.npy"), picture())
    for wrong, said in (
        (picture()[None], r"uint8, \[1, 240, 320, 3\]; expected uint8, \[height, width, 3\]"),
        (picture() / 255, "float64"),
        (picture()[..., 0], r"\[240, 320\]"),
        (np.array([{}], object), "damaged"),
    ):
        np.save(tmp_path / "b.npy", wrong)
        with pytest.raises(InputError, match=said):
            read_image(tmp_path / "b.npy")
    (tmp_path / "c.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:1000])
    with pytest.raises(InputError, match=r"c\.npy: a damaged"):
        read_image(tmp_path / "c.npy")


@pytest.mark.parametrize(
    "kind", ["RGB", "YBR_FULL", "JPEG", "MONOCHROME2", "MONOCHROME1", "12 bits"]
)
def test_dicom_stills(tmp_path, kind):
    file = write_still(tmp_path / "a.dcm", picture(), kind)
    expected = picture()
    if kind in ("MONOCHROME2", "MONOCHROME1", "12 bits"):
        expected = np.repeat(picture()[..., :1], 3, axis=2)
    found = read_image(file)
    assert np.abs(found.astype(int) - expected).max() <= {"YBR_FULL": 3, "JPEG": 40}.get(kind, 0)
    file.write_bytes(file.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"a\.dcm: a DICOM file") as error:
        read_image(file)
    assert "Doe" not in str(error.value)


def test_what_is_written_to_stderr_elsewhere_comes_back(capfd):
    find_damage(encoded("TIFF"))
    os.write(2, b"still here")
    print(" and here", file=sys.stderr)
    assert capfd.readouterr().err == "still here and here\n"
