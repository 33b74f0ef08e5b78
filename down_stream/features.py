"""Runs an encoder or a phase model over many frames, batch by batch."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from data.cholec80_images import frames_dataset
from data.errors import InputError
from data.index import FrameIndex


def representation(encoder) -> Callable:
    """Compiled function: images [batch, height, width, 3] -> (cls [batch, width],)."""
    return tf.function(lambda images: (represent_in_halves(encoder, images),), jit_compile=True)


def probabilities_and_representation(model) -> Callable:
    """Compiled function: images -> (probabilities [batch, classes], cls [batch, width])."""

    def outputs(images):
        cls = represent_in_halves(model.encoder, images)
        return tf.nn.softmax(model.classify(cls)), cls

    return tf.function(outputs, jit_compile=True)


def represent_in_halves(encoder, images: tf.Tensor) -> tf.Tensor:
    """cls [batch, width] of images [batch, height, width, 3], two halves of a batch side by side.

    In a compiled program one half multiplies while the other computes its norms, and no core waits.
    """
    first = images.shape[0] // 2
    halves = [half for half in (images[:first], images[first:]) if half.shape[0]]
    return tf.concat([encoder.represent(half) for half in halves], axis=0)


def over_frames(
    function: Callable, index: FrameIndex, *, image_size: int, batch_size: int, description: str
) -> tuple[list[np.ndarray], np.ndarray]:
    """Applies a compiled function of image batches to all readable frames of an index.

    Every batch has the same size, the last one filled up with black: one compiled program serves
    all of them, and no result depends on what else is in the index.

    Args:
      function: images float32 [batch_size, image_size, image_size, 3] -> tuple of tensors.
      index: the frames.
      image_size: pixels.
      batch_size: int.
      description: for the progress bar.

    Returns:
      The outputs, each concatenated to [frames read, ...], and the rows of the index that were
      read, int64 [frames read].

    Raises:
      InputError: not one frame can be read.
    """
    outputs, rows = [], []
    dataset = frames_dataset(index, image_size=image_size, batch_size=batch_size)
    with tqdm(total=len(index), desc=description, unit="frame", mininterval=0.5) as bar:
        for images, batch_rows in dataset:
            count = len(batch_rows)
            padded = tf.pad(images, [[0, batch_size - count], [0, 0], [0, 0], [0, 0]])
            batch = function(tf.cast(padded, tf.float32))
            outputs.append([output.numpy()[:count] for output in batch])
            rows.append(batch_rows.numpy())
            bar.update(count)
    if not rows:
        raise InputError(f"none of the {len(index)} frames can be read")
    return [np.concatenate(parts) for parts in zip(*outputs, strict=True)], np.concatenate(rows)
