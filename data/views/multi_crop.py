"""One image -> the target view, the anchor view and the focal views of MSN.

Source: Assran et al., arXiv 2204.07141, appendix (augmentations, sizes, scales);
facebookresearch/msn, whose transforms are torchvision's on Pillow images. The operations are
Pillow's to within a grey level or so, computed by OpenCV's kernels
(`tests/data/views/test_multi_crop.py` compares them, `tests/benchmarks/views.py` times them).

What the networks see of a dataset, as a picture:
  python -m data.views --data_rootdir=datasets --output=views.png [--config=configs/msn_vits16.py]
"""

import dataclasses
import math
from collections.abc import Iterator

import cv2
import numpy as np

from data.batches.seeds import generator
from data.common.errors import InputError, check_range
from data.images.decoding import Shape
from data.views.halvings import Halvings, fitting_reduction
from data.views.image_ops import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    blur,
    resample,
    to_grey,
)

TARGET, ANCHOR, FOCAL = 0, 1, 2  # streams of random numbers; focal view i has FOCAL + i


@dataclasses.dataclass(frozen=True)
class Views:
    """Sizes, counts and strengths; the defaults are the MSN paper's.

    Attributes:
      size: height and width in pixels of the target and of the anchor view.
      scale: (least, largest) share of the image's area that these show.
      focal_views, focal_size, focal_scale: the same for the focal views.
      aspect: (least, largest) width / height of the part that is cropped.
      colour_jitter: strength s: brightness, contrast and saturation change by up to 0.8 s, hue by
        up to 0.2 s of its circle.
      jitter_probability, grey_probability, blur_probability, flip_probability: of each operation.
      blur_radius: (least, largest) standard deviation of the Gaussian in pixels.
    """

    size: int = 224
    scale: tuple[float, float] = (0.3, 1.0)
    focal_views: int = 10
    focal_size: int = 96
    focal_scale: tuple[float, float] = (0.05, 0.3)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    colour_jitter: float = 0.5
    jitter_probability: float = 0.8
    grey_probability: float = 0.2
    blur_probability: float = 0.5
    blur_radius: tuple[float, float] = (0.1, 2.0)
    flip_probability: float = 0.5

    def __post_init__(self):
        limits = {"scale": 1, "focal_scale": 1, "aspect": math.inf, "blur_radius": math.inf}
        for name, limit in limits.items():
            pair = getattr(self, name)
            numbers = all(isinstance(value, int | float) for value in pair)
            if not (numbers and len(pair) == 2 and 0 < pair[0] <= pair[1] <= limit):
                raise InputError(
                    f"views.{name} is {pair}; expected (least, largest) with "
                    f"0 < least <= largest{' <= 1' if limit == 1 else ''}"
                )
        for name in ("jitter", "grey", "blur", "flip"):
            check_range(f"views.{name}_probability", getattr(self, f"{name}_probability"), 0, 1)
        check_range("views.colour_jitter", self.colour_jitter, 0, 1.25)  # more would turn negative
        check_range("views.focal_views", self.focal_views, 0)
        check_range("views.size", self.size, 1)
        check_range("views.focal_size", self.focal_size, 1)


def make_views(
    image: np.ndarray,
    views: Views,
    seed: int,
    step: int,
    example: int,
    whole: Shape | None = None,
) -> dict[str, np.ndarray]:
    """Draws all views of an image.

    Args:
      image: uint8 [height, width, 3], RGB.
      views: what to draw.
      seed, step, example: ints, `example` the place in the global batch. Every random number is a
        function of these three and of the view.
      whole: (height, width) before `image` was reduced by what `reduction_for` said; None where it
        was not.

    Returns:
      "target" and "anchor" uint8 [size, size, 3], "focal" uint8 [focal views, focal_size,
      focal_size, 3].
    """
    whole = whole or image.shape[:2]
    halvings = Halvings(image, whole)
    target, anchor, *focal = (
        augment(halvings.view(box, size), views, random)
        for box, size, random in draw_boxes(whole, views, seed, step, example)
    )
    focal = np.asarray(focal, np.uint8).reshape(-1, views.focal_size, views.focal_size, 3)
    return {"target": target, "anchor": anchor, "focal": focal}


