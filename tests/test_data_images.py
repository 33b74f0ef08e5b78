import cv2
import numpy as np
import pytest
from PIL import Image

from data.errors import InputError
from data.images import ImageFiles, frame_to_input, read_image, resize


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
    box = (10, 20, 90, 80)
    expected = Image.fromarray(image).crop(box).resize((24, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(resize(image, (32, 24), box), np.asarray(expected))
    assert frame_to_input(image, 32).shape == (32, 32, 3)


def test_shrinking_does_not_alias():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255  # finer than a quarter-size image can show
    assert resize(stripes, (16, 16)).std() < 10


def test_a_folder_is_searched_for_images(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("b/2.png", "b/1.JPG", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    files = ImageFiles(tmp_path)
    assert [path.rsplit("/", 1)[1] for path in files.paths(range(len(files)))] == ["1.JPG", "2.png"]


@pytest.mark.parametrize("name", ["missing", "empty", "notes.txt"])
def test_what_is_no_image_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=name):
        ImageFiles(tmp_path / name)
