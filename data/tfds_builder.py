"""Prepared frames as a TensorFlow Datasets (TFDS) builder.

    config = FramesConfig(root="datasets/cholec80")
    EndoscopicFrames(config=config, data_dir="datasets/tfds").download_and_prepare()

reads the dataset directory `root` and writes `datasets/tfds/endoscopic_frames/cholec80/1.0.0`,
which opens without this project:

    tfds.load("endoscopic_frames/cholec80", data_dir="datasets/tfds", split="train")

On the command line, in the project's folder (TFDS' command needs Apache Beam to start at all,
tensorflow/datasets#5463: `requirements-beam.txt`):

    tfds build data/tfds_builder.py --config='{"root": "datasets/ours"}' --data_dir=datasets/tfds

The frames of a split are stored shuffled, in the same order each time. They are read in this
process, or on Beam where there are `--beam_pipeline_options`, in Python a `beam_runner` or
`beam_options` in the `DownloadConfig`; what is written is the same. Beam's workers must be able to
import this project and to see `root` under the same path.
"""

import dataclasses
import functools
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pyarrow.parquet as pq
import tensorflow as tf
import tensorflow_datasets as tfds

from data.common.errors import InputError
from data.common.logs import logger
from data.dataset.classes import Classes, frame_rate, read_classes
from data.dataset.frame_index import load_index
from data.dataset.index_columns import INDEX, column_of, index_schema
from data.images.image_io import read_image
from data.images.names import official_number
from data.splits.protocols import choose_protocols

ROWS_AT_ONCE = 1024  # of the index, as Python objects
UNKNOWN_SECOND = -1.0

# Mean difference in grey levels: decoders of JPEG differ by about one, a turned image by dozens.
SAME_IMAGE = 4.0


@dataclasses.dataclass(eq=False)
class FramesConfig(tfds.core.BuilderConfig):
    """Which frames are to be built.

    Attributes:
      name: of the data built; the name of the dataset directory, if none is given. What is in
        `data_dir` under this name already, TFDS does not build again, from whatever `root`.
      root: dataset directory, as `prepare.py` makes it.

    Raises:
      InputError: `root` is missing, or TFDS would not find the name again.
    """

    name: str = ""
    root: str = ""

    def __post_init__(self):
        if not self.root:
            raise InputError("root is empty; expected a dataset directory")
        self.root = str(Path(self.root).absolute())  # workers may run in another folder
        self.name = self.name or Path(self.root).name
        if not re.fullmatch(r"[\w+.-]+", self.name):
            raise InputError(
                f"name={self.name!r}: expected letters, digits and any of _ + - . ; "
                "--config takes a name beside the root"
            )
        self.description = self.description or f"The frames of {self.name}."


