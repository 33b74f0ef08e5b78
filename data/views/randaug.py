"""RandAugment: random operations in a row, for the training images of phase recognition.

Cubuk et al., arXiv 1909.13719, with the operations, strengths and odds of the TensorFlow Model
Garden (tfm.vision.augment.RandAugment, official/vision/ops/augment.py), as Hirsch et al., MICCAI
2023, used it: 3 layers, magnitude 7 of 10, without Invert, Solarize and Posterize. Where the Model
Garden's code does not do what it documents, this does what is documented: what is empty after a
rotation, shear or translation is grey (there it mirrors the image, tensorflow/models issue 10493),
and contrast changes about the mean grey (there about the number of pixels / 256).

Not made of Keras' augmentation layers: those draw from a state of their own, which depends on all
that was drawn before; here an image is a function of the generator it is given.
"""

import cv2
import numpy as np

from data.views.image_ops import adjust_brightness, adjust_contrast, adjust_saturation

TRANSFORMATIONS = ("randaug", "views", "resize")  # what a fine-tuned frame goes through
LAYERS = 3
MAGNITUDE, MAX_MAGNITUDE = 7, 10
GREY = (128, 128, 128)

# Operations of (image, share of the largest magnitude, random). The Model Garden, too, leaves the
# image alone as often as it picks any of the others.
OPERATIONS = {
    "Identity": lambda image, share, random: image,
    "AutoContrast": lambda image, share, random: autocontrast(image),
    "Equalize": lambda image, share, random: equalize(image),
    "Rotate": lambda image, share, random: rotate(image, _signed(30 * share, random)),
    "Color": lambda image, share, random: adjust_saturation(image, 0.1 + 1.8 * share),
    "Contrast": lambda image, share, random: adjust_contrast(image, 0.1 + 1.8 * share),
    "Brightness": lambda image, share, random: adjust_brightness(image, 0.1 + 1.8 * share),
    "Sharpness": lambda image, share, random: sharpen(image, 0.1 + 1.8 * share),
    "ShearX": lambda image, share, random: shear(image, x=_signed(0.3 * share, random)),
    "ShearY": lambda image, share, random: shear(image, y=_signed(0.3 * share, random)),
    "TranslateX": lambda image, share, random: translate(image, x=_signed(100 * share, random)),
    "TranslateY": lambda image, share, random: translate(image, y=_signed(100 * share, random)),
    "Cutout": lambda image, share, random: cut_out(image, 40 * share, random),
    "SolarizeAdd": lambda image, share, random: solarize_add(image, round(110 * share)),
}
SIZE = 224  # of the images whose pixels translation and cut-out count; for others they are scaled


def rand_augment(
    image: np.ndarray,
    random: np.random.Generator,
    layers: int = LAYERS,
    magnitude: float = MAGNITUDE,
) -> np.ndarray:
    """Applies operations that are drawn, each as likely as any other, one after another.

    Args:
      image: uint8 [height, width, 3], RGB.
      random: every random number comes from it (see `data.batches.seeds.generator`).
      layers: how many operations.
      magnitude: strength of all of them, 0..10.

    Returns:
      uint8 [height, width, 3].
    """
    names = list(OPERATIONS)
    for _ in range(layers):
        operation = OPERATIONS[names[random.integers(len(names))]]
        image = operation(image, magnitude / MAX_MAGNITUDE, random)
    return image


def autocontrast(image) -> np.ndarray:
    """Stretches every channel to 0..255."""

    def table(histogram):
        present = np.flatnonzero(histogram)
        low, high = int(present[0]), int(present[-1])
        if low == high:
            return np.arange(256)
        return (np.arange(256) - low) * 255 / (high - low)

    return _map_channels(image, table)


def equalize(image) -> np.ndarray:
    """Spreads every channel's values so that each is about as frequent, as Pillow does it."""

    def table(histogram):
        step = (histogram.sum() - histogram[np.flatnonzero(histogram)[-1]]) // 255
        if not step:
            return np.arange(256)
        return (np.cumsum(histogram) - histogram + step // 2) // step

    return _map_channels(image, table)


def sharpen(image, factor) -> np.ndarray:
    """Blends with the smoothed image: factor 0 is smooth, 1 the image. The border stays."""
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
    smooth = cv2.filter2D(image, -1, kernel)
    sharp = cv2.addWeighted(image, factor, smooth, 1 - factor, 0)
    result = image.copy()
    result[1:-1, 1:-1] = sharp[1:-1, 1:-1]
    return result


def solarize_add(image, addition) -> np.ndarray:
    """Adds to the values below 128."""
    values = np.arange(256)
    return cv2.LUT(
        image, np.where(values < 128, values + addition, values).clip(0, 255).astype("B")
    )


def cut_out(image, half_side, random) -> np.ndarray:
    """Makes a square grey, its centre anywhere in the image; half its side is in pixels of 224."""
    height, width = image.shape[:2]
    half_side = round(half_side * width / SIZE)
    y, x = random.integers(height), random.integers(width)
    result = image.copy()
    result[max(0, y - half_side) : y + half_side, max(0, x - half_side) : x + half_side] = GREY
    return result


def rotate(image, degrees) -> np.ndarray:
    """Turns the image about its centre, counter-clockwise if `degrees` is positive."""
    centre_y, centre_x = (np.array(image.shape[:2]) - 1) / 2
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return _transform(
        image,
        [cosine, -sine, centre_x - cosine * centre_x + sine * centre_y],
        [sine, cosine, centre_y - sine * centre_x - cosine * centre_y],
    )


def shear(image, x=0.0, y=0.0) -> np.ndarray:
    """Moves rows by `x` pixels per row, columns by `y` pixels per column, from the top left."""
    return _transform(image, [1, x, 0], [y, 1, 0])


def translate(image, x=0.0, y=0.0) -> np.ndarray:
    """Moves the image by pixels of 224, to the left and to the top where positive."""
    height, width = image.shape[:2]
    return _transform(image, [1, 0, x * width / SIZE], [0, 1, y * height / SIZE])


def _transform(image, row_x, row_y) -> np.ndarray:
    """The pixel at (x, y) is the image's nearest to (row_x, row_y) @ (x, y, 1), grey outside it."""
    return cv2.warpAffine(
        image,
        np.array([row_x, row_y], np.float64),
        image.shape[1::-1],
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=GREY,
    )


def _map_channels(image, table) -> np.ndarray:
    """Looks every channel up in a table that follows from its histogram (int64 [256])."""
    channels = (np.bincount(image[..., channel].ravel(), minlength=256) for channel in range(3))
    tables = np.stack([table(histogram) for histogram in channels], axis=-1)
    return cv2.LUT(image, tables.clip(0, 255).astype(np.uint8)[None])


def _signed(strength, random) -> float:
    """Strength or, as often, its negative."""
    return strength if random.random() < 0.5 else -strength
