"""TF-Cholec80's records: one tf.train.Example per frame, one file per video."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import tensorflow as tf
from absl import logging

from data.common.errors import InputError
from data.dataset.cholec80 import PHASES, TFRECORD_PHASES, TOOLS, video_name
from data.dataset.frame_index import FrameIndex
from data.images.image_io import read_image
from data.storage.whole import whole_file
from data.tfrecords.files import video_of_record

FEATURES = {
    "frame": tf.io.FixedLenFeature([], tf.string),  # PNG
    "video_id": tf.io.FixedLenFeature([], tf.string),
    "frame_id": tf.io.FixedLenFeature([], tf.int64),  # seconds, counted from 0 or from 1
    "total_frames": tf.io.FixedLenFeature([], tf.int64),
    "instruments": tf.io.FixedLenFeature([len(TOOLS)], tf.int64),
    "phase": tf.io.FixedLenFeature([], tf.int64),
}
FRAMING_BYTES = 16  # of a record: its length and two checksums
OUR_PHASES = tuple(PHASES.index(name) for name in TFRECORD_PHASES)  # by TF-Cholec80's number


@dataclass(frozen=True)
class Record:
    """One second of a video as a record file has it, numbered and labelled as we do.

    Attributes:
      number: second + 1, whether the file counts from 0 or 1.
      phase: id as in `cholec80.PHASES`.
      tools: seven times 0 or 1, as in `cholec80.TOOLS`.
      image: encoded image, as it is in the file.
    """

    number: int
    phase: int
    tools: tuple[int, ...]
    image: bytes


def read_records(file: Path) -> Iterator[Record]:
    """Reads a record file.

    Raises:
      InputError: the file is damaged, or its examples are no TF-Cholec80's; those before were
        yielded.
    """
    first, position = None, 0
    records = iter(tf.data.TFRecordDataset(str(file)))
    for place in itertools.count(1):
        try:
            serialised = next(records).numpy()
            example = tf.io.parse_single_example(serialised, FEATURES)
        except StopIteration:
            break
        except tf.errors.DataLossError as error:
            raise InputError(f"{file}: damaged, example {place} cannot be read") from error
        except tf.errors.OpError as error:
            raise InputError(f"{file}: example {place} is not one of TF-Cholec80's") from error
        position += len(serialised) + FRAMING_BYTES
        phase, frame_id = int(example["phase"]), int(example["frame_id"])
        if not 0 <= phase < len(PHASES):
            raise InputError(f"{file}: example {place} has phase {phase}; 0 to {len(PHASES) - 1}")
        first = min(frame_id, 1) if first is None else first
        number, total = frame_id + 1 - first, int(example["total_frames"])
        tools = tuple(example["instruments"].numpy().tolist())
        yield Record(number, OUR_PHASES[phase], tools, example["frame"].numpy())
    if position != file.stat().st_size or first is None:
        raise InputError(f"{file}: ends after {position} bytes, within example {place}")
    if number < total - 1:  # whether all the files' totals are exact is not known
        raise InputError(f"{file}: ends after frame {number} of {total}")


def write_records(index: FrameIndex, folder: Path) -> list[Path]:
    """Writes the frames of a dataset as TF-Cholec80 has them: `<folder>/video07.tfrecord`.

    frame_id is the frame's number, from 1; frames with an unknown phase or tool are left out, as
    the format has no word for that. PNG files go in as they are, others are encoded anew.

    Args:
      index: frames of videos named as Cholec80's.
      folder: made where it is missing; files in it are overwritten.

    Returns:
      The files, one per video that has labelled frames.

    Raises:
      InputError: a video is named otherwise, or a frame cannot be read.
    """
    for video in index.videos:
        if video_of_record(video) != video:
            raise InputError(f"{video}: record files are of videos named like {video_name(7)}")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for video in index.videos:
        frames = index.select([video])
        labelled = frames.take((frames.phase >= 0) & (frames.tools >= 0).all(axis=1))
        if left_out := len(frames) - len(labelled):
            logging.warning("%s: %d frames without labels are left out", video, left_out)
        if len(labelled):
            written.append(_write_video(video, labelled, folder))
    return written


def _write_video(video: str, frames: FrameIndex, folder: Path) -> Path:
    path = folder / f"{video}.tfrecord"
    with whole_file(path) as side, tf.io.TFRecordWriter(str(side)) as writer:
        for row, source in enumerate(frames.paths(slice(None))):
            values = {
                "frame": [_png(Path(source))],
                "video_id": [video.encode()],
                "frame_id": [int(frames.frame[row])],
                "total_frames": [int(frames.frame[-1])],
                "instruments": frames.tools[row].tolist(),
                "phase": [TFRECORD_PHASES.index(PHASES[frames.phase[row]])],
            }
            writer.write(_example(values))
    return path


def _example(values: dict[str, list]) -> bytes:
    """Serialises {feature: bytes or ints}."""

    def feature(content):
        if isinstance(content[0], bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=content))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=content))

    features = {name: feature(content) for name, content in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _png(path: Path) -> bytes:
    if path.suffix.lower() == ".png":
        return path.read_bytes()
    return cv2.imencode(".png", cv2.cvtColor(read_image(path), cv2.COLOR_RGB2BGR))[1].tobytes()
