"""Views of large images, drawn from reduced ones, are nearly those of the whole images."""

import cv2
import numpy as np
import pytest

from data.batches.seeds import generator
from data.images.decoding import decode_reduced
from data.images.image_io import resize
from data.views import multi_crop as v
from data.views.halvings import MARGIN, Halvings, fitting_reduction

PAPERS = v.Views()
FULL_HD, CHOLEC80 = (1080, 1920), (480, 854)
SMALL = v.Views(size=112, focal_size=48, focal_views=3)  # a half of the paper's


def picture(height, width):
    """Structure of all sizes but the finest, as frames of cameras have it."""
    random = np.random.default_rng(0)
    scales = [random.normal(128, 40, (height // n, width // n)) for n in (4, 12, 40, 120)]
    layers = [cv2.resize(x, (width, height), interpolation=cv2.INTER_CUBIC) for x in scales]
    return np.clip(np.mean(layers, 0)[..., None] * (1.2, 0.8, 0.7), 0, 255).astype(np.uint8)


def sharpness(image):
    return cv2.Laplacian(image.astype(np.float32), -1)[1:-1, 1:-1].std()


def encoded(image, suffix):
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if suffix == ".jpg" else []
    return cv2.imencode(suffix, image[..., ::-1], options)[1]


def test_a_part_keeps_more_pixels_than_its_view():
    for size in (16, 96, 224):
        for side in range(1, 2000, 7):
            times = fitting_reduction((side, side + 5), size)
            assert times == 1 or side / times >= MARGIN * size
            assert times == 8 or side / times < 2 * MARGIN * size


def test_full_hd_is_always_reduced_and_cholec80_never():
    """Never: the bits of views of 854 x 480 are what they were."""
    for step in range(300):
        assert v.reduction_for(FULL_HD, PAPERS, 0, step, 1) >= 2
        assert v.reduction_for(CHOLEC80, PAPERS, 0, step, 1) == 1


def test_the_reduction_is_what_every_part_allows():
    found = []
    for step in range(100):
        boxes = v.draw_boxes(FULL_HD, SMALL, 0, step, 0)
        each = [fitting_reduction(box[2:], size) for box, size, _ in boxes]
        found.append(v.reduction_for(FULL_HD, SMALL, 0, step, 0))
        assert found[-1] == min(each)
    assert len(set(found)) > 1


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("size, scale", [(224, PAPERS.scale), (96, PAPERS.focal_scale)])
def test_parts_of_reduced_images_are_those_of_the_whole(suffix, size, scale):
    data = encoded(picture(*FULL_HD), suffix)
    whole, _ = decode_reduced(data, "whole", lambda shape: 1)
    halvings = Halvings(*decode_reduced(data, "half", lambda shape: 2))
    differences, sharpnesses, contrasts = [], [], []
    for step in range(20):
        box = v.random_box(FULL_HD, scale, PAPERS.aspect, generator(0, step))
        left, top, width, height = box
        expected = resize(whole[top : top + height, left : left + width], (size, size))
        found = halvings.view(box, size)
        differences.append(np.abs(found.astype(int) - expected).mean())
        sharpnesses.append(sharpness(found) / sharpness(expected))
        contrasts.append(found.std() / expected.std())
    assert np.mean(differences) < 2.5
    assert abs(np.mean(sharpnesses) - 1) < 0.05
    assert 0.85 < min(sharpnesses) < max(sharpnesses) < 1.15
    assert abs(np.mean(contrasts) - 1) < 0.01


@pytest.mark.parametrize("shape", [(480, 640), (483, 645)])
def test_views_of_reduced_images_are_at_the_same_places(shape):
    still = v.Views(
        size=40,
        focal_size=16,
        focal_views=4,
        jitter_probability=0,
        grey_probability=0,
        blur_probability=0,
    )
    data = encoded(picture(*shape), ".jpg")
    for step in range(10):
        key = (still, 0, step, 0)
        whole, _ = decode_reduced(data, "whole", lambda shape: 1)
        image, size = decode_reduced(data, "x", lambda shape, key=key: v.reduction_for(shape, *key))
        assert size == shape
        assert len(image) < len(whole)
        expected, found = v.make_views(whole, *key), v.make_views(image, *key, whole=size)
        for name in expected:
            assert np.abs(found[name].astype(int) - expected[name]).mean() < 5, name


def test_a_whole_image_is_not_halved():
    image = picture(400, 600)
    left, top, width, height = box = (3, 5, 301, 303)
    np.testing.assert_array_equal(
        Halvings(image, (400, 600)).view(box, 32),
        v.resample(image[top : top + height, left : left + width], 32),
    )
