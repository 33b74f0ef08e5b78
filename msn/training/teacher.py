"""What a teacher says of every frame of a run, computed once: one row for each.

The teacher is an encoder of any kind that `load_encoder` opens, or a table of features that any
program has computed. It says the same of all views of a frame: its features are of the whole frame,
and cost nothing in a step. (Beyer et al., arXiv 2106.05237, show that a teacher that sees each view
teaches better still; it would cost its forward pass in every step.)
"""

import contextlib
import hashlib
import json
import zipfile
from pathlib import PurePath
from types import SimpleNamespace

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from data.batches.batches import batches_of_features
from data.common.compiled_programs import xla_works
from data.common.errors import InputError, one_line
from data.common.logs import logger
from data.common.stopping import StopSignal
from data.frames.frames import Frames
from data.frames.image_frames import ImageFrames
from data.storage.paths import AnyPath
from data.storage.whole import whole_file, write_json
from msn.encoders import facts_in, load_encoder
from msn.formats.files.feature_table import FeatureTable, is_table, open_table
from msn.formats.hub import encoder_path
from msn.formats.onnx_encoder import OnnxEncoder
from msn.networks.encoder import resample_of
from msn.workdir.checkpoint_files import checkpoints
from msn.workdir.content import content_of
from msn.workdir.run_directory import CHECKPOINTS

FEATURES_FILE = "teacher.npz"  # in the run directory: what an encoder has said
CONTENT_FILE = "teacher.json"  # and which one it was
BATCH_SIZE = 64
BLOCK = 4096  # frames that are standardised at once


class Teacher:
    """An encoder or a table, opened, for the frames of a run.

    Args:
      path: of what `load_encoder` opens, or of a table of features.
      given: what the file does not say, arguments of `load_encoder`.
      source: the frames.

    Attributes:
      width: how many numbers it says of a frame.
      content: fingerprint of what it computes.

    Raises:
      InputError: it cannot be opened; a table lacks frames, has them at other times, or says the
        same of all.
    """

    def __init__(self, path: AnyPath, given: dict, source: Frames):
        self.path, self.source, self._said = path, source, None
        if not path.exists():
            raise InputError(
                f"teacher={path}: no such file or directory; expected an encoder, an ONNX file, or "
                "a table of features (.npz, .parquet)"
            )
        try:
            self.opened = open_table(path, given) if is_table(path) else load_encoder(path, **given)
            self.width, self.content = self.opened.width, content_of(self.opened)
            if isinstance(self.opened, FeatureTable):
                self._said, rows = self.opened.of(rows_of(source, self.opened))
                self.opened = None  # the whole table, and what is said of these frames beside it
        except InputError as error:
            raise InputError(f"teacher={error}") from error
        if self._said is not None:
            if missing := len(source) - len(rows):
                raise InputError(
                    f"teacher={path}: {missing} of {len(source)} frames are missing, which the log "
                    "names; expected all of them"
                )
            self._standardise(self._said, np.ones(len(source), bool))

    def check_same(self, workdir: AnyPath) -> None:
        """Raises `InputError` if another one has taught the steps that a run has behind it.

        What runs of earlier versions were taught by is not known, and is not asked.
        """
        file = workdir / CONTENT_FILE
        if not file.is_file() or not checkpoints(workdir / CHECKPOINTS):
            return
        if content_in(file) != self.content:
            raise InputError(
                f"teacher={self.path}: its content is not what has taught the run in {workdir} so "
                "far; expected the same file, or another workdir"
            )

    def features(self, workdir: AnyPath, stop: StopSignal | None = None) -> np.ndarray | None:
        """Of all frames, each dimension with mean 0 and variance 1: float32 [n, width].

        Frames that cannot be read are zeros. The encoder or table is let go.

        Args:
          workdir: keeps which teacher it is, and what an encoder has said; where it has said it of
            these frames, or of the first of them, it is read.
          stop: a signal ends it between two batches; what was said until then is kept.

        Returns:
          None where a signal has ended it.

        Raises:
          InputError: not one frame can be read, or it says the same of all.
        """
        write_json(workdir / CONTENT_FILE, {"content": self.content}, indent=None)
        if self._said is not None:
            said, self._said = self._said, None
            return said
        names = hashlib.sha256(self.content.encode())
        for path in self.source.paths(range(len(self.source))):
            names.update(f"\n{PurePath(path).name}".encode())
        said = self._computed(workdir / FEATURES_FILE, names.hexdigest(), stop)
        self.opened = None
        return said

    def _computed(self, file: AnyPath, names: str, stop: StopSignal | None) -> np.ndarray | None:
        """What `features` returns, of an encoder; `names`: fingerprint of it and the frames."""
        encoder, source = self.opened, self.source
        found = kept(file, names, (len(source), self.width))
        said, known, start = found or (
            np.zeros((len(source), self.width), np.float32),
            np.zeros(len(source), bool),
            0,
        )
        if start < len(source):
            logger.info(
                "teacher=%s: its features of %d frames are computed", self.path, len(source) - start
            )
            # Of XLA's, unless ONNX Runtime has a part in it.
            function = tf.function(
                lambda images: encoder.represent(tf.cast(images, tf.float32)),
                jit_compile=xla_works() and not isinstance(encoder, OnnxEncoder),
                autograph=False,
            )
            batches = batches_of_features(
                *(function, source, encoder.image_size, BATCH_SIZE, "teacher"),
                resample=resample_of(encoder),
                start=start,
            )
            with contextlib.closing(batches):
                for features, rows in batches:
                    said[rows], known[rows], start = features, True, int(rows[-1]) + 1
                    if stop and stop.requested:
                        break
                else:
                    start = len(source)
            if not known.any() and start == len(source):
                raise InputError(f"teacher={self.path}: none of {len(source)} frames can be read")
            with whole_file(file, durable=True) as side, side.open("wb") as opened:
                np.savez(opened, features=said, known=known, start=start, frames=names)
            if start < len(source):
                return None
        self._standardise(said, known)
        return said

    def _standardise(self, said: np.ndarray, known: np.ndarray) -> None:
        """`standardise`; raises `InputError` where nothing is left."""
        standardise(said, known)
        if not said.any():
            raise InputError(
                f"teacher={self.path}: its features are the same for all {known.sum()} frames; "
                "expected some that tell frames apart"
            )


