import dataclasses

import cv2
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from data.common.errors import InputError
from data.common.seeds import generator
from data.views import image_ops
from data.views import multi_crop as v

SMALL = v.Views(size=32, focal_size=16, focal_views=3)


def picture(height=90, width=160, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (height // 6, width // 6, 3), np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def noise(height=90, width=160):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


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


@pytest.mark.parametrize(
    "shape, size", [((480, 640), 224), ((400, 330), 224), ((143, 190), 96), ((70, 330), 96)]
)
def test_reduced_images_are_pillows(shape, size):
    for image, limit in ((picture(*shape), 0.8), (noise(*shape), 5)):
        reference = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)
        found = image_ops.resample(image, size)
        assert difference(found, reference).mean() < limit
        assert abs(found.std() / np.std(reference) - 1) < 0.03


@pytest.mark.parametrize("shape", [(96, 96), (40, 60), (90, 30)])
def test_enlarged_images_are_pillows(shape):
    image = picture(*shape)
    reference = Image.fromarray(image).resize((96, 96), Image.Resampling.BILINEAR)
    assert difference(image_ops.resample(image, 96), reference).max() <= 2


@pytest.mark.parametrize("length", range(96, 1000, 31))
def test_reducing_does_not_alias_nor_change_the_brightness(length):
    flat = np.full((length, length, 3), 201, np.uint8)
    np.testing.assert_array_equal(image_ops.resample(flat, 96), 201)
    stripes = np.zeros((length, length, 3), np.uint8)
    stripes[:, ::2] = 255
    if length > 200:
        reference = Image.fromarray(stripes).resize((96, 96), Image.Resampling.BILINEAR)
        assert abs(image_ops.resample(stripes, 96).std() - np.std(reference)) < 4


FACTORS = (0.0, 0.6, 0.83, 1.0, 1.4)
OPERATIONS = {
    "flip": (lambda x: cv2.flip(x, 1), lambda x: x.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 0),
    "grey": (image_ops.to_grey, lambda x: x.convert("L").convert("RGB"), 1),
    **{
        f"{name} {factor}": (
            lambda x, ours=ours, factor=factor: ours(x, factor),
            lambda x, pillow=pillow, factor=factor: pillow(x).enhance(factor),
            largest,
        )
        for name, ours, pillow, largest in (
            ("brightness", image_ops.adjust_brightness, ImageEnhance.Brightness, 0),
            ("contrast", image_ops.adjust_contrast, ImageEnhance.Contrast, 1),
            ("saturation", image_ops.adjust_saturation, ImageEnhance.Color, 1),
        )
        for factor in FACTORS
    },
    **{
        f"hue {shift}": (
            lambda x, shift=shift: image_ops.adjust_hue(x, shift),
            lambda x, shift=shift: pillow_hue(x, shift),
            14,
        )
        for shift in (-0.1, 0.0, 0.05, 0.1)
    },
    **{
        f"blur {radius}": (
            lambda x, radius=radius: image_ops.blur(x, radius),
            lambda x, radius=radius: x.filter(ImageFilter.GaussianBlur(radius)),
            9,
        )
        for radius in (0.1, 0.3, 0.7, 1.0, 1.5, 2.0)
    },
}


def pillow_hue(image, shift):
    hue, saturation, value = image.convert("HSV").split()
    turned = ((np.asarray(hue).astype(int) + int(shift * 255)) % 256).astype(np.uint8)
    return Image.merge("HSV", (Image.fromarray(turned), saturation, value)).convert("RGB")


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_pillows(name):
    ours, pillow, largest = OPERATIONS[name]
    image = noise()
    found = difference(ours(image), pillow(Image.fromarray(image)))
    assert found.max() <= largest
    assert found.mean() < 1.2


def test_operations_are_the_same_inside_tf_data():
    import tensorflow as tf

    images = np.stack([picture(seed=seed) for seed in range(4)])
    operations = {name: ours for name, (ours, _, _) in OPERATIONS.items()}
    operations |= {
        f"resample {size}": lambda x, s=size: image_ops.resample(x, s) for size in (48, 96)
    }
    for name, operation in operations.items():
        dataset = tf.data.Dataset.from_tensor_slices(images).map(
            lambda image, f=operation: tf.numpy_function(f, [image], tf.uint8), tf.data.AUTOTUNE
        )
        inside = list(dataset.as_numpy_iterator())
        np.testing.assert_array_equal(inside, [operation(x) for x in images], err_msg=name)


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
