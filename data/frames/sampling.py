"""Which frame an example is drawn from: pure functions of the seed and the example's position.

Nothing is kept from one draw to the next, and nothing grows with the number of frames, so a run
starts at any step at once, whatever the corpus. The position of an example in a run is
step * batch size + its place in the global batch.
"""

import numpy as np
import tensorflow as tf

from data.frames.frames import Frames
from data.frames.seeds import generator

# Streams of random numbers beside those of the views (data/views/multi_crop.py counts these from 0)
# and that of the masks (data/views/masking.py has 2**32).
NEIGHBOUR, REPLACEMENT = 2**32 + 1, 2**32 + 2


def shuffled_row(position: tf.Tensor, seed: int, frames: int, epoch_length: int) -> tf.Tensor:
    """Every epoch is another permutation of all frames.

    Args:
      position: int64 [], of the example in the run.
      seed: int.
      frames: how many there are.
      epoch_length: examples in an epoch, at most `frames`.

    Returns:
      int64 [], a row of the source.
    """
    epoch, place = position // epoch_length, position % epoch_length
    return _shuffle(place, tf.stack([_int64(seed), epoch]), frames)


def balanced_row(position: tf.Tensor, seed: int, starts: np.ndarray) -> tf.Tensor:
    """Every video comes once in each round of all videos, however long it is.

    Operations last from a quarter of an hour to several hours. Frame by frame, the long ones, which
    are the difficult and the unusual ones, would outweigh the short ones many times. A video's
    frames come in a random order, each once before the first comes again.

    Args:
      position: int64 [], of the example in the run.
      seed: int.
      starts: int64 [videos + 1], as `Frames.starts`.

    Returns:
      int64 [], a row of the source.
    """
    videos = len(starts) - 1
    rounds, place = position // videos, position % videos
    video = _shuffle(place, tf.stack([_int64(seed), rounds]), videos)
    start, end = tf.gather(starts, video), tf.gather(starts, video + 1)
    cycle, visit = rounds // (end - start), rounds % (end - start)
    order = tf.random.fold_in(tf.stack([_int64(seed), video]), cycle)
    return start + _shuffle(visit, order, end - start)


def neighbour_row(
    source: Frames, row: int, seconds: float, seed: int, step: int, example: int
) -> int:
    """A frame of the same video at most `seconds` away, each with the same probability.

    The frame itself is one of them: the paper's pair stays possible, and a frame without neighbours
    has a pair.
    """
    near = source.neighbours(row, seconds)
    return near[int(generator(seed, step, example, NEIGHBOUR).integers(len(near)))]


def _shuffle(place, seed, count) -> tf.Tensor:
    """Where `place` is in the permutation `seed` of `count` places; O(1) in memory."""
    return tf.random.experimental.index_shuffle(place, seed, count - 1)


def _int64(value) -> tf.Tensor:
    return tf.cast(value, tf.int64)
