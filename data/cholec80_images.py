"""tf.data loaders over Cholec80's labelled frames, as the published code has them.

Source of the names and signatures: RoyHirsch/endossl, data/cholec80_images.py. Other than there,
validation and test are read from their own videos, a frame has the label that belongs to the number
in its name, and labels are ids as in `cholec80.PHASES`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import tensorflow as tf

from data.batches.prefetching import prefetched
from data.common.errors import InputError, some
from data.common.logs import logger
from data.common.machine import available_cores
from data.dataset.cholec80 import DEFAULT_SPLIT, SPLITS
from data.dataset.frame_index import load_index
from data.finetuning import (
    TRANSFORMATIONS,
    check_batches,
    load_frames,
    shuffled,
    training_dataset,
    transformation_of,
)
from data.frames.image_frames import ImageFrames
from data.images.image_io import frame_to_input

__all__ = (
    "TRANSFORMATIONS",
    "Cholec80ImagesLoader",
    "get_cholec80_images_datasets",
    "resize",
    "training_dataset",
)

IMAGE_SIZE = 224  # of the published loader
SEED = 0


def resize(image: tf.Tensor) -> tf.Tensor:
    """Makes an image, uint8 [height, width, 3], what an encoder takes: uint8 [224, 224, 3]."""
    resized = tf.numpy_function(
        lambda image: frame_to_input(image, IMAGE_SIZE), [image], tf.uint8, stateful=False
    )
    resized.set_shape((IMAGE_SIZE, IMAGE_SIZE, 3))
    return resized


class Cholec80ImagesLoader:
    """The labelled frames of some videos; `get_tf_dataset` gives them in batches.

        Cholec80ImagesLoader(data_root, video_ids, batch_size, shuffle=False, augment=resize)

    Args:
      data_root: dataset directory, as `prepare.py` makes it.
      video_ids: names of videos, such as "video01".
      batch_size: frames in a batch; the last of a pass may be smaller.
      shuffle: whether frames come in another order in every pass, the same in every process;
        otherwise they come in the order of videos and time.
      augment: a function of one image tensor, uint8 [height, width, 3], RGB, to a tensor of one
        shape for all frames; or the name of a transformation to 224 x 224 pixels that is otherwise
        drawn in every pass of shuffled frames: "randaug" (`data/views/randaug.py`), "views"
        (cropped, flipped, jittered and blurred) or "resize" (nothing random).

    Raises:
      InputError: the dataset cannot be opened, a video is missing, there is no labelled frame, or
        an argument is wrong.
    """

    def __init__(
        self,
        data_root: str | Path,
        video_ids: Sequence[str],
        batch_size: int,
        shuffle: bool = False,
        augment: Callable[[tf.Tensor], tf.Tensor] | str = resize,
    ):
        check_batches(batch_size, augment if isinstance(augment, str) else "resize")
        index = load_index(data_root).select(video_ids)
        index = index.take(index.phase >= 0)
        if not len(index):
            raise InputError(f"{data_root}: no labelled frames of {some(video_ids)}")
        self._frames = ImageFrames(index)
        self._batch_size, self._shuffle, self._augment = batch_size, shuffle, augment

    def get_tf_dataset(self, with_image_path: bool = False) -> tf.data.Dataset:
        """One pass over the frames.

        Args:
          with_image_path: whether the dataset gives the frames' paths, too.

        Returns:
          Dataset of (images, raw RGB, uint8 [batch, 224, 224, 3] or what `augment` makes; labels
          int32 [batch], ids as in `cholec80.PHASES`), and with paths string [batch]. A frame that
          cannot be read is named in the log and left out.
        """
        frames, labels = self._frames, tf.constant(self._frames.phase, tf.int32)
        if self._shuffle:
            places = shuffled(_one_epoch(len(frames)), len(frames), SEED)
        else:
            places = tf.data.Dataset.range(len(frames)).map(lambda row: (row, row))
        if isinstance(self._augment, str):
            transform = transformation_of(self._augment, IMAGE_SIZE, SEED)
            dataset = load_frames(places, frames, transform, IMAGE_SIZE)
        else:
            dataset = load_frames(places, frames, lambda image, position: image, None)

        def finish(image, row, readable):
            del readable
            image = image if isinstance(self._augment, str) else self._augment(image)
            if not with_image_path:
                return image, tf.gather(labels, row)
            path = tf.numpy_function(lambda row: frames.name(row).encode(), [row], tf.string)
            path.set_shape(())
            return image, tf.gather(labels, row), path

        dataset = dataset.filter(lambda image, row, readable: readable)
        dataset = dataset.map(finish, num_parallel_calls=available_cores(), deterministic=True)
        return prefetched(dataset.batch(self._batch_size))


def get_cholec80_images_datasets(
    data_root: str | Path,
    batch_size: int,
    train_transformation: str = "randaug",
    with_image_path: bool = False,
) -> dict[str, tf.data.Dataset]:
    """Labelled frames of Cholec80's default split, each part from videos of its own.

    Args:
      data_root: dataset directory, as `prepare.py` makes it.
      batch_size: frames in a batch; the last of a pass may be smaller.
      train_transformation: what happens to training frames: "randaug", "views" or "resize", as
        `Cholec80ImagesLoader` explains them. Validation and test frames are resized.
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
    check_batches(batch_size, train_transformation)
    videos, datasets = load_index(data_root).videos, {}
    for part, names in SPLITS[DEFAULT_SPLIT].items():
        present = [name for name in names if name in videos]
        if not present:
            raise InputError(
                f"{data_root}: no labelled frames of the {part} videos, {names[0]} to {names[-1]}"
            )
        if missing := len(names) - len(present):
            logger.warning("%s: %d of the %s videos are missing", data_root, missing, part)
        is_train = part == "train"
        augment = train_transformation if is_train else "resize"
        loader = Cholec80ImagesLoader(data_root, present, batch_size, is_train, augment)
        datasets[part] = loader.get_tf_dataset(with_image_path)
    return datasets


def _one_epoch(frames: int) -> tf.data.Dataset:
    """Positions of one epoch; another one in every pass, in the same order in every process."""
    epoch = tf.data.Dataset.random(SEED, rerandomize_each_iteration=True).take(1)
    return epoch.flat_map(lambda epoch: tf.data.Dataset.range(epoch * frames, (epoch + 1) * frames))
