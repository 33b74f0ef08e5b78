"""TF-Cholec80's records: one tf.train.Example per frame, one file per video."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from data.common.errors import InputError
from data.dataset.cholec80 import PHASES, TFRECORD_PHASES, TOOLS

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
            raise InputError(
                f"{file}: example {place} has phase {phase}; expected 0 to {len(PHASES) - 1}"
            )
        first = min(frame_id, 1) if first is None else first
        number, total = frame_id + 1 - first, int(example["total_frames"])
        tools = tuple(example["instruments"].numpy().tolist())
        yield Record(number, OUR_PHASES[phase], tools, example["frame"].numpy())
    if position != file.stat().st_size or first is None:
        raise InputError(f"{file}: ends after {position} bytes, within example {place}")
    if number < total - 1:  # whether all the files' totals are exact is not known
        raise InputError(f"{file}: ends after frame {number} of {total}")
