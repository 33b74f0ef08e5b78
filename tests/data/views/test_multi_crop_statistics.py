"""Statistics of drawn views beside those of torchvision and Pillow, on the same real frames.

And on these enlarged to full HD and drawn from halvings.

The frames are not part of the project: MSN_REAL names the folder that holds them, at any depth.
"""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.batches.seeds import generator
from data.images.decoding import shrink
from data.images.image_io import read_image
from data.views.halvings import Halvings
from data.views.multi_crop import Views, augment, random_box
from tests.support.places import GOLDEN

GOLDEN = GOLDEN / "views.json"
REAL = os.environ.get("MSN_REAL")
REFERENCE = json.loads(GOLDEN.read_text())
FRAMES = [name for name, value in REFERENCE.items() if isinstance(value, dict)]

pytestmark = pytest.mark.skipif(not REAL, reason="MSN_REAL names no folder with real frames")


def draw(halvings, shape, size, scale, views, seed):
    random = generator(seed, 0)
    box = random_box(shape, scale, views.aspect, random)
    return augment(halvings.view(box, size), views, random)


def measure(view):
    """Means and deviations of the channels, and the deviation of the Laplacian, of RGB 0..1."""
    mean, deviation = (x[:, 0] / 255 for x in cv2.meanStdDev(view))
    grey = cv2.transform(view.astype(np.float32) / 255, np.full((1, 3), 1 / 3))
    laplacian = cv2.Laplacian(grey, -1)[1:-1, 1:-1]
    return mean, deviation, laplacian.std()


def is_grey(view):
    return (view == view[..., :1]).all()


@pytest.mark.parametrize("enlarged", [False, True])
@pytest.mark.parametrize("kind", ["random_224", "focal_96"])
@pytest.mark.parametrize("name", FRAMES)
def test_statistics_are_the_references(name, kind, enlarged):
    image = read_image(next(Path(REAL).rglob(name)))
    if enlarged:
        image = cv2.resize(image, (1920, 1080), interpolation=cv2.INTER_CUBIC)
    shape = image.shape[:2]
    halvings = Halvings(shrink(image, 2) if enlarged else image, shape)
    views = Views(colour_jitter=REFERENCE["color_jitter"])
    size = int(kind.split("_")[1])
    scale = views.scale if kind.startswith("random") else views.focal_scale
    seeds = range(REFERENCE["draws_per_frame"])
    drawn = (draw(halvings, shape, size, scale, views, seed) for seed in seeds)
    measured = [(*measure(view), is_grey(view)) for view in drawn]
    mean, deviation, laplacian, grey = (np.array(x) for x in zip(*measured, strict=True))

    expected = REFERENCE[name][kind]
    close = {"rtol": 0, "atol": 0.015}
    np.testing.assert_allclose(mean.mean(0), expected["mean_of_channel_means"], **close)
    np.testing.assert_allclose(mean.std(0), expected["std_of_channel_means"], **close)
    np.testing.assert_allclose(deviation.mean(0), expected["mean_of_channel_stds"], **close)
    percentiles = np.percentile(laplacian, (10, 50, 90))
    np.testing.assert_allclose(percentiles, expected["laplacian_std_p10_p50_p90"], rtol=0.15)
    assert abs(grey.mean() - views.grey_probability) < 0.02