class EndoscopicFrames(tfds.core.GeneratorBasedBuilder):
    """Frames of endoscopic videos with phases and tools, split by video.

    The splits "train", "validation" and "test" are those of the default protocol in the dataset's
    splits.json (`data.splits`): the published one for Cholec80, for others one drawn by
    video. A split of which there is no video is left out.

    A frame that `data.images.image_io.read_image` cannot read is named in the log, counted at the
    end and left out.

    Raises:
      InputError: while generating: there is no dataset in `root`, or no frame of a split can be
        read.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    # TFDS takes a --config only of a builder that has one; this is what `make demo` renders.
    BUILDER_CONFIGS: ClassVar = [FramesConfig(name="demo", root="runs/demo/data/cholec80")]

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "Frames of endoscopic videos, with surgical phases and tools where they are "
                "annotated. No video is in two splits."
            ),
            features=frame_features(read_classes(Path(self.builder_config.root))),
            supervised_keys=("image", "phase"),
        )

    def _download_and_prepare(self, dl_manager, download_config):
        self._on_beam = bool(download_config.beam_runner or download_config.beam_options)
        super()._download_and_prepare(dl_manager, download_config)
        if download_config.max_examples_per_split is None:
            frames = len(load_index(self.builder_config.root))
            if left_out := frames - self.info.splits.total_num_examples:
                logger.warning("%d of %d frames left out: unreadable", left_out, frames)

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing is downloaded
        root = Path(self.builder_config.root)
        splits = split_videos(root, load_index(root).videos)
        return {part: self._generate_examples(videos) for part, videos in splits.items()}

    def _generate_examples(self, videos):
        root = Path(self.builder_config.root)
        fps = frame_rate(root)
        groups = range(pq.read_metadata(root / INDEX).num_row_groups)
        read_rows = functools.partial(index_rows, root, frozenset(videos))
        read_example = functools.partial(examples, root, fps, read_classes(root).multi_label)
        if not self._on_beam:
            return _in_process(groups, read_rows, read_example)
        import apache_beam as beam

        # Dealing out rows, not groups, gives every worker its share also of a small dataset.
        return (
            beam.Create(groups)
            | beam.FlatMap(read_rows)
            | beam.Reshuffle()
            | "ReadImages" >> beam.FlatMap(read_example)
        )


def frame_features(classes: Classes) -> tfds.features.FeaturesDict:
    """What is stored of a frame of a dataset with these classes: names, shapes, types, meanings."""
    features = tfds.features
    phases = classes.phases
    groups = {
        group: features.Tensor(
            shape=(len(names),),
            dtype=np.int8,
            doc=f"1 if in sight, 0 if not, -1 if unknown: {', '.join(names)}.",
        )
        for group, names in classes.multi_label.items()
    }
    return features.FeaturesDict(
        {
            "image": features.Image(
                shape=(None, None, 3),
                doc="The frame, RGB. The file as it was, if TensorFlow decodes it, otherwise PNG.",
            ),
            "video": features.Text(doc="Name of the video."),
            "frame": features.Scalar(
                np.int32, doc="Number in the file's name; in the official layout it counts from 1."
            ),
            "second": features.Scalar(
                np.float32,
                doc="Seconds since the video's beginning; -1 where the file's name does not tell.",
            ),
            # tfds.show_examples writes names[phase] below an image: -1 is the last name.
            "phase": features.ClassLabel(
                names=(*phases, "unknown"),
                doc=f"Surgical phase, 0 to {len(phases) - 1} as listed; -1 is unknown.",
            ),
            **groups,
        }
    )


def split_videos(root: Path, videos: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """{split: names of the videos in it}, by the default protocol; without empty splits."""
    default, protocols = choose_protocols(root, videos)
    splits = {
        part: tuple(video for video in videos if video in names)
        for part, names in protocols[default].items()
    }
    return {part: kept for part, kept in splits.items() if kept}


def index_rows(root: Path, videos: Collection[str], group: int) -> Iterator[dict]:
    """The rows of some videos among a group of rows of the index, as {column: value}."""
    columns = index_schema(read_classes(root).multi_label).names
    table = pq.ParquetFile(root / INDEX).read_row_group(group, columns)
    for batch in table.to_batches(max_chunksize=ROWS_AT_ONCE):
        yield from (row for row in batch.to_pylist() if row["video"] in videos)


def examples(root: Path, fps: float, multi_label: dict, row: dict) -> Iterator[tuple[str, dict]]:
    """(Key, example) of a row of the index; nothing, and a line in the log, if it is unreadable."""
    try:
        image = stored_image(root / row["file"])
    except (InputError, OSError) as error:
        logger.warning("left out: %s", error)
        return
    video, frame = row["video"], row["frame"]
    has_second = official_number(Path(row["file"]).stem, video) is not None
    yield (
        f"{video}/{frame}",
        {
            "image": image,
            "video": video,
            "frame": frame,
            "second": (frame - 1) / fps if has_second else UNKNOWN_SECOND,
            "phase": row["phase"],
            **{
                group: np.array([row[column_of(group, name)] for name in names], np.int8)
                for group, names in multi_label.items()
            },
        },
    )


def stored_image(path: Path) -> bytes | np.ndarray:
    """An image as TFDS is to store it.

    Returns:
      The file's bytes, if TensorFlow decodes them to what `read_image` makes of them, up to the
      rounding of JPEG. Otherwise (TIFF, a JPEG that is to be turned by its EXIF tag) what
      `read_image` makes: RGB, uint8 [height, width, 3], which TFDS stores as PNG.

    Raises:
      InputError: `read_image` cannot read it.
      OSError: the file cannot be opened.
    """
    image, data = read_image(path), path.read_bytes()
    try:
        decoded = tf.io.decode_image(data, channels=3, expand_animations=False).numpy()
    except tf.errors.InvalidArgumentError:
        return image
    if decoded.shape != image.shape:
        return image
    difference = cv2.norm(decoded, image, cv2.NORM_L1) / image.size
    return data if difference < SAME_IMAGE else image


def _in_process(groups, read_rows, read_example):
    """All examples of a split, one after the other."""
    is_empty = True
    for group in groups:
        for row in read_rows(group):
            for example in read_example(row):
                is_empty = False
                yield example
    if is_empty:
        raise InputError("no frame of a split can be read; they are named in the log")
