import dataclasses
import itertools
from collections import Counter

import cv2
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from data.batches.seeds import generator
from data.common.errors import InputError
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
    focal = v.make_views(picture(), none, 0, 0, 0)["focal"]
    assert (focal.shape, focal.dtype) == ((0, 16, 16, 3), np.uint8)


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


NAMES = ("brightness", "contrast", "saturation", "hue")


def drawn_jitters(monkeypatch, strength, number=4000):
    """Of every draw the order of the operations, and the value of each: {name: [draws]}."""
    calls = []
    for name in NAMES:
        monkeypatch.setattr(
            v, f"adjust_{name}", lambda image, value, name=name: calls.append((name, value))
        )
    for step in range(number):
        v.jitter_colours(None, strength, generator(0, step))
    draws = [calls[first : first + 4] for first in range(0, len(calls), 4)]
    orders = [tuple(name for name, _ in draw) for draw in draws]
    values = {name: np.array([dict(draw)[name] for draw in draws]) for name in NAMES}
    return orders, values


def test_colours_are_jittered_in_each_order_as_often(monkeypatch):
    orders, _ = drawn_jitters(monkeypatch, 0.5)
    counts = Counter(orders)
    assert set(counts) == set(itertools.permutations(NAMES))
    assert 100 < min(counts.values()) <= max(counts.values()) < 240  # 4000 / 24 is 167


@pytest.mark.parametrize("strength", [0.25, 0.5, 1.0, 1.25])
def test_each_strength_of_the_jitter_is_spread_over_its_whole_range(monkeypatch, strength):
    _, values = drawn_jitters(monkeypatch, strength)
    ranges = dict.fromkeys(NAMES, (1 - 0.8 * strength, 1 + 0.8 * strength))
    ranges["hue"] = (-0.2 * strength, 0.2 * strength)
    for name, (low, high) in ranges.items():
        counts, _ = np.histogram(values[name], bins=20, range=(low - 1e-9, high + 1e-9))
        assert counts.sum() == 4000, name  # none outside
        assert 130 < counts.min() <= counts.max() < 280, name  # 200 in each twentieth
        assert values[name].min() == pytest.approx(low, abs=0.005 * (high - low))
        assert values[name].max() == pytest.approx(high, abs=0.005 * (high - low))
    # Each is drawn by itself.
    correlation = np.corrcoef([values[name] for name in NAMES])
    assert np.abs(correlation - np.eye(4)).max() < 0.06


def test_each_operation_happens_as_often_as_asked_by_itself_and_in_this_order(monkeypatch):
    """The flip, the jitter, grey, the blur; radii are spread over their whole range."""
    views = v.Views(
        flip_probability=0.3,
        jitter_probability=0.7,
        grey_probability=0.45,
        blur_probability=0.6,
        blur_radius=(0.5, 1.5),
        colour_jitter=0.75,
    )
    done, strengths, radii = [], [], []
    monkeypatch.setattr(v.cv2, "flip", lambda image, axis: done[-1].append(f"flip {axis}"))
    monkeypatch.setattr(v, "to_grey", lambda image: done[-1].append("grey"))
    monkeypatch.setattr(
        v, "blur", lambda image, radius: (done[-1].append("blur"), radii.append(radius))
    )
    monkeypatch.setattr(
        v,
        "jitter_colours",
        lambda image, strength, random: (done[-1].append("jitter"), strengths.append(strength)),
    )
    for step in range(4000):
        done.append([])
        v.augment(None, views, generator(1, step))
    order = ["flip 1", "jitter", "grey", "blur"]
    assert all(names == sorted(names, key=order.index) for names in done)
    happened = np.array([[name in names for name in order] for names in done])
    np.testing.assert_allclose(happened.mean(axis=0), [0.3, 0.7, 0.45, 0.6], atol=0.03)
    assert np.abs(np.corrcoef(happened.T) - np.eye(4)).max() < 0.06
    assert set(strengths) == {0.75}
    counts, _ = np.histogram(radii, bins=10, range=(0.5, 1.5))
    assert counts.sum() == len(radii)
    assert 180 < counts.min() <= counts.max() < 300  # 240 in each tenth


def test_sizes_and_scales_belong_to_their_views(monkeypatch):
    """And each view has a stream of its own."""
    boxes, streams = [], []

    def box(shape, scale, aspect, random):
        boxes.append((scale, aspect))
        return 0, 0, 20, 20

    def stream(*key):
        streams.append(key)
        return generator(*key)

    monkeypatch.setattr(v, "random_box", box)
    monkeypatch.setattr(v, "generator", stream)
    views = dataclasses.replace(SMALL, scale=(0.4, 0.9), focal_scale=(0.1, 0.2), aspect=(0.8, 1.1))
    drawn = v.make_views(picture(), views, 7, 8, 9)
    assert Counter(boxes) == {((0.4, 0.9), (0.8, 1.1)): 2, ((0.1, 0.2), (0.8, 1.1)): 3}
    assert sorted(streams) == [(7, 8, 9, stream) for stream in range(5)]
    assert drawn["target"].shape == drawn["anchor"].shape == (32, 32, 3)
    assert drawn["focal"].shape == (3, 16, 16, 3)


@pytest.mark.parametrize(
    "wrong",
    [{"scale": (0.5, 0.1)}, {"aspect": (0, 1)}, {"grey_probability": 1.5}, {"focal_views": -1}],
)
def test_wrong_options_are_named(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        v.Views(**wrong)