def open_teacher(
    config: ConfigDict, source: Frames, replicas: int, workdir: AnyPath
) -> Teacher | None:
    """The teacher of a configuration for the frames of a run, None without one.

    Raises:
      InputError: as of `Teacher` and its `check_same`; or the batch is shared among replicas.
    """
    if not config.teacher:
        return None
    if replicas > 1:
        raise InputError(
            f"teacher={config.teacher} with {replicas} replicas; expected one, strategy=one_device"
        )
    teacher = Teacher(encoder_path(config.teacher), facts_in(config, "teacher"), source)
    teacher.check_same(workdir)
    return teacher


def content_in(file: AnyPath) -> str | None:
    """The fingerprint of a teacher that a run has kept."""
    try:
        return json.loads(file.read_text())["content"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: damaged; use another workdir") from error


def kept(file: AnyPath, names: str, shape) -> tuple[np.ndarray, np.ndarray, int] | None:
    """What a run has kept: features, which are known, and the first row that was not asked for.

    None where there are none of these frames.
    """
    if not file.is_file():
        return None
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as content:
            if "frames" not in content.files or str(content["frames"]) != names:
                return None
            features, known, start = (content[name] for name in ("features", "known", "start"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        logger.warning("%s: damaged (%s), made again", file, one_line(error))
        return None
    return (features, known, int(start)) if features.shape == shape else None


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


def standardise(features: np.ndarray, known: np.ndarray) -> None:
    """Gives each dimension of [n, width] mean 0 and variance 1 over the known rows, in place.

    Other rows are zero. A dimension that is the same in all frames tells nothing, and is zero.
    Block by block: there may be millions of frames, and a copy of them in float64 beside them.
    """
    count, width = known.sum(), features.shape[1]
    starts = range(0, len(features), BLOCK)
    blocks = [(features[at : at + BLOCK], known[at : at + BLOCK]) for at in starts]
    mean = sum((rows[of].sum(axis=0, dtype=np.float64) for rows, of in blocks), np.zeros(width))
    mean /= count
    std = sum((((rows[of] - mean) ** 2).sum(axis=0) for rows, of in blocks), np.zeros(width))
    std = np.sqrt(std / count)
    scale = np.where(std > 1e-6 * np.abs(mean) + 1e-12, std, np.inf)
    for rows, of in blocks:
        rows[...] = np.where(of[:, None], (rows - mean) / scale, 0)
