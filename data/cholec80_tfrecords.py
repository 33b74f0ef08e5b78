"""tf.data loaders over TF-Cholec80's record files.

Source: CAMMA-public/TF-Cholec80 (readme.md; tf_cholec80/dataset.py: features, modes and end_flag;
tf_cholec80/configs/config.json: keys and defaults). One file per video, one example per second of
it, in order. Phases are numbered in an order of their own: `cholec80.TFRECORD_PHASES`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from data.batches.prefetching import prefetched
from data.common.errors import InputError, some
from data.dataset.cholec80 import video_name
from data.storage.folders import local_copy
from data.storage.paths import is_remote, to_path
from data.tfrecords.files import find_records
from data.tfrecords.records import FEATURES, OUR_PHASES

MODES = ("FRAME", "VIDEO", "INFER")
# Where prepare.py unpacks to as the README calls it, and TF-Cholec80's defaults.
CONFIG = {
    "cholec80_dir": "datasets/cholec80",
    "n_batch_shuffle": 256,
    "n_file_shuffle": 80,
    "n_interleave_block": 4,
    "n_interleave_cycle": 6,
    "n_parallel_interleave_calls": 4,
    "n_parallel_parse_calls": 4,
    "n_prefetch": 4,
}


def make_cholec80(
    n_minibatch: int,
    config_path: str | Path | None = None,
    video_ids: Sequence[int] | None = None,
    mode: str = "FRAME",
) -> tf.data.Dataset:
    """Batches of annotated frames, with TF-Cholec80's signature, features and modes.

    Args:
      n_minibatch: frames in a batch; the last, or a video's last, may be smaller.
      config_path: JSON file with some of the keys of CONFIG, of which "cholec80_dir" is the folder
        with the record files, on a disk or an object store; None for CONFIG itself.
      video_ids: videos counted from 0: 0 is video01, whichever files are there. None for all that
        are.
      mode: "FRAME": videos are shuffled, their frames interleaved and batched, the batches
        shuffled; "VIDEO": videos are shuffled, their frames come in order, and no batch spans two
        videos; "INFER": as VIDEO without any shuffling, in the order of `video_ids`.

    Returns:
      Dataset of dicts: "frame" uint8 [batch, height, width, 3], RGB; "video_id" string [batch];
      "frame_id" and "total_frames" int64 [batch]; "instruments" int64 [batch, 7], 0 or 1 in the
      order of `cholec80.TOOLS`; "phase" int64 [batch], ids as in `cholec80.PHASES`, not the
      files' own; "end_flag" bool [], whether the batch is a video's last, always false in FRAME
      mode.

    Raises:
      InputError: an argument or the configuration is wrong, or a record file is missing.
    """
    if mode not in MODES:
        raise InputError(f"mode={mode!r}; expected one of {', '.join(MODES)}")
    if n_minibatch < 1:
        raise InputError(f"n_minibatch={n_minibatch}: expected 1 or more")
    config = read_config(config_path)
    files = tf.data.Dataset.from_tensor_slices(_select(config["cholec80_dir"], video_ids))
    if mode != "INFER":
        files = files.shuffle(config["n_file_shuffle"])
    if mode == "FRAME":
        dataset = _frame_batches(files, n_minibatch, config)
    else:
        dataset = files.flat_map(lambda file: _video_batches(file, n_minibatch, config))
    return prefetched(dataset, config["n_prefetch"])


def read_config(path: str | Path | None) -> dict:
    """CONFIG, with what a JSON file says.

    Args:
      path: of the file; None for CONFIG as it is.

    Returns:
      The configuration, with the keys of CONFIG.

    Raises:
      InputError: the file cannot be used.
    """
    if path is None:
        return CONFIG
    try:
        config = json.loads(Path(path).read_text())
    except OSError as error:
        raise InputError(f"{path}: cannot be read; expected a JSON file") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from error
    if not isinstance(config, dict) or set(config) - set(CONFIG):
        raise InputError(f"{path}: {str(config)[:80]}; expected the keys {', '.join(CONFIG)}")
    return CONFIG | config


def _select(folder: str, video_ids: Sequence[int] | None) -> list[str]:
    """The record files of the videos, which are counted from 0."""
    records = find_records(to_path(folder).expanduser())
    if not records:
        raise InputError(f'{folder}: no record files in it; set "cholec80_dir" in the config file')
    if video_ids is None:
        return [str(file) for file in records.values()]
    names = [video_name(number + 1) for number in video_ids]
    if not names:
        raise InputError("video_ids is empty; expected numbers of videos, or None for all")
    if missing := [name for name in names if name not in records]:
        raise InputError(f"{folder}: no record files of {some(missing)}")
    return [str(records[name]) for name in names]


def _frame_batches(files, n_minibatch, config):
    """Batches over several videos at a time; shuffled before they are decoded, to save memory."""
    records = files.interleave(
        _opener(config),
        num_parallel_calls=config["n_parallel_interleave_calls"],
        cycle_length=config["n_interleave_cycle"],
        block_length=config["n_interleave_block"],
    )
    batches = records.batch(n_minibatch).shuffle(config["n_batch_shuffle"])
    return batches.map(
        lambda batch: _parse(batch) | {"end_flag": tf.constant(False)},
        num_parallel_calls=config["n_parallel_parse_calls"],
    )


def _video_batches(file, n_minibatch, config):
    """Batches of one video, in order; the last says so."""
    records = _opener(config)(file)
    frame_id = {"frame_id": FEATURES["frame_id"]}
    heads = records.take(1).map(lambda record: tf.io.parse_single_example(record, frame_id))
    first = tf.minimum(heads.get_single_element()["frame_id"], 1)  # they count from 0 or from 1

    def parse(batch):
        parsed = _parse(batch)
        last = tf.reduce_max(parsed["frame_id"]) - first + 1
        return parsed | {"end_flag": last == parsed["total_frames"][-1]}

    calls = config["n_parallel_parse_calls"]
    return records.batch(n_minibatch).map(parse, num_parallel_calls=calls)


def _opener(config):
    """What makes a dataset of a record file's examples: TensorFlow opens those on a disk alone."""
    return _remote_records if is_remote(config["cholec80_dir"]) else tf.data.TFRecordDataset


def _remote_records(file: tf.Tensor) -> tf.data.Dataset:
    def read(name):
        with local_copy(to_path(name.decode())) as copy:
            yield from tf.data.TFRecordDataset(str(copy)).as_numpy_iterator()

    example = tf.TensorSpec((), tf.string)
    return tf.data.Dataset.from_generator(read, args=(file,), output_signature=example)


def _parse(batch):
    parsed = tf.io.parse_example(batch, FEATURES)
    image = tf.TensorSpec((None, None, 3), tf.uint8)
    decode = tf.function(lambda encoded: tf.io.decode_png(encoded, channels=3))
    parsed["frame"] = tf.map_fn(decode, parsed["frame"], fn_output_signature=image)
    parsed["phase"] = tf.gather(tf.constant(OUR_PHASES, tf.int64), parsed["phase"])
    return parsed
