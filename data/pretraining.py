"""tf.data loader of pre-training: shuffled frames -> batches of views, at any step at once."""

import functools
import logging

import numpy as np
import tensorflow as tf

from data.errors import InputError
from data.images import read_image
from data.index import FrameIndex
from data.views import Views, make_views

NAMES = ("target", "anchor", "focal", "readable")
UNREADABLE_IN_A_ROW = 16  # more than chance: the folder has moved, or the disk is gone


def pretraining_dataset(
    index: FrameIndex, views: Views, *, batch_size: int, seed: int, first_step: int, last_step: int
) -> tf.data.Dataset:
    """Batches of views for the steps `first_step` to `last_step` - 1.

    Every epoch is a permutation of all frames (its last, incomplete batch is left out). Which
    frames a step sees and how they are augmented is a function of (seed, step) alone.

    Args:
      index: the frames.
      views: what is drawn of each.
      batch_size: examples in a step.
      seed, first_step, last_step: ints.

    Returns:
      Dataset of dicts "target" and "anchor" uint8 [batch, size, size, 3], "focal" uint8
      [focal views, batch, focal_size, focal_size, 3] and "readable" bool [batch]. An unreadable
      frame is named in the log and the next one takes its place; where that does not help either,
      the views are black and not "readable".

    Raises:
      InputError: fewer frames than one batch.
    """
    steps_per_epoch = len(index) // batch_size
    if not steps_per_epoch:
        raise InputError(
            f"{len(index)} frames do not fill a batch of {batch_size}; set batch_size to at most "
            f"{len(index)} or add data"
        )

    shapes = view_shapes(views)

    def row_of(position):
        step = position // batch_size
        epoch, place = step // steps_per_epoch, position % (steps_per_epoch * batch_size)
        shuffle_seed = tf.stack([tf.cast(seed, tf.int64), epoch])
        row = tf.random.experimental.index_shuffle(place, shuffle_seed, len(index) - 1)
        return row, step, position % batch_size

    def load(row, step, example):
        outputs = tf.numpy_function(
            functools.partial(_load_views, index, views, seed),
            (row, step, example),
            (tf.uint8, tf.uint8, tf.uint8, tf.bool),
            stateful=False,
        )
        for output, shape in zip(outputs, shapes, strict=True):
            output.set_shape(shape)
        return dict(zip(NAMES, outputs, strict=True))

    def views_first(batch):
        return batch | {"focal": tf.transpose(batch["focal"], (1, 0, 2, 3, 4))}

    dataset = tf.data.Dataset.range(first_step * batch_size, last_step * batch_size)
    dataset = dataset.map(row_of).map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    dataset = dataset.batch(batch_size, drop_remainder=True).map(views_first)
    return dataset.prefetch(tf.data.AUTOTUNE)


def view_shapes(views: Views) -> tuple[tuple[int, ...], ...]:
    """Shapes of one example's NAMES."""
    size, focal_size = views.size, views.focal_size
    whole = (size, size, 3)
    return whole, whole, (views.focal_views, focal_size, focal_size, 3), ()


def _load_views(index, views, seed, row, step, example):
    """Views of the frame in `row`, or of one of the next; black ones if none can be read."""
    for offset in range(UNREADABLE_IN_A_ROW):
        (path,) = index.paths([(int(row) + offset) % len(index)])
        try:
            drawn = make_views(read_image(path), views, seed, int(step), int(example))
        except (InputError, OSError) as error:
            logging.warning("skipped: %s", error)
            continue
        return drawn["target"], drawn["anchor"], drawn["focal"], np.True_
    return *(np.zeros(shape, np.uint8) for shape in view_shapes(views)[:3]), np.False_
