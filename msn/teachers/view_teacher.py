"""What a teacher says of every anchor view: it is asked in each step, of what the student sees.

"Consistent teaching" of Beyer et al., arXiv 2106.05237: a teacher that sees the same crop and the
same colours teaches more than one whose features of the whole frame serve all crops of it. It costs
its forward pass in every step. In short runs here it gained nothing (docs/recipes.md).
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from data.common.errors import InputError
from data.common.logs import logger
from data.common.stopping import StopSignal
from data.images.image_io import frame_to_input
from data.storage.paths import AnyPath
from msn.formats.files.feature_table import FeatureTable
from msn.networks.encoder import resample_of
from msn.teachers.standardising import mean_and_deviation
from msn.teachers.teacher import Teacher, compiled

VIEWS = 1024  # at least so many of the run's first say what mean and variance the features have


class ViewTeacher(Teacher):
    """A teacher that is asked of every anchor view.

    Args:
      path, given: as of `Teacher`.

    Raises:
      InputError: it cannot be opened, or it is a table.
    """

    def __init__(self, path: AnyPath, given: dict):
        super().__init__(path, given)
        if isinstance(self.opened, FeatureTable):
            raise InputError(
                f"teacher={path}: a table, of whole frames, with teacher_sees=view; expected an "
                "encoder or an ONNX file, or --config.teacher_sees=frame"
            )
        self.represent = compiled(self.opened)
        self.mean = self.scale = None

    def prepare(
        self, workdir: AnyPath, batches_from: Callable, stop: StopSignal | None = None
    ) -> bool:
        """Measures the mean and variance of its features over the run's first views.

        The run directory keeps them: the steps after a stop are taught the same as those before.
        """
        noted = self.noted(workdir)
        if noted.get("content") == self.content and {"mean", "scale"} <= noted.keys():
            self.mean, self.scale = (np.float32(noted[name]) for name in ("mean", "scale"))
            return True
        logger.info("teacher=%s: its features of %d views are computed", self.path, VIEWS)
        said = []
        for batch in batches_from(first_step=0):
            said.append(self._ask(batch["anchor"]))
            if stop and stop.requested:
                return False
            if sum(map(len, said)) >= VIEWS:
                break
        if not said:
            return True  # a run without steps asks nothing
        mean, deviation = mean_and_deviation([(rows, np.ones(len(rows), bool)) for rows in said])
        if np.isinf(deviation).all():
            raise self.same_of_all(f"{sum(map(len, said))} views")
        self.mean, self.scale = np.float32(mean), np.float32(1 / deviation)
        self.note(workdir, mean=self.mean.tolist(), scale=self.scale.tolist())
        return True

    def says(self, rows: np.ndarray, views: tf.Tensor) -> np.ndarray:
        """Of anchor views; `rows`, those of their frames, do not matter."""
        return (self._ask(views) - self.mean) * self.scale

    def _ask(self, views: tf.Tensor) -> np.ndarray:
        """uint8 [n, size, size, 3], resized as frames are -> float32 [n, width]."""
        size, resample = self.opened.image_size, resample_of(self.opened)
        images = [frame_to_input(view, size, resample) for view in views.numpy()]
        return self.represent(tf.constant(np.stack(images))).numpy()
