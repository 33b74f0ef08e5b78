"""tf.data loaders over extracted frames, for everything that needs single labelled images."""

import functools
import logging
from pathlib import Path

import numpy as np
import tensorflow as tf

from data.common.cores import available_cores
from data.common.errors import InputError
from data.common.prefetching import prefetched
from data.common.seeds import generator
from data.dataset.cholec80 import DEFAULT_SPLIT, SPLITS
from data.dataset.frame_index import FrameIndex, load_index
from data.images.image_io import frame_to_input, read_image
from data.views.multi_crop import Views, augment, random_resized_crop
from data.views.randaug import LAYERS, MAGNITUDE, rand_augment

IMAGE_SIZE = 224  # of the published loader
SEED = 0
TRANSFORMATIONS = ("randaug", "views", "resize")
# Milder than pre-training's views: what tells the phase must not be cropped or coloured away.
TRAINING_VIEWS = Views(scale=(0.5, 1.0), colour_jitter=0.25, grey_probability=0.0)


def get_cholec80_images_datasets(
    data_root: str | Path,
    batch_size: int,
    train_transformation: str = "randaug",
    with_image_path: bool = False,
) -> dict[str, tf.data.Dataset]:
    """Labelled frames of Cholec80's default split, each part from videos of its own.

    The signature is that of the published code (RoyHirsch/endossl, data/cholec80_images.py).

    Args:
      data_root: dataset directory, as `prepare.py` makes it.
      batch_size: frames in a batch; the last of a pass may be smaller.
      train_transformation: what happens to training frames: "randaug" (`data/views/randaug.py`),
        "views" (cropped, flipped, jittered and blurred) or "resize" (nothing random). Validation
        and test frames are resized.
      with_image_path: whether the datasets give the frames' paths, too.

    Returns:
      "train", "validation" and "test": datasets of (images uint8 [batch, 224, 224, 3], raw RGB;
      labels int32 [batch], ids as in `cholec80.PHASES`), and with paths string [batch]. Each is one
      pass over the labelled frames. The training frames come in another order, otherwise augmented,
      in every pass; passes are the same in every process. The others come in order.

    Raises:
      InputError: the dataset cannot be opened, a part has no labelled frame, or an argument is
        wrong.
    """
    _check(batch_size, train_transformation)
    index = load_index(data_root)
    datasets = {}
    for part, videos in SPLITS[DEFAULT_SPLIT].items():
        frames = _labelled(index, part, videos, data_root)
        if part == "train":
            places = _shuffled(_one_epoch(len(frames)), len(frames), SEED)
            read = _training_reader(frames, IMAGE_SIZE, SEED, train_transformation)
        else:
            places = tf.data.Dataset.range(len(frames))
            read = functools.partial(_whole_frame, frames, IMAGE_SIZE)
        dataset = _with_labels(_map_frames(places, read, IMAGE_SIZE), frames, with_image_path)
        datasets[part] = prefetched(dataset.batch(batch_size))
    return datasets


def frames_dataset(index: FrameIndex, *, image_size: int, batch_size: int) -> tf.data.Dataset:
    """All readable frames in the order of the index, as an encoder takes them.

    Returns:
      Dataset of (images uint8 [batch, image_size, image_size, 3], rows int64 [batch]); the last
      batch may be smaller. A frame that cannot be read is named in the log and left out: `rows`
      says which are there.
    """
    dataset = tf.data.Dataset.range(len(index))
    dataset = _map_frames(dataset, functools.partial(_whole_frame, index, image_size), image_size)
    return prefetched(dataset.batch(batch_size))


