import dataclasses

import cv2
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from data import views as v
from data.errors import InputError
from data.seeds import generator

SMALL = v.Views(size=32, focal_size=16, focal_views=3)


def picture(height=90, width=160, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (height // 6, width // 6, 3), np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def difference(ours, reference):
    return np.abs(ours.astype(int) - np.asarray(reference).astype(int))


def test_shapes_and_types():
    drawn = v.make_views(picture(), SMALL, seed=0, step=0, example=0)
    assert {name: (x.shape, x.dtype.name) for name, x in drawn.items()} == {
        "target": ((32, 32, 3), "uint8"),
        "anchor": ((32, 32, 3), "uint8"),
        "focal": ((3, 16, 16, 3), "uint8"),
    }
    none = dataclasses.replace(SMALL, focal_views=0)
    assert v.make_views(picture(), none, 0, 0, 0)["focal"].shape == (0, 16, 16, 3)


def test_views_are_a_function_of_seed_step_and_example():
    def draw(*key):
        return v.make_views(picture(), SMALL, *key)["focal"]

    np.testing.assert_array_equal(draw(1, 2, 3), draw(1, 2, 3))
    for key in ((0, 2, 3), (1, 0, 3), (1, 2, 0)):
        assert not np.array_equal(draw(1, 2, 3), draw(*key))


def test_no_two_views_of_an_image_are_alike():
    drawn = v.make_views(picture(), SMALL, 0, 0, 0)
    assert not np.array_equal(drawn["target"], drawn["anchor"])
    assert not np.array_equal(drawn["focal"][0], drawn["focal"][1])


def test_boxes_have_the_areas_and_aspects_that_were_asked_for():
    random = generator(0, 0)
    boxes = [v.random_box((480, 854), (0.05, 0.3), (3 / 4, 4 / 3), random) for _ in range(3000)]
    left, top, width, height = np.array(boxes).T
    share, aspect = width * height / (480 * 854), width / height
    assert 0.049 < share.min() < 0.06
    assert 0.29 < share.max() < 0.301
    assert abs(share.mean() - 0.175) < 0.005
    assert 0.74 < aspect.min() < 0.76
    assert 1.32 < aspect.max() < 1.35
    assert abs(np.log(aspect).mean()) < 0.01
    assert left.min() == 0 == top.min()
    assert (left + width).max() == 854
    assert (top + height).max() == 480


def test_a_box_that_never_fits_is_the_centre():
    assert v.random_box((10, 1000), (0.9, 1.0), (3 / 4, 4 / 3), generator(0, 0)) == (493, 0, 13, 10)


@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.4])
@pytest.mark.parametrize(
    "ours, pillow",
    [
        (v.adjust_brightness, ImageEnhance.Brightness),
        (v.adjust_contrast, ImageEnhance.Contrast),
        (v.adjust_saturation, ImageEnhance.Color),
    ],
)
def test_colours_change_as_in_pillow(ours, pillow, factor):
    image = picture()
    reference = pillow(Image.fromarray(image)).enhance(factor)
    assert difference(ours(image, factor), reference).max() <= 2


@pytest.mark.parametrize("shift", [-0.1, 0.0, 0.05, 0.1])
def test_hue_turns_as_in_pillow(shift):
    image = picture()
    hue, saturation, value = Image.fromarray(image).convert("HSV").split()
    turned = (np.asarray(hue).astype(int) + int(shift * 255)) % 256
    hsv = (Image.fromarray(turned.astype(np.uint8)), saturation, value)
    reference = Image.merge("HSV", hsv).convert("RGB")
    assert difference(v.adjust_hue(image, shift), reference).mean() < 1.5


def test_grey_is_pillows():
    image = picture()
    assert (
        difference(v.to_grey(image), Image.fromarray(image).convert("L").convert("RGB")).max() <= 1
    )


@pytest.mark.parametrize("radius", [0.1, 0.7, 2.0])
def test_blur_is_close_to_pillows(radius):
    image = picture()
    reference = Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius))
    assert difference(v.blur(image, radius), reference).mean() < 1.0


def test_probabilities_zero_and_one():
    never = dataclasses.replace(
        SMALL, jitter_probability=0, grey_probability=0, blur_probability=0, flip_probability=0
    )
    image = picture()
    np.testing.assert_array_equal(v.augment(image, never, generator(0, 0)), image)
    flipped = dataclasses.replace(never, flip_probability=1)
    np.testing.assert_array_equal(v.augment(image, flipped, generator(0, 0)), image[:, ::-1])
    grey = v.augment(image, dataclasses.replace(never, grey_probability=1), generator(0, 0))
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])


def test_operations_happen_as_often_as_asked():
    grey = 0
    for step in range(1000):
        view = v.augment(picture(18, 18), SMALL, generator(0, step))
        grey += np.array_equal(view[..., 0], view[..., 1])
    assert abs(grey / 1000 - SMALL.grey_probability) < 0.04


@pytest.mark.parametrize(
    "wrong",
    [{"scale": (0.5, 0.1)}, {"aspect": (0, 1)}, {"grey_probability": 1.5}, {"focal_views": -1}],
)
def test_wrong_options_are_named(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        v.Views(**wrong)
