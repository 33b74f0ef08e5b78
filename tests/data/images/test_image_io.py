import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from data.common.errors import InputError
from data.images.image_io import RESAMPLES, frame_to_input, read_image, resize


def picture(height=48, width=64, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 1.5)


def test_png_comes_back_as_it_was_and_as_rgb(tmp_path):
    image = picture()
    Image.fromarray(image).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "I;16"])
def test_other_modes_become_rgb_bytes(tmp_path, mode):
    image = picture()
    if mode == "I;16":
        grey = image[..., 0]
        cv2.imwrite(str(tmp_path / "a.png"), grey.astype(np.uint16) * 257)
        expected = np.repeat(grey[..., None], 3, axis=2)
        path = tmp_path / "a.png"
    else:
        path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
        converted = Image.fromarray(image).convert(mode)
        converted.save(path, **({"quality": 100} if mode == "CMYK" else {}))
        expected = np.asarray(converted.convert("RGB"))
    found = read_image(path)
    assert found.shape == (48, 64, 3)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_alpha_is_left_away_not_multiplied(tmp_path, suffix):
    image = Image.fromarray(picture())
    image.putalpha(128)
    image.save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), picture())


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_a_channel(tmp_path, suffix):
    deep = picture()[..., ::-1].astype(np.uint16) * 257
    assert cv2.imwrite(str(tmp_path / f"a{suffix}"), deep)
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), picture())


@pytest.mark.parametrize("mode", ["P", "1", "LA"])
def test_palettes_bits_and_grey_with_alpha(tmp_path, mode):
    image = Image.fromarray(picture()).convert(mode)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, suffix, orientation):
    path, exif = tmp_path / f"a{suffix}", Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture()).save(path, exif=exif, lossless=True, quality=100)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    found = read_image(path)
    assert found.shape == ((48, 64, 3) if orientation < 5 else (64, 48, 3))
    assert np.abs(found.astype(int) - expected).mean() < 0.5


def test_a_tiff_of_cmyk(tmp_path):
    Image.fromarray(picture()).convert("CMYK").save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), picture())


def test_a_kind_of_image_that_is_not_read_is_named(tmp_path):
    path = tmp_path / "real.tif"
    assert cv2.imwrite(str(path), picture().astype(np.float32))
    with pytest.raises(InputError, match=r"real\.tif"):
        read_image(path)


def test_an_image_beyond_opencvs_limit_is_named(tmp_path):
    header = b"IHDR" + (100_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    chunk = b"\0\0\0\r" + header + zlib.crc32(header).to_bytes(4, "big")
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    with pytest.raises(InputError, match="huge"):
        read_image(tmp_path / "huge.png")


@pytest.mark.parametrize("content", [b"", b"not an image", None])
def test_broken_files_are_named(tmp_path, content):
    path = tmp_path / "broken.png"
    if content is None:
        Image.fromarray(picture()).save(path)
        content = path.read_bytes()[:1000]
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.png"):
        read_image(path)


def test_resizing_is_pillows():
    image = picture(96, 128)
    expected = Image.fromarray(image).resize((24, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(resize(image, (32, 24)), np.asarray(expected))
    assert frame_to_input(image, 32).shape == (32, 32, 3)
    for name in RESAMPLES:
        expected = Image.fromarray(image).resize((32, 32), Image.Resampling[name.upper()])
        np.testing.assert_array_equal(frame_to_input(image, 32, name), expected)
    assert (frame_to_input(image, 32, "bicubic") != frame_to_input(image, 32)).any()


def test_shrinking_does_not_alias():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255  # finer than a quarter-size image can show
    assert resize(stripes, (16, 16)).std() < 10