def reduction_for(shape: Shape, views: Views, seed: int, step: int, example: int) -> int:
    """1, 2, 4 or 8: what the sides of an image may be divided by before `make_views` gets it.

    Every view that will be drawn still has pixels enough then, as `data/views/halvings.py` says. Of
    854 x 480 pixels the paper's views need all, of 1920 x 1080 a half of each side or less.
    """
    times = fitting_reduction(shape, views.size)
    if times > 1:
        for (*_, width, height), size, _ in draw_boxes(shape, views, seed, step, example):
            times = min(times, fitting_reduction((height, width), size))
    return times


def draw_boxes(shape: Shape, views: Views, seed: int, step: int, example: int) -> Iterator[tuple]:
    """What the target, the anchor and the focal views show of an image of `shape`.

    Yields:
      (left, top, width, height) in pixels, the size of the view, and the generator of random
      numbers that its other changes go on with.
    """
    focal = [(FOCAL + i, views.focal_size, views.focal_scale) for i in range(views.focal_views)]
    whole = [(stream, views.size, views.scale) for stream in (TARGET, ANCHOR)]
    for stream, size, scale in whole + focal:
        random = generator(seed, step, example, stream)
        yield random_box(shape, scale, views.aspect, random), size, random


def random_resized_crop(image, size, scale, aspect, random) -> np.ndarray:
    """Crops a part of random area, aspect and place, resized to uint8 [size, size, 3]."""
    left, top, width, height = random_box(image.shape[:2], scale, aspect, random)
    return resample(image[top : top + height, left : left + width], size)


def random_box(shape, scale, aspect, random) -> tuple[int, int, int, int]:
    """(left, top, width, height) of a random part, drawn as torchvision's RandomResizedCrop does.

    Area uniform in `scale` times the image's, aspect log-uniform; after ten that do not fit, the
    largest central part of an allowed aspect.
    """
    rows, columns = shape
    for _ in range(10):
        area = rows * columns * random.uniform(*scale)
        ratio = math.exp(random.uniform(math.log(aspect[0]), math.log(aspect[1])))
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < width <= columns and 0 < height <= rows:
            left = int(random.integers(columns - width + 1))
            top = int(random.integers(rows - height + 1))
            return left, top, width, height
    ratio = min(max(columns / rows, aspect[0]), aspect[1])
    width, height = min(columns, round(rows * ratio)), min(rows, round(columns / ratio))
    return (columns - width) // 2, (rows - height) // 2, width, height


def augment(image, views, random) -> np.ndarray:
    """Flip, colour jitter, grey, blur, each with its probability; uint8 [size, size, 3]."""
    if random.random() < views.flip_probability:
        image = cv2.flip(image, 1)
    if random.random() < views.jitter_probability:
        image = jitter_colours(image, views.colour_jitter, random)
    if random.random() < views.grey_probability:
        image = to_grey(image)
    if random.random() < views.blur_probability:
        image = blur(image, random.uniform(*views.blur_radius))
    return image


def jitter_colours(image, strength, random) -> np.ndarray:
    """Brightness, contrast, saturation and hue, in random order, each by a random amount."""
    low, high = max(0.0, 1 - 0.8 * strength), 1 + 0.8 * strength
    brightness, contrast, saturation = random.uniform(low, high, 3)
    hue = random.uniform(-0.2 * strength, 0.2 * strength)
    operations = (
        lambda x: adjust_brightness(x, brightness),
        lambda x: adjust_contrast(x, contrast),
        lambda x: adjust_saturation(x, saturation),
        lambda x: adjust_hue(x, hue),
    )
    for index in random.permutation(4):
        image = operations[index](image)
    return image
