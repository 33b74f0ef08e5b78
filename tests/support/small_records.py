"""Tiny record files, written with TensorFlow alone."""

import cv2
import numpy as np
import tensorflow as tf


def encode(number, size=(12, 16)):
    """A PNG file whose grey value is its number."""
    return cv2.imencode(".png", np.full((*size, 3), number, np.uint8))[1].tobytes()


def write_records(path, frame_ids, phase=0, total=None, video_id=b"video01", images=None):
    """One example per frame_id; all of one phase, with a hook.

    Images are encoded files, one each; without them, each is of the grey of its frame_id.
    """
    int64 = {"total_frames": [total or len(frame_ids)], "instruments": [0, 0, 1, 0, 0, 0, 0]}
    with tf.io.TFRecordWriter(str(path)) as writer:
        for place, frame_id in enumerate(frame_ids):
            values = int64 | {"frame_id": [frame_id], "phase": [phase]}
            features = {
                name: tf.train.Feature(int64_list=tf.train.Int64List(value=value))
                for name, value in values.items()
            }
            image = images[place] if images else encode(frame_id)
            for name, value in (("frame", image), ("video_id", video_id)):
                features[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
    return path
