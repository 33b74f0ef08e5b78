"""Record files of a dataset, as TF-Cholec80 has them."""

import logging
from pathlib import Path

import cv2
import tensorflow as tf

from data.common.errors import InputError
from data.dataset.cholec80 import PHASES, TFRECORD_PHASES, video_name
from data.dataset.frame_index import FrameIndex
from data.images.image_io import read_image
from data.tfrecords.files import video_of_record


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
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row, source in enumerate(frames.paths(slice(None))):
            values = {
                "frame": [_png(Path(source))],
                "video_id": [video.encode()],
                "frame_id": [int(frames.frame[row])],
                "total_frames": [int(frames.frame[-1])],
                "instruments": frames.tools[row].tolist(),
                "phase": [TFRECORD_PHASES.index(PHASES[frames.phase[row]])],
            }
            writer.write(serialise(values))
    return path


def serialise(values: dict[str, list]) -> bytes:
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
