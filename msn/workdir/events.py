"""TensorBoard's events of a run: one file for each time that it was started."""

import contextlib
import tempfile
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from data.storage.folders import copy_file
from data.storage.paths import AnyPath, is_remote


class Events:
    """A file of events; methods raise `OSError` or TensorFlow's errors on a full disk.

    TensorFlow writes it to disks alone: on an object store it is a copy, made when it is synced.

    Args:
      folder: where the file is made.
    """

    def __init__(self, folder: AnyPath):
        self._folder, self._stack = folder, contextlib.ExitStack()
        self._local = folder
        if is_remote(folder):
            self._local = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._writer = tf.summary.create_file_writer(str(self._local))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        with self._writer.as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, step=step)

    def hide_after(self, step: int) -> None:
        """TensorBoard forgets what came before where it reads that a new session starts."""
        status = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
        start = tf.compat.v1.Event(step=step + 1, session_log=status)
        resource = self._writer._resource  # tf.summary itself writes no events but summaries
        tf.raw_ops.ImportEvent(writer=resource, event=start.SerializeToString())

    def sync(self) -> None:
        self._writer.flush()
        if is_remote(self._folder):
            for file in self._local.iterdir():
                copy_file(file, self._folder / file.name)

    def close(self) -> None:
        with self._stack:
            self.sync()
            self._writer.close()
