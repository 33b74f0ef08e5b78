"""What a teacher says of every frame of a run, computed once: one row for each.

The teacher is an encoder of any kind that `load_encoder` opens, or a table of features that any
program has computed. It says the same of all views of a frame: its features are of the whole frame,
and cost nothing in a step. (Beyer et al., arXiv 2106.05237, show that a teacher that sees each view
teaches better still; it would cost its forward pass in every step.)
"""

import hashlib
import logging
import zipfile
from pathlib import PurePath
from types import SimpleNamespace

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from data.common.errors import InputError, one_line
from data.frames.batches import batches_of_features
from data.frames.frames import Frames, ImageFrames
from data.storage.paths import AnyPath
from data.storage.whole import whole_file
from msn.encoders import facts_in, load_encoder
from msn.formats.files.feature_table import FeatureTable, is_table, open_table
from msn.formats.hub import encoder_path
from msn.formats.onnx_encoder import OnnxEncoder
from msn.networks.encoder import resample_of

FEATURES_FILE = "teacher.npz"  # in the run directory: what an encoder has said
BATCH_SIZE = 64


class Teacher:
    """An encoder or a table, opened, for the frames of a run.

    Args:
      path: of what `load_encoder` opens, or of a table of features.
      given: what the file does not say, arguments of `load_encoder`.
      source: the frames.

    Attributes:
      width: how many numbers it says of a frame.

    Raises:
      InputError: it cannot be opened; a table lacks frames, or has them at other times.
    """

    def __init__(self, path: AnyPath, given: dict, source: Frames):
        self.path, self.source, self._found = path, source, None
        try:
            self.opened = open_table(path, given) if is_table(path) else load_encoder(path, **given)
            if isinstance(self.opened, FeatureTable):
                self._found = self.opened.of(rows_of(source, self.opened))
        except InputError as error:
            raise InputError(f"teacher={error}") from error
        self.width = self.opened.width
        if self._found and (missing := len(source) - len(self._found[1])):
            raise InputError(
                f"teacher={path}: {missing} of {len(source)} frames are missing, which the log "
                "names; expected all of them"
            )

    def features(self, file: AnyPath) -> np.ndarray:
        """Of all frames, each dimension with mean 0 and variance 1: float32 [n, width].

        Frames that cannot be read are zeros.

        Args:
          file: keeps what an encoder has said; where it has said it of these frames, it is read.

        Raises:
          InputError: not one frame can be read.
        """
        source = self.source
        if self._found:
            return standardised(self._found, len(source))
        names = hashlib.sha256(
            "\n".join(PurePath(path).name for path in source.paths(range(len(source)))).encode()
        ).hexdigest()
        found = kept(file, names, self.width)
        if found is None:
            features, rows = found = self._computed()
            with whole_file(file, durable=True) as side, side.open("wb") as opened:
                np.savez(opened, features=features, rows=rows, frames=names)
        return standardised(found, len(source))

    def _computed(self):
        """Features of the frames that can be read, and their rows."""
        encoder, source = self.opened, self.source
        logging.info("teacher=%s: its features of %d frames are computed", self.path, len(source))
        # Of XLA's, unless ONNX Runtime has a part in it.
        function = tf.function(
            lambda images: encoder.represent(tf.cast(images, tf.float32)),
            jit_compile=not isinstance(encoder, OnnxEncoder),
            autograph=False,
        )
        batches = list(
            batches_of_features(
                *(function, source, encoder.image_size, BATCH_SIZE, "teacher"),
                resample=resample_of(encoder),
            )
        )
        if not batches:
            raise InputError(f"teacher={self.path}: none of {len(source)} frames can be read")
        features, rows = zip(*batches, strict=True)
        return np.concatenate(features).astype(np.float32), np.concatenate(rows)


def open_teacher(config: ConfigDict, source: Frames, replicas: int) -> Teacher | None:
    """The teacher of a configuration for the frames of a run, None without one.

    Raises:
      InputError: as of `Teacher`; or the batch is shared among replicas.
    """
    if not config.teacher:
        return None
    if replicas > 1:
        raise InputError(
            f"teacher={config.teacher} with {replicas} replicas; expected one, strategy=one_device"
        )
    return Teacher(encoder_path(config.teacher), facts_in(config, "teacher"), source)


def kept(file: AnyPath, names: str, width: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Features and rows that a run has kept; None where there are none of these frames."""
    if not file.is_file():
        return None
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as content:
            features, rows, of = (content[name] for name in ("features", "rows", "frames"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        logging.warning("%s: damaged (%s), made again", file, one_line(error))
        return None
    return (features, rows) if str(of) == names and features.shape[1] == width else None


def rows_of(source: Frames, table: FeatureTable):
    """What a table of features is asked for: an index, or as much of one as videos tell.

    Raises:
      InputError: the table has numbers of files, or times, that these frames have not.
    """
    if isinstance(source, ImageFrames):
        return source.index
    if table.key != "second" or np.isnan(source.second).any():
        raise InputError(
            f"{table.file}: has the column {table.key}; expected second, of videos whose clock is "
            "known, or data.source=images"
        )
    fps = np.full(len(source.videos), source.fps or 1.0)
    return SimpleNamespace(videos=source.videos, video=source.video, second=source.second, fps=fps)


def standardised(found: tuple[np.ndarray, np.ndarray], count: int) -> np.ndarray:
    """(Features [known, width], their rows) -> float32 [count, width], zeros in other rows.

    A dimension that is the same in all frames tells nothing, and is zero.
    """
    features, rows = found
    mean, std = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    every = np.zeros((count, features.shape[1]), np.float32)
    every[rows] = (features - mean) / np.where(std > 1e-6 * np.abs(mean) + 1e-12, std, np.inf)
    return every