def training_dataset(
    index: FrameIndex,
    *,
    image_size: int,
    batch_size: int,
    seed: int,
    transformation: str = "views",
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
      transformation: as `get_cholec80_images_datasets` takes it.
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
    _check(batch_size, transformation)
    positions = tf.data.Dataset.range(first_step * batch_size, np.iinfo(np.int64).max)
    read = _training_reader(index, image_size, seed, transformation, layers, magnitude)
    if unreadable is not None:
        read = _noting(unreadable, read)
    dataset = _load_frames(_shuffled(positions, len(index), seed), read, image_size)
    labels = tf.constant(index.phase if labels is None else labels, tf.int32)

    def with_label(image, row, readable):
        return image, tf.where(readable, tf.gather(labels, row), -1)

    return prefetched(dataset.map(with_label).batch(batch_size, drop_remainder=True))


def _check(batch_size, transformation):
    if batch_size < 1:
        raise InputError(f"batch_size={batch_size}: 1 or more")
    if transformation not in TRANSFORMATIONS:
        raise InputError(f"transformation {transformation!r}: one of {', '.join(TRANSFORMATIONS)}")


def _labelled(index, part, videos, data_root):
    """The labelled frames of one part of a split; what is missing of it is said."""
    there = [name for name in videos if name in index.videos]
    frames = index.select(there)
    frames = frames.take(frames.phase >= 0)
    if not len(frames):
        raise InputError(
            f"{data_root}: no labelled frames of the {part} videos, {videos[0]} to {videos[-1]}"
        )
    if missing := len(videos) - len(there):
        logging.warning("%s: %d of the %s videos are missing", data_root, missing, part)
    return frames


def _one_epoch(frames):
    """Positions of one epoch; another one in every pass, in the same order in every process."""
    epoch = tf.data.Dataset.random(SEED, rerandomize_each_iteration=True).take(1)
    return epoch.flat_map(lambda epoch: tf.data.Dataset.range(epoch * frames, (epoch + 1) * frames))


def _shuffled(positions, frames, seed):
    """(Row, position) for positions counted on from epoch to epoch."""

    def shuffle(position):
        key = tf.stack([tf.cast(seed, tf.int64), position // frames])
        return tf.random.experimental.index_shuffle(position % frames, key, frames - 1), position

    return positions.map(shuffle)


def _map_frames(dataset, read, image_size):
    """Maps rows (or rows and positions) to (image, row) and leaves unreadable frames out."""
    dataset = _load_frames(dataset, read, image_size)
    dataset = dataset.filter(lambda image, row, readable: readable)
    return dataset.map(lambda image, row, readable: (image, row))


def _load_frames(dataset, read, image_size):
    """Maps rows (or rows and positions) to (image, row, whether it could be read)."""

    def load(row, position=0):
        image, readable = tf.numpy_function(read, [row, position], (tf.uint8, tf.bool))
        image.set_shape((image_size, image_size, 3))
        readable.set_shape(())
        return image, row, readable

    return dataset.map(load, num_parallel_calls=available_cores(), deterministic=True)


def _with_labels(dataset, index, with_image_path):
    """Maps (image, row) to (image, label) or (image, label, path)."""
    labels = tf.constant(index.phase, tf.int32)

    def add(image, row):
        if not with_image_path:
            return image, tf.gather(labels, row)
        path = tf.numpy_function(lambda row: index.paths([row])[0].encode(), [row], tf.string)
        path.set_shape(())
        return image, tf.gather(labels, row), path

    return dataset.map(add)


def _training_reader(index, image_size, seed, transformation, layers=LAYERS, magnitude=MAGNITUDE):
    transforms = {
        "randaug": lambda image, random: rand_augment(
            frame_to_input(image, image_size), random, layers, magnitude
        ),
        "views": lambda image, random: _view(image, image_size, random),
        "resize": lambda image, random: frame_to_input(image, image_size),
    }

    def read(row, position):
        transform = transforms[transformation]
        random = generator(seed, int(position))
        return _read(index, image_size, row, lambda image: transform(image, random))

    return read


def _noting(unreadable, read):
    """`read`, which adds to the set `unreadable` the rows that it could not read."""

    def read_and_note(row, position):
        image, is_readable = read(row, position)
        if not is_readable:
            unreadable.add(int(row))
        return image, is_readable

    return read_and_note


def _view(image, image_size, random):
    views = TRAINING_VIEWS
    crop = random_resized_crop(image, image_size, views.scale, views.aspect, random)
    return augment(crop, views, random)


def _whole_frame(index, image_size, row, position):
    del position
    return _read(index, image_size, row, lambda image: frame_to_input(image, image_size))


def _read(index, image_size, row, transform):
    """(Transformed frame, True), or (black, False) for a frame that cannot be read."""
    (path,) = index.paths([int(row)])
    try:
        return transform(read_image(path)), np.True_
    except (InputError, OSError) as error:
        logging.warning("left out: %s", error)
        return np.zeros((image_size, image_size, 3), np.uint8), np.False_
