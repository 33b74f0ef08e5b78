"""Frames through a network, batch by batch, while the next ones are read."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from data.batches.read_ahead import InputFrame, Unreadable, read_ahead
from data.common.logs import logger
from data.common.progress import ProgressBar
from data.frames.frames import Frames
from data.images.image_io import BILINEAR


@dataclass
class Batch:
    """Frames that have passed the network.

    Attributes:
      rows: int64 [n], of the readable frames.
      outputs: {name: float32 [n, ...]}.
      frames: the n frames themselves.
      faults: of each frame that is unreadable, which and why.
      stop: the row after the last of these frames, readable or not.
      seconds: that the network took.
    """

    rows: np.ndarray
    outputs: dict[str, np.ndarray]
    frames: list[InputFrame]
    faults: list[Unreadable]
    stop: int
    seconds: float


def embed_batches(
    function: Callable,
    frames: Frames,
    image_size: int,
    batch_size: int,
    start: int = 0,
    end: int | None = None,
    resample: str = BILINEAR,
) -> Iterator[Batch]:
    """Applies a function to all frames from a row to before another.

    The next frames are read while the network works. Every batch has the same size, the last one
    filled up with black: one compiled program serves all of them, and no result depends on what
    else is read.

    Args:
      function: images uint8 [batch_size, image_size, image_size, 3] -> {name: [batch_size, ...]}.
      frames: what to read.
      image_size: pixels.
      batch_size: int.
      start, end: rows; None for the last.
      resample: how frames are resized, of `data.images.image_io.RESAMPLES`.
    """
    running, frames_of_batch, faults, stop = None, [], [], start

    def launch():
        images = np.zeros((batch_size, image_size, image_size, 3), np.uint8)
        for place, frame in enumerate(frames_of_batch):
            images[place] = frame.image
        begun = time.perf_counter()
        outputs = function(tf.constant(images)) if frames_of_batch else {}
        rows = np.array([frame.row for frame in frames_of_batch], np.int64)
        seconds = time.perf_counter() - begun
        return Batch(rows, outputs, frames_of_batch, faults, stop, seconds)

    for item in read_ahead(frames, image_size, 2 * batch_size, start, end, resample):
        stop = item.row + 1
        if isinstance(item, InputFrame):
            frames_of_batch.append(item)
        else:
            faults.append(item)
        if len(frames_of_batch) == batch_size:
            launched = launch()  # before the last one is waited for: a GPU goes on
            if running:
                yield _fetch(running)
            running, frames_of_batch, faults = launched, [], []
    if running:
        yield _fetch(running)
    if frames_of_batch or faults:
        yield _fetch(launch())


def batches_of_features(
    function: Callable,
    frames: Frames,
    image_size: int,
    batch_size: int,
    description: str = "",
    resample: str = BILINEAR,
    start: int = 0,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Features of all readable frames in order; the others are named in the log.

    Args:
      function: images uint8 [batch_size, image_size, image_size, 3] -> [batch_size, width].
      frames: what to read.
      image_size: pixels.
      batch_size: int.
      description: for the progress bar; without it there is none.
      resample: how frames are resized, of `data.images.image_io.RESAMPLES`.
      start: row of the first frame.

    Yields:
      Features float32 [n, width], and the rows that they are of, int64 [n].
    """
    count = {"total": len(frames), "initial": start, "unit": "frame"}
    with ProgressBar(desc=description, **count, disable=not description) as bar:
        for batch in embed_batches(
            lambda images: {"features": function(images)},
            *(frames, image_size, batch_size, start),
            resample=resample,
        ):
            for fault in batch.faults:
                logger.warning("left out: %s", fault.reason)
            if len(batch.rows):
                yield batch.outputs["features"], batch.rows
            bar.update(len(batch.rows))


def _fetch(batch: Batch) -> Batch:
    """Waits for the network and takes its outputs, without those of the filling."""
    begun = time.perf_counter()
    count = len(batch.rows)
    batch.outputs = {name: value.numpy()[:count] for name, value in batch.outputs.items()}
    batch.seconds += time.perf_counter() - begun
    return batch
