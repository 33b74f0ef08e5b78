"""Tiny record files, written with TensorFlow alone."""

import cv2
import numpy as np
import tensorflow as tf

from tests.support.record_files import serialise


def encode(number, size=(12, 16)):
    """A PNG file whose grey value is its number."""
    return cv2.imencode(".png", np.full((*size, 3), number, np.uint8))[1].tobytes()


def write_records(path, frame_ids, phase=0, total=None, video_id=b"video01", images=None):
    """One example per frame_id; all of one phase, with a hook.

    Images are encoded files, one each; without them, each is of the grey of its frame_id.
    """
    with tf.io.TFRecordWriter(str(path)) as writer:
        for place, frame_id in enumerate(frame_ids):
            values = {
                "frame": [images[place] if images else encode(frame_id)],
                "video_id": [video_id],
                "frame_id": [frame_id],
                "total_frames": [total or len(frame_ids)],
                "instruments": [0, 0, 1, 0, 0, 0, 0],
                "phase": [phase],
            }
            writer.write(serialise(values))
    return path
