"""tf.data loaders over extracted frames, for everything that needs single labelled images."""

import functools
import logging

import numpy as np
import tensorflow as tf

from data.errors import InputError
from data.images import frame_to_input, read_image
from data.index import FrameIndex
from data.seeds import generator
from data.views import Views, augment, random_resized_crop

# Milder than pre-training's views: what tells the phase must not be cropped or coloured away.
TRAINING_VIEWS = Views(scale=(0.5, 1.0), colour_jitter=0.25, grey_probability=0.0)


def frames_dataset(index: FrameIndex, *, image_size: int, batch_size: int) -> tf.data.Dataset:
    """All readable frames in the order of the index, as an encoder takes them.

    Returns:
      Dataset of (images uint8 [batch, image_size, image_size, 3], rows int64 [batch]); the last
      batch may be smaller. A frame that cannot be read is named in the log and left out: `rows`
      says which are there.
    """
    dataset = tf.data.Dataset.range(len(index))
    dataset = _map_frames(dataset, functools.partial(_whole_frame, index, image_size), image_size)
    return dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def training_dataset(
    index: FrameIndex, *, image_size: int, batch_size: int, seed: int, augmented: bool = True
) -> tf.data.Dataset:
    """One epoch after another, each a permutation of all frames, without end.

    Args:
      index: labelled frames.
      image_size: height and width of the images in pixels.
      batch_size: frames in a batch; every batch is full.
      seed: int; order and augmentation are functions of it and of the epoch.
      augmented: whether frames are cropped, flipped, jittered and blurred at random.

    Returns:
      Dataset of (images uint8 [batch, image_size, image_size, 3], labels int32 [batch]).
    """
    frames = len(index)
    labels = tf.constant(index.phase, tf.int32)

    def shuffled(position):
        key = tf.stack([tf.cast(seed, tf.int64), position // frames])
        return tf.random.experimental.index_shuffle(position % frames, key, frames - 1), position

    if augmented:
        read = functools.partial(_augmented_frame, index, image_size, seed)
    else:
        read = functools.partial(_whole_frame, index, image_size)
    dataset = tf.data.Dataset.range(np.iinfo(np.int64).max).map(shuffled)
    dataset = _map_frames(dataset, read, image_size)
    dataset = dataset.map(lambda image, row: (image, tf.gather(labels, row)))
    return dataset.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def _map_frames(dataset, read, image_size):
    """Maps rows (or rows and positions) to (image, row) and leaves unreadable frames out."""

    def load(row, position=0):
        image, readable = tf.numpy_function(read, [row, position], (tf.uint8, tf.bool))
        image.set_shape((image_size, image_size, 3))
        readable.set_shape(())
        return image, row, readable

    dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    dataset = dataset.filter(lambda image, row, readable: readable)
    return dataset.map(lambda image, row, readable: (image, row))


def _whole_frame(index, image_size, row, position):
    del position
    return _read(index, image_size, row, lambda image: frame_to_input(image, image_size))


def _augmented_frame(index, image_size, seed, row, position):
    random = generator(seed, int(position))

    def draw(image):
        views = TRAINING_VIEWS
        crop = random_resized_crop(image, image_size, views.scale, views.aspect, random)
        return augment(crop, views, random)

    return _read(index, image_size, row, draw)


def _read(index, image_size, row, transform):
    """(Transformed frame, True), or (black, False) for a frame that cannot be read."""
    (path,) = index.paths([int(row)])
    try:
        return transform(read_image(path)), np.True_
    except (InputError, OSError) as error:
        logging.warning("left out: %s", error)
        return np.zeros((image_size, image_size, 3), np.uint8), np.False_
