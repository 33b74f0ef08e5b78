"""tf.data loader of fine-tuning: shuffled labelled frames, augmented, at any step at once."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from data.batches.prefetching import prefetched
from data.batches.seeds import generator
from data.common.errors import InputError
from data.common.logs import logger
from data.common.machine import available_cores
from data.dataset.frame_index import FrameIndex
from data.frames.frames import Frames
from data.frames.image_frames import ImageFrames
from data.images.image_io import BILINEAR, frame_to_input
from data.views.multi_crop import Views, augment, random_resized_crop
from data.views.randaug import LAYERS, MAGNITUDE, TRANSFORMATIONS, rand_augment

# Milder than pre-training's views: what tells the phase must not be cropped or coloured away.
TRAINING_VIEWS = Views(scale=(0.5, 1.0), colour_jitter=0.25, grey_probability=0.0)


def training_dataset(
    index: FrameIndex,
    *,
    image_size: int,
    batch_size: int,
    seed: int,
    transformation: str = "views",
    resample: str = BILINEAR,
    layers: int = LAYERS,
    magnitude: float = MAGNITUDE,
    labels: np.ndarray | None = None,
    first_step: int = 0,
    unreadable: set[int] | None = None,
) -> tf.data.Dataset:
    """One epoch after another, each a permutation of all frames, without end.

    Args:
      index: labelled frames.
      image_size: height and width of the images in pixels.
      batch_size: frames in a batch; every batch is full.
      seed: int; order and augmentation are functions of it and of the step.
      transformation: "randaug" (`data/views/randaug.py`), "views" (cropped, flipped, jittered and
        blurred) or "resize" (nothing random).
      resample: how frames are resized, of `data.images.image_io.RESAMPLES`.
      layers, magnitude: of "randaug", as `data.views.randaug.rand_augment` takes them.
      labels: int [frames, ...]; the phases of the index by default.
      first_step: the batch to begin with, as if those before it had been read.
      unreadable: receives the rows of the frames that cannot be read.

    Returns:
      Dataset of (images uint8 [batch, image_size, image_size, 3], labels int32 [batch, ...]). A
      frame that cannot be read is named in the log; it is black, and its labels are -1, unknown.

    Raises:
      InputError: an argument is wrong.
    """
    check_batches(batch_size, transformation)
    positions = tf.data.Dataset.range(first_step * batch_size, np.iinfo(np.int64).max)
    transform = transformation_of(transformation, image_size, seed, layers, magnitude, resample)
    dataset = load_frames(
        shuffled(positions, len(index), seed), ImageFrames(index), transform, image_size, unreadable
    )
    labels = tf.constant(index.phase if labels is None else labels, tf.int32)

    def with_label(
        image: tf.Tensor, row: tf.Tensor, readable: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return image, tf.where(readable, tf.gather(labels, row), -1)

    return prefetched(dataset.map(with_label).batch(batch_size, drop_remainder=True))


def check_batches(batch_size: int, transformation: str) -> None:
    """Raises `InputError` if an argument of `training_dataset` is wrong."""
    if batch_size < 1:
        raise InputError(f"batch_size={batch_size}: expected 1 or more")
    if transformation not in TRANSFORMATIONS:
        raise InputError(
            f"transformation {transformation!r}; expected one of {', '.join(TRANSFORMATIONS)}"
        )


def shuffled(positions: tf.data.Dataset, frames: int, seed: int) -> tf.data.Dataset:
    """(Row, position) for positions counted on from epoch to epoch."""

    def shuffle(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        key = tf.stack([tf.cast(seed, tf.int64), position // frames])
        return tf.random.experimental.index_shuffle(position % frames, key, frames - 1), position

    return positions.map(shuffle)


def transformation_of(
    name: str,
    image_size: int,
    seed: int,
    layers: int = LAYERS,
    magnitude: float = MAGNITUDE,
    resample: str = BILINEAR,
) -> Callable[[np.ndarray, int], np.ndarray]:
    """One of TRANSFORMATIONS: (uint8 [height, width, 3], position) -> uint8 [size, size, 3]."""
    if name == "resize":
        return lambda image, position: frame_to_input(image, image_size, resample)

    def transform(image: np.ndarray, position: int) -> np.ndarray:
        random = generator(seed, position)
        if name == "randaug":
            frame = frame_to_input(image, image_size, resample)
            return rand_augment(frame, random, layers, magnitude)
        views = TRAINING_VIEWS
        crop = random_resized_crop(image, image_size, views.scale, views.aspect, random)
        return augment(crop, views, random)

    return transform


def load_frames(
    places: tf.data.Dataset,
    frames: Frames,
    transform: Callable[[np.ndarray, int], np.ndarray],
    image_size: int | None,
    unreadable: set[int] | None = None,
) -> tf.data.Dataset:
    """Maps (row, position) to (image, row, whether it could be read).

    Args:
      places: dataset of pairs of int64.
      frames: what to read.
      transform: as `transformation_of` returns it, to uint8 [image_size, image_size, 3].
      image_size: of its results in pixels; None if these have any size.
      unreadable: receives the rows of the frames that cannot be read: they are black.

    Returns:
      Dataset of (image uint8 [image_size, image_size, 3], row int64, whether it could be read).
    """

    def read(row: np.integer[Any], position: np.integer[Any]) -> tuple[np.ndarray, np.bool]:
        try:
            return transform(frames.read(int(row)), int(position)), np.True_
        except (InputError, OSError) as error:
            logger.warning("left out: %s", error)
            if unreadable is not None:
                unreadable.add(int(row))
            side = image_size or 1
            return np.zeros((side, side, 3), np.uint8), np.False_

    def load(row: tf.Tensor, position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        image, readable = tf.numpy_function(read, [row, position], (tf.uint8, tf.bool))
        image.set_shape((image_size, image_size, 3))
        readable.set_shape(())
        return image, row, readable

    return places.map(load, num_parallel_calls=available_cores(), deterministic=True)
