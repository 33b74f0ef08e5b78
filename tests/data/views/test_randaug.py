import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from data.batches.seeds import generator
from data.views import randaug as r
from tests.data.views.test_multi_crop import difference, picture

SHARE = 0.7  # magnitude 7 of 10
FACTOR = 0.1 + 1.8 * 0.7


def square(size=224):
    """An image that has no grey of 128, as that is what is filled in."""
    image = picture(size, size) // 2 + 60
    return np.where(image == 128, 129, image).astype(np.uint8)


def apply(name, image, seed=0, share=SHARE):
    return r.OPERATIONS[name](image, share, generator(seed, 0))


def move(image, matrix):
    """Plain numpy: (x, y) shows what is nearest to matrix @ (x, y, 1), grey outside the image."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    from_x, from_y = np.rint(np.tensordot(matrix, [x, y, np.ones_like(x)], 1)).astype(int)
    inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
    result = np.full_like(image, 128)
    result[inside] = image[from_y[inside], from_x[inside]]
    return result


def share_that_differs(one, other):
    return (one != other).any(axis=-1).mean()


def test_the_operations_are_the_model_gardens_without_the_excluded():
    assert set(r.OPERATIONS) == {
        *("Identity", "AutoContrast", "Equalize", "Rotate", "Color", "Contrast", "Brightness"),
        *("Sharpness", "ShearX", "ShearY", "TranslateX", "TranslateY", "Cutout", "SolarizeAdd"),
    }
    assert (r.LAYERS, r.MAGNITUDE, r.MAX_MAGNITUDE) == (3, 7, 10)


@pytest.mark.parametrize("name", ["Color", "Contrast", "Brightness", "Sharpness"])
def test_enhancements_are_pillows(name):
    image = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    reference = getattr(ImageEnhance, name)(Image.fromarray(image)).enhance(FACTOR)
    assert difference(apply(name, image), reference).max() <= 1
    assert difference(image, reference).max() > 10


@pytest.mark.parametrize(("name", "tolerance"), [("AutoContrast", 1), ("Equalize", 0)])
def test_histogram_operations_are_pillows(name, tolerance):
    for image in (square(64), np.full((8, 8, 3), 70, np.uint8), square(64)[:, :3]):
        reference = getattr(ImageOps, name.lower())(Image.fromarray(image))
        assert difference(apply(name, image), reference).max() <= tolerance


@pytest.mark.parametrize("name", ["Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY"])
def test_geometry_is_of_the_documented_strength_either_way(name):
    image = square()
    centre = (224 - 1) / 2
    seen = set()
    for sign in (-1, 1):
        angle = np.deg2rad(sign * 21)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrices = {
            "Rotate": np.column_stack([turn, centre - turn @ (centre, centre)]),
            "ShearX": np.array([[1, sign * 0.21, 0], [0, 1, 0]]),
            "ShearY": np.array([[1, 0, 0], [sign * 0.21, 1, 0]]),
            "TranslateX": np.array([[1, 0, sign * 70], [0, 1, 0]]),
            "TranslateY": np.array([[1, 0, 0], [0, 1, sign * 70]]),
        }
        reference = move(image, matrices[name])
        assert (reference == 128).all(axis=-1).mean() > 0.05
        same = [s for s in range(8) if share_that_differs(apply(name, image, s), reference) < 0.01]
        seen |= {(seed, sign) for seed in same}
    assert sorted(seed for seed, _ in seen) == list(range(8))  # every draw is one of the two
    assert {sign for _, sign in seen} == {-1, 1}


def test_rotation_agrees_with_pillow():
    image = square()
    reference = Image.fromarray(image).rotate(21, fillcolor=(128,) * 3)
    assert share_that_differs(r.rotate(image, 21), np.asarray(reference)) < 0.01


def test_a_square_of_56_pixels_is_cut_out_anywhere():
    image = square()
    cut = [(apply("Cutout", image, seed) != image).any(axis=-1) for seed in range(30)]
    for is_cut, seed in zip(cut, range(30), strict=True):
        rows, columns = np.flatnonzero(is_cut.any(axis=1)), np.flatnonzero(is_cut.any(axis=0))
        assert is_cut.sum() == len(rows) * len(columns)
        assert (apply("Cutout", image, seed)[is_cut] == 128).all()
        assert 28 <= len(rows) <= 56  # less at the border: the centre lies in the image
    assert max(is_cut.sum() for is_cut in cut) == 56 * 56
    assert np.any(cut, axis=0).mean() > 0.6


def test_lengths_go_with_the_size_of_the_image():
    """Elsewhere an image of 64 pixels would be moved out of sight by 70."""
    image = square(64)
    moved = [apply("TranslateX", image, seed) for seed in range(8)]
    for matrix in ([[1, 0, 20], [0, 1, 0]], [[1, 0, -20], [0, 1, 0]]):
        assert any(np.array_equal(m, move(image, np.array(matrix))) for m in moved)
    cut = [(apply("Cutout", image, seed) != image).any(axis=-1).sum() for seed in range(30)]
    assert max(cut) == 16 * 16


def test_solarize_add():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    added = np.minimum(image.astype(int) + 77, 255)
    np.testing.assert_array_equal(apply("SolarizeAdd", image), np.where(image < 128, added, image))


def test_three_layers_each_operation_as_likely(monkeypatch):
    drawn = []
    for name in r.OPERATIONS:
        monkeypatch.setitem(
            r.OPERATIONS, name, lambda image, share, _, name=name: drawn.append((name, share))
        )
    for position in range(1000):
        r.rand_augment(square(8), generator(0, position))
    assert len(drawn) == 3000
    assert {share for _, share in drawn} == {SHARE}
    counts = [sum(name == other for other, _ in drawn) for name in r.OPERATIONS]
    assert 150 < min(counts) <= max(counts) < 285  # 3000 / 14 is 214, five deviations are 71


def test_an_image_is_a_function_of_the_generator():
    image = square(48)
    before = image.copy()
    one, same, other = (r.rand_augment(image, generator(seed, 5)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert one.shape == image.shape
    assert one.dtype == np.uint8
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(image, before)
