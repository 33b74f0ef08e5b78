"""What a run asks of its teacher, whatever that sees."""

import abc
import json
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from data.common.compiled_programs import xla_works
from data.common.errors import InputError
from data.common.stopping import StopSignal
from data.storage.paths import AnyPath
from data.storage.whole import write_json
from msn.encoders import load_encoder
from msn.formats.files.feature_table import is_table, open_table
from msn.formats.onnx_encoder import OnnxEncoder
from msn.workdir.checkpoint_files import checkpoints
from msn.workdir.content import content_of
from msn.workdir.run_directory import CHECKPOINTS

CONTENT_FILE = "teacher.json"  # in the run directory: which one it is


class Teacher(abc.ABC):
    """An encoder, or a table of features, opened.

    Args:
      path: of what `load_encoder` opens, or of a table of features.
      given: what the file does not say, arguments of `load_encoder`.

    Attributes:
      opened: it.
      width: how many numbers it says.
      content: fingerprint of what it computes.

    Raises:
      InputError: it cannot be opened.
    """

    def __init__(self, path: AnyPath, given: dict):
        self.path = path
        if not path.exists():
            raise InputError(
                f"teacher={path}: no such file or directory; expected an encoder, an ONNX file, or "
                "a table of features (.npz, .parquet)"
            )
        try:
            self.opened = open_table(path, given) if is_table(path) else load_encoder(path, **given)
            self.width, self.content = self.opened.width, content_of(self.opened)
        except InputError as error:
            raise InputError(f"teacher={error}") from error

    @abc.abstractmethod
    def prepare(
        self, workdir: AnyPath, batches_from: Callable, stop: StopSignal | None = None
    ) -> bool:
        """Does what is done before the first step of a start; the run directory keeps it.

        Args:
          workdir: of the run.
          batches_from: `first_step` -> the batches of the run from there on.
          stop: a signal ends it between two batches.

        Returns:
          False where a signal has ended it.

        Raises:
          InputError: nothing can be read, or it says the same of all.
        """

    @abc.abstractmethod
    def says(self, rows: np.ndarray, views: tf.Tensor) -> np.ndarray:
        """Of the frames in `rows`, or of their anchor views: float32 [n, width], standardised.

        Args:
          rows: int [n], of the frames.
          views: uint8 [n, size, size, 3].
        """

    def check_same(self, workdir: AnyPath) -> None:
        """Raises `InputError` if another one has taught the steps that a run has behind it.

        What runs of earlier versions were taught by is not known, and is not asked.
        """
        if not checkpoints(workdir / CHECKPOINTS):
            return
        noted = self.noted(workdir)
        if noted and noted["content"] != self.content:
            raise InputError(
                f"teacher={self.path}: its content is not what has taught the run in {workdir} so "
                "far; expected the same file, or another workdir"
            )

    def note(self, workdir: AnyPath, **more) -> None:
        """Writes to the run directory which teacher it is, and more about it."""
        write_json(workdir / CONTENT_FILE, {"content": self.content} | more, indent=None)

    def noted(self, workdir: AnyPath) -> dict:
        """What a run has noted of its teacher, {} if nothing; raises `InputError` if damaged."""
        file = workdir / CONTENT_FILE
        if not file.is_file():
            return {}
        try:
            noted = json.loads(file.read_text())
            return {**noted, "content": noted["content"]}
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{file}: damaged; use another workdir") from error

    def same_of_all(self, what: str) -> InputError:
        """The error of a teacher that says the same of all; `what` it was asked of, counted."""
        return InputError(
            f"teacher={self.path}: its features are the same for all {what}; expected some that "
            "tell them apart"
        )


def compiled(encoder) -> Callable:
    """Images uint8 [n, image_size, image_size, 3] -> what an encoder says of them [n, width]."""
    return tf.function(
        lambda images: encoder.represent(tf.cast(images, tf.float32)),
        jit_compile=xla_works() and not isinstance(encoder, OnnxEncoder),  # ONNX Runtime runs it
        autograph=False,
    )
