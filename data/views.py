"""One image -> the target view, the anchor view and the focal views of MSN.

Source: Assran et al., arXiv 2204.07141, appendix (augmentations, sizes, scales);
facebookresearch/msn, whose transforms are torchvision's on Pillow images. The operations are
Pillow's to within a grey level or so, computed by OpenCV's kernels (`tests/test_data_views.py`
compares them, `tests/benchmarks/views.py` times them).

What the networks see of a dataset, as a picture:
  python -m data.views --data_rootdir=datasets --output=views.png [--config=configs/msn_vits16.py]
"""

import dataclasses
import functools
import math

import cv2
import numpy as np

from data.errors import InputError, check_range
from data.seeds import generator

TARGET, ANCHOR, FOCAL = 0, 1, 2  # streams of random numbers; focal view i has FOCAL + i

DOWN = -0.499  # added before OpenCV rounds: Pillow's blends cut the fraction off


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
                    f"views.{name} is {pair}; right would be (least, largest) with "
                    f"0 < least <= largest{' <= 1' if limit == 1 else ''}"
                )
        for name in ("jitter", "grey", "blur", "flip"):
            check_range(f"views.{name}_probability", getattr(self, f"{name}_probability"), 0, 1)
        check_range("views.colour_jitter", self.colour_jitter, 0, 1.25)  # more would turn negative
        check_range("views.focal_views", self.focal_views, 0)
        check_range("views.size", self.size, 1)
        check_range("views.focal_size", self.focal_size, 1)


def make_views(
    image: np.ndarray, views: Views, seed: int, step: int, example: int
) -> dict[str, np.ndarray]:
    """Draws all views of an image.

    Args:
      image: uint8 [height, width, 3], RGB.
      views: what to draw.
      seed, step, example: ints, `example` the place in the global batch. Every random number is a
        function of these three and of the view.

    Returns:
      "target" and "anchor" uint8 [size, size, 3], "focal" uint8 [focal views, focal_size,
      focal_size, 3].
    """

    def view(stream, size, scale):
        random = generator(seed, step, example, stream)
        return augment(random_resized_crop(image, size, scale, views.aspect, random), views, random)

    focal = [view(FOCAL + i, views.focal_size, views.focal_scale) for i in range(views.focal_views)]
    return {
        "target": view(TARGET, views.size, views.scale),
        "anchor": view(ANCHOR, views.size, views.scale),
        "focal": np.asarray(focal, np.uint8).reshape(-1, views.focal_size, views.focal_size, 3),
    }


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


def resample(image, size) -> np.ndarray:
    """Resizes [height, width, 3] to [size, size, 3], closely as Pillow's bilinear filter does.

    That filter is a triangle as wide as two pixels of the result, so that nothing aliases. Here a
    narrower triangle blurs the image, and interpolating between two pixels does the rest: both are
    vectorised, and together they take a third of Pillow's time. `data.images.resize` is Pillow's.
    """
    height, width = image.shape[:2]
    if max(height, width) > size:
        triangles = _triangle(width, size), _triangle(height, size)
        image = cv2.sepFilter2D(image, -1, *triangles, borderType=cv2.BORDER_REFLECT)
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)


@functools.lru_cache(maxsize=4096)
def _triangle(length, size) -> np.ndarray:
    """The blur that makes linear interpolation of `length` pixels at `size` places Pillow's filter.

    Interpolation is a filter itself: a triangle that reaches one pixel to either side. One that
    reaches n pixels, a whole number, is the sum of its copies at -n + 1 .. n - 1, weighted by a
    triangle. For other reaches its two neighbours are mixed.
    """
    reach = max(1.0, length / size)
    n = int(reach)
    share = reach - n
    distance = np.abs(np.arange(-n, n + 1))
    inner, outer = (np.maximum(0, m - distance) / m**2 for m in (n, n + 1))
    return _fixed_point((1 - share) * inner + share * outer)


def _fixed_point(weights) -> np.ndarray:
    """A symmetric kernel in steps of 1 / 256, with the sum 1.

    OpenCV filters bytes in such steps. Its own rounding would change the sum: the brightness.
    """
    below = np.cumsum(weights[: len(weights) // 2]) / np.sum(weights)
    side = np.diff(np.round(256 * below), prepend=0)
    return np.array([*side, 256 - 2 * side.sum(), *side[::-1]], np.float32) / 256


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


def adjust_brightness(image, factor) -> np.ndarray:
    """Blends with black: factor 0 is black, 1 the image."""
    return cv2.convertScaleAbs(image, alpha=factor, beta=DOWN)


def adjust_contrast(image, factor) -> np.ndarray:
    """Blends with the mean grey: factor 0 is that grey all over, 1 the image."""
    mean = int(cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0] + 0.5)
    return cv2.addWeighted(image, factor, image, 0, (1 - factor) * mean + DOWN)


def adjust_saturation(image, factor) -> np.ndarray:
    """Blends with the grey image: factor 0 is grey, 1 the image."""
    return cv2.addWeighted(image, factor, to_grey(image), 1 - factor, DOWN)


def adjust_hue(image, shift) -> np.ndarray:
    """Turns the hue by `shift`, a share of the circle, -0.5..0.5."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(int(shift * 255) % 256)  # wraps around
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def to_grey(image) -> np.ndarray:
    """Luma (ITU-R 601) in all three channels."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def blur(image, radius) -> np.ndarray:
    """Gaussian blur as Pillow does it; `radius` is the standard deviation in pixels."""
    kernel = _three_boxes(round(radius, 2))  # few enough to be kept
    return cv2.sepFilter2D(image, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT)


@functools.lru_cache(maxsize=1024)
def _three_boxes(radius) -> np.ndarray:
    """Three box filters in a row, the approximation of a Gaussian that Pillow takes, as one kernel.

    Each has a third of the variance, which it gets from what its two outermost pixels weigh
    (Gwosdek et al., SSVM 2011).
    """
    variance = radius**2 / 3
    whole = int((math.sqrt(12 * variance + 1) - 1) / 2)  # pixels of full weight to either side
    edge = (2 * whole + 1) * (3 * variance - whole * (whole + 1))
    edge /= 6 * ((whole + 1) ** 2 - variance)
    box = [edge, *[1] * (2 * whole + 1), edge]
    return _fixed_point(np.convolve(np.convolve(box, box), box))


if __name__ == "__main__":
    from absl import flags

    from configs import command
    from data import views_sheet

    command.define_config("configs/msn_base.py", "configuration whose views are drawn")
    views_sheet.define_flags()
    flags.adopt_module_key_flags(views_sheet)  # for --help
    command.run(views_sheet.main, wrong_input=(InputError,))
