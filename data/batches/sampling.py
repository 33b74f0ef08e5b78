"""Which frame an example is drawn from: pure functions of the seed and the example's position.

Nothing is kept from one draw to the next, and nothing grows with the number of frames, so a run
starts at any step at once, whatever the corpus. The position of an example in a run is
step * batch size + its place in the global batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from data.batches.seeds import generator
from data.frames.frames import Frames
from data.storage.paths import AnyPath

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
    video, visit = _taken_in_turn(position, seed, len(starts) - 1)
    return _row_of_visit(visit, video, seed, starts)


@dataclass(frozen=True)
class Sources:
    """The data sets that frames are from, for examples to be drawn from them by other shares.

    Attributes:
      videos: int64 [videos], positions of the videos, those of one data set after the other.
      first_video: int64 [sources + 1], where each data set begins in `videos`, and the end.
      first_frame: int64 [videos + 1], where each of `videos` begins when all of their frames are
        counted in that order, and the end.
      is_balanced: whether every data set has the same share of the examples.
      batch_size: where every batch is to be of one data set, else 0.
      balance_videos: whether every video of a data set has the same share of its examples.
    """

    videos: np.ndarray
    first_video: np.ndarray
    first_frame: np.ndarray
    is_balanced: bool
    batch_size: int
    balance_videos: bool

    @classmethod
    def of(
        cls,
        starts: np.ndarray,
        of_video: np.ndarray,
        is_balanced: bool,
        batch_size: int,
        balance_videos: bool,
    ) -> "Sources":
        """Of int64 [videos + 1], as `Frames.starts`, and int [videos], the data set of each."""
        videos = np.argsort(of_video, kind="stable").astype(np.int64)
        _, counts = np.unique(of_video, return_counts=True)
        return cls(
            videos,
            np.cumsum([0, *counts], dtype=np.int64),
            np.cumsum([0, *np.diff(starts)[videos]], dtype=np.int64),
            *(is_balanced, batch_size, balance_videos),
        )


def source_of_videos(frames: Frames, roots: Sequence[AnyPath]) -> np.ndarray:
    """int [videos]: the position in `roots` of the data set of each video, -1 for none of them."""
    prefixes = [(f"{root.absolute()}/", f"{root}/") for root in roots]  # videos' are as given
    paths = frames.paths(frames.starts[:-1])
    return np.array(
        [next((n for n, p in enumerate(prefixes) if path.startswith(p)), -1) for path in paths]
    )


def row_of_sources(position: tf.Tensor, seed: int, sources: Sources, starts: np.ndarray):
    """A data set first, by its share, then one of its frames, or a video of it and then a frame.

    Balanced, every data set comes once in each round of all of them, or has one batch in each round
    of batches; the frames of a large one wait. A batch of one data set without balance: every
    data set has as many batches as its frames fill, one at least, in a random order. In a data
    set, frames come in random order, each once before the first comes again; so do videos.

    Args:
      position: int64 [], of the example in the run.
      seed: int.
      sources: the data sets.
      starts: int64 [videos + 1], as `Frames.starts`.

    Returns:
      int64 [], a row of the source.
    """
    source, visit = _source_and_visit(position, seed, sources)
    first, end = (tf.gather(sources.first_video, source + more) for more in (0, 1))
    if sources.balance_videos:
        place, visit = _taken_in_turn(visit, seed, end - first, stream=source)
        video = tf.gather(sources.videos, first + place)
        return _row_of_visit(visit, video, seed, starts)
    begin = tf.gather(sources.first_frame, first)
    count = tf.gather(sources.first_frame, end) - begin
    order = tf.random.fold_in(tf.stack([_int64(seed), source]), visit // count)
    frame = begin + _shuffle(visit % count, order, count)
    place = tf.searchsorted(sources.first_frame, frame[tf.newaxis], side="right")[0] - 1
    video = tf.gather(sources.videos, place)
    return tf.gather(starts, video) + frame - tf.gather(sources.first_frame, place)


def _source_and_visit(position, seed, sources: Sources):
    """The data set of an example, and how many examples of it came before."""
    number, size = len(sources.first_video) - 1, sources.batch_size
    if not size:
        return _taken_in_turn(position, seed, number)
    step, example = position // size, position % size
    if sources.is_balanced:
        source, batch = _taken_in_turn(step, seed, number)
        return source, batch * size + example
    frames = np.diff(sources.first_frame[sources.first_video])
    batches = np.maximum(1, frames // size)
    firsts = np.cumsum([0, *batches], dtype=np.int64)
    cycle, place = step // firsts[-1], step % firsts[-1]
    place = _shuffle(place, tf.stack([_int64(seed), cycle]), int(firsts[-1]))
    source = tf.searchsorted(firsts, place[tf.newaxis], side="right", out_type=tf.int64)[0] - 1
    of_cycle, begin = tf.gather(batches, source), tf.gather(firsts, source)
    return source, (cycle * of_cycle + place - begin) * size + example


def _taken_in_turn(position, seed, count, stream=None):
    """(Which of `count` things, how often it came before): in a random order, again and again."""
    rounds, place = position // count, position % count
    order = tf.stack([_int64(seed), rounds])
    if stream is not None:
        order = tf.random.fold_in(order, stream)
    return _shuffle(place, order, count), rounds


def _row_of_visit(visit, video, seed, starts) -> tf.Tensor:
    """The frame of a video that was visited so often before."""
    start, end = tf.gather(starts, video), tf.gather(starts, video + 1)
    cycle, visit = visit // (end - start), visit % (end - start)
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
