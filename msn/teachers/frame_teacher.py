"""What a teacher says of every frame of a run, computed once: one row for each.

It says the same of all views of a frame: its features are of the whole frame, and cost nothing in a
step.
"""

import contextlib
import hashlib
import zipfile
from collections.abc import Callable
from pathlib import PurePath
from types import SimpleNamespace

import numpy as np
import tensorflow as tf

from data.batches.batches import batches_of_features
from data.common.errors import InputError, one_line
from data.common.logs import logger
from data.common.stopping import StopSignal
from data.frames.frames import Frames
from data.frames.image_frames import ImageFrames
from data.storage.paths import AnyPath
from data.storage.whole import whole_file
from msn.formats.files.feature_table import FeatureTable
from msn.networks.encoder import resample_of
from msn.teachers.standardising import standardise
from msn.teachers.teacher import Teacher, compiled

FEATURES_FILE = "teacher.npz"  # in the run directory: what an encoder has said
BATCH_SIZE = 64


class FrameTeacher(Teacher):
    """A teacher that is asked once of every frame of a run.

    Args:
      path, given: as of `Teacher`.
      source: the frames.

    Raises:
      InputError: it cannot be opened; a table lacks frames, has them at other times, or says the
        same of all.
    """

    def __init__(self, path: AnyPath, given: dict, source: Frames):
        super().__init__(path, given)
        self.source, self.said = source, None
        if not isinstance(self.opened, FeatureTable):
            return
        try:
            self.said, rows = self.opened.of(rows_of(source, self.opened))
        except InputError as error:
            raise InputError(f"teacher={error}") from error
        self.opened = None  # the whole table, and what is said of these frames beside it
        if missing := len(source) - len(rows):
            raise InputError(
                f"teacher={path}: {missing} of {len(source)} frames are missing, which the log "
                "names; expected all of them"
            )
        self._standardise(np.ones(len(source), bool))

    def prepare(
        self, workdir: AnyPath, batches_from: Callable, stop: StopSignal | None = None
    ) -> bool:
        """Asks an encoder of all frames, unless the run directory has it; lets it go then."""
        self.note(workdir)
        if self.said is not None:
            return True
        names = hashlib.sha256(self.content.encode())
        for path in self.source.paths(range(len(self.source))):
            names.update(f"\n{PurePath(path).name}".encode())
        return self._ask(workdir / FEATURES_FILE, names.hexdigest(), stop)

    def says(self, rows: np.ndarray, views: tf.Tensor) -> np.ndarray:
        """Of frames; zeros of those that cannot be read. `views` do not matter."""
        return self.said[rows]

    def _ask(self, file: AnyPath, names: str, stop: StopSignal | None) -> bool:
        """What `prepare` does, of an encoder; `names`: fingerprint of it and the frames."""
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
            function = compiled(encoder)
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
                return False
        self.said, self.opened = said, None
        self._standardise(known)
        return True

    def _standardise(self, known: np.ndarray) -> None:
        """`standardise`; raises `InputError` where nothing is left."""
        standardise(self.said, known)
        if not self.said.any():
            raise self.same_of_all(f"{known.sum()} frames")


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
