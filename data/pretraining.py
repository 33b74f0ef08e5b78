"""tf.data loader of pre-training: shuffled frames -> batches of views, at any step at once."""

import dataclasses
import functools
from typing import Any

import numpy as np
import tensorflow as tf

from data.batches.prefetching import prefetched
from data.batches.sampling import (
    REPLACEMENT,
    Sources,
    balanced_row,
    neighbour_row,
    row_of_sources,
    shuffled_row,
)
from data.batches.seeds import generator
from data.common.errors import InputError, check_range
from data.common.logs import logger
from data.common.machine import available_cores
from data.frames.frames import Frames
from data.images.decoding import Reduction, Shape
from data.views.multi_crop import Views, make_views, reduction_for

NAMES = ("target", "anchor", "focal", "unreadable", "row")
UNREADABLE_IN_A_ROW = 16  # more than chance: the folder has moved, or the disk is gone
ENOUGH_FRAMES = 1000  # to speak of a share


def pretraining_dataset(
    source: Frames,
    views: Views,
    *,
    batch_size: int,
    seed: int,
    first_step: int,
    last_step: int,
    neighbour_seconds: float = 0.0,
    balance_videos: bool = False,
    sources: np.ndarray | None = None,
    balance_sources: bool = False,
    one_source_per_batch: bool = False,
    worker: int = 0,
    workers: int = 1,
    parallel_calls: int | None = None,
) -> tf.data.Dataset:
    """Batches of views for the steps `first_step` to `last_step` - 1.

    Every epoch is a permutation of all frames (its last, incomplete batch is left out). Which
    frames a step sees and how they are augmented is a function of (seed, step, example) alone,
    `example` being the place in the global batch: not of where a run was resumed, of the number of
    parallel calls, or of the number of workers.

    Args:
      source: the frames, as `data.frames.opening.open_source` opens them.
      views: what is drawn of each.
      batch_size: examples in a step, of all workers together.
      seed, first_step, last_step: ints.
      neighbour_seconds: 0, the paper's way: all views are of one frame. Otherwise the target view
        is of that frame, and the anchor and focal views are of another of the same video, at most
        so many seconds away (`data.batches.sampling.neighbour_row`). Smoke, blood and instruments
        come and go within seconds while the anatomy stays: what the two networks have to agree on
        is what no augmentation of one frame can vary. A second frame is decoded for each example.
      balance_videos: whether every video has the same share of the examples
        (`data.batches.sampling.balanced_row`), so that long operations do not drown short ones. An
        epoch is as long as before, but no permutation: frames of long videos wait for later epochs.
      sources: int [videos], the data set of each, any numbers, for the two that follow.
      balance_sources: whether every data set has the same share of the examples, before anything is
        said of its videos (`data.batches.sampling.row_of_sources`): one of single images, each a
        video of its own, would have nearly all of them with `balance_videos` alone.
      one_source_per_batch: whether all examples of a batch are of one data set, so that what tells
        data sets apart tells none of a batch's images from another.
      worker, workers: this worker's number, counted from 0, and how many there are. Each has a
        share of every global batch: the batches of all, one after the other, are the global batch.
      parallel_calls: frames that are read at the same time; None for as many as there are cores.

    Returns:
      Dataset of dicts "target" and "anchor" uint8 [batch, size, size, 3], "focal" uint8
      [focal views, batch, focal_size, focal_size, 3], "unreadable" int32 [batch]: how many
      frames could not be read before one could, or as an anchor's neighbour, and "row" int64
      [batch]: that of the frame which anchor and focal views are of. Unreadable frames are named in
      the log, and a frame from a random place is taken instead; after UNREADABLE_IN_A_ROW the views
      are black, and the row is that of the last. `UnreadableFrames` adds them up.

    Raises:
      InputError: fewer frames than one batch, or an argument is out of range.
    """
    check_range("neighbour_seconds", neighbour_seconds, 0)
    if not 0 <= worker < workers or batch_size % workers:
        raise InputError(
            f"worker {worker} of {workers} and batch_size {batch_size}: expected a worker "
            f"from 0 to {workers - 1} and a batch that {workers} can share equally"
        )
    drawn_sources = None
    if balance_sources or one_source_per_batch:
        of_video = check_sources(sources)
        size = batch_size if one_source_per_batch else 0
        drawn_sources = Sources.of(source.starts, of_video, balance_sources, size, balance_videos)
    steps_per_epoch = whole_batches(source, batch_size)
    share = batch_size // workers
    shapes = view_shapes(views)
    load_views = functools.partial(_load_views, source, views, seed, neighbour_seconds)

    def draw(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """`number` counts the examples of this worker from the beginning of the run."""
        step, example = number // share, worker * share + number % share
        position = step * batch_size + example
        if drawn_sources is not None:
            row = row_of_sources(position, seed, drawn_sources, source.starts)
            return row, step, example
        if balance_videos:
            return balanced_row(position, seed, source.starts), step, example
        epoch_length = steps_per_epoch * batch_size
        return shuffled_row(position, seed, len(source), epoch_length), step, example

    def load(row: tf.Tensor, step: tf.Tensor, example: tf.Tensor) -> dict[str, tf.Tensor]:
        kinds = (tf.uint8, tf.uint8, tf.uint8, tf.int32, tf.int64)
        outputs = tf.numpy_function(load_views, (row, step, example), kinds, stateful=False)
        for output, shape in zip(outputs, shapes, strict=True):
            output.set_shape(shape)
        return dict(zip(NAMES, outputs, strict=True))

    def views_first(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return batch | {"focal": tf.transpose(batch["focal"], (1, 0, 2, 3, 4))}

    dataset = tf.data.Dataset.range(first_step * share, last_step * share)
    calls = parallel_calls or available_cores()
    dataset = dataset.map(draw).map(load, num_parallel_calls=calls, deterministic=True)
    dataset = dataset.batch(share, drop_remainder=True).map(views_first)
    return prefetched(dataset)


def check_sources(sources: np.ndarray | None) -> np.ndarray:
    """`sources`, int [videos], each video's data set; raises `InputError` of fewer than two."""
    if sources is None or len(np.unique(sources)) < 2:
        raise InputError(
            "data.balance_sources and data.one_source_per_batch: one data set; expected several "
            "data.root, one for each"
        )
    return sources


def whole_batches(source: Frames, batch_size: int) -> int:
    """Steps in an epoch; raises `InputError` where there is none."""
    if len(source) < batch_size:
        raise InputError(
            f"{len(source)} frames do not fill a batch of {batch_size}; set batch_size to at most "
            f"{len(source)} or add data"
        )
    return len(source) // batch_size


def view_shapes(views: Views) -> tuple[tuple[int, ...], ...]:
    """Shapes of one example's NAMES.

    Args:
      views: sizes and numbers of what is cut out of a frame.

    Returns:
      Of target and anchor [size, size, 3], of the focal views [number, size, size, 3], in pixels;
      of what says that a frame is unreadable, and of its row, ().
    """
    size, focal_size = views.size, views.focal_size
    whole = (size, size, 3)
    return whole, whole, (views.focal_views, focal_size, focal_size, 3), (), ()


class UnreadableFrames:
    """Adds up the frames that could not be read, and ends a run that has too many of them.

    Args:
      max_share: of the frames read, 0 to 1. Until ENOUGH_FRAMES are read, it is a share of these,
        so that one broken frame among the first ten ends nothing; 0 ends a run at the first.

    Attributes:
      read, unreadable: how many frames were tried, and how many could not be read.

    Raises:
      InputError: `max_share` is out of range.
    """

    def __init__(self, max_share: float):
        check_range("data.max_unreadable", max_share, 0, 1)
        self.max_share = max_share
        self.read = self.unreadable = 0

    def add(self, unreadable: np.ndarray) -> None:
        """Counts a batch's "unreadable", int32 [batch]; raises `InputError` at too many."""
        self.unreadable += int(np.sum(unreadable))
        self.read += len(unreadable) + int(np.sum(unreadable))
        if np.any(np.asarray(unreadable) >= UNREADABLE_IN_A_ROW):
            raise InputError(
                f"{UNREADABLE_IN_A_ROW} frames in a row cannot be read, is the data still there? "
                "The log names them"
            )
        if self.unreadable > self.max_share * max(self.read, ENOUGH_FRAMES):
            raise InputError(
                f"{self.unreadable} of {self.read} frames cannot be read, the log names them; "
                f"data.max_unreadable allows a share of {self.max_share:g}"
            )


def _load_views(
    source: Frames,
    views: Views,
    seed: int,
    neighbour_seconds: float,
    drawn_row: np.integer[Any],
    step: np.integer[Any],
    example: np.integer[Any],
) -> tuple[Any, ...]:
    """Views of the frame in `drawn_row`, or of one at random; black ones if none can be read."""
    row, key = int(drawn_row), (seed, int(step), int(example))
    replacements = generator(*key, REPLACEMENT)
    unreadable = 0

    def read(row: int) -> tuple[np.ndarray, Shape] | None:
        return _read(source, row, lambda whole: reduction_for(whole, views, *key))

    while (frame := read(row)) is None:
        unreadable += 1
        if unreadable == UNREADABLE_IN_A_ROW:
            black = (np.zeros(shape, np.uint8) for shape in view_shapes(views)[:3])
            return *black, np.int32(unreadable), np.int64(row)
        row = int(replacements.integers(len(source)))

    neighbour, near = frame, row
    if neighbour_seconds:
        near = neighbour_row(source, row, neighbour_seconds, *key)
        found = frame if near == row else read(near)
        if found is None:
            unreadable, near = unreadable + 1, row
        neighbour = found or frame
    drawn = make_views(neighbour[0], views, *key, whole=neighbour[1])
    if neighbour is not frame:
        alone = dataclasses.replace(views, focal_views=0)
        drawn["target"] = make_views(frame[0], alone, *key, whole=frame[1])["target"]
    counts = np.int32(unreadable), np.int64(near)
    return drawn["target"], drawn["anchor"], drawn["focal"], *counts


def _read(source: Frames, row: int, reduction: Reduction) -> tuple[np.ndarray, Shape] | None:
    """A frame as `read_reduced` returns it, or None and a line in the log."""
    try:
        return source.read_reduced(row, reduction)
    except (InputError, OSError) as error:
        logger.warning("skipped: %s", error)
        return None
