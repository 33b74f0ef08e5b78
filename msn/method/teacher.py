"""A teacher beside MSN: the anchor network also says what another encoder says of the same frame.

Small corpora teach a network little from scratch; an encoder that was trained on many images knows
more than they hold, whatever its architecture. What it says of a frame is regressed, as by Romero
et al. (FitNets), arXiv 1412.6550, from the anchor view, masked as for MSN, so that the student has
to infer the whole frame. The regressors are linear: what is regressed must be in the features, not
in a head that is thrown away. CLS and the mean of the patches have one each: both can be probed.

The loss is one minus the cosine, as in AM-RADIO, arXiv 2312.06709, of features whose dimensions
were standardised, each by itself: else a few of large variance are all that counts. (Ranzinger et
al., arXiv 2410.01680, compare this with one scale for all of them, which serves their students
better; beside MSN it was not measured.)
"""

import keras
import numpy as np

from msn.method.losses import l2_normalise
from msn.networks.blocks import at_least_float32, dense


class TeacherHead(keras.Model):
    """Regressors of a teacher's features from CLS and from the mean of the patches.

    Args:
      input_dim: width of the student.
      output_dim: width of the teacher.
      seed: int or None; of the random initialisation.

    Call arguments:
      pair: float [n, 2 * input_dim]: CLS, then the mean of the patches.

    Returns:
      both regressions, [2, n, output_dim].
    """

    def __init__(self, input_dim, output_dim, seed=None, name=None, dtype="float32"):
        super().__init__(name=name, dtype=dtype)
        self.input_dim = input_dim
        self.output_dim = output_dim
        seeds = np.random.default_rng(seed)
        self.of_cls = dense(output_dim, seeds, "of_cls", dtype)
        self.of_patches = dense(output_dim, seeds, "of_patches", dtype)
        self.of_cls.build((None, input_dim))
        self.of_patches.build((None, input_dim))
        self.built = True

    def call(self, pair):
        cls, patches = pair[:, : self.input_dim], pair[:, self.input_dim :]
        return keras.ops.stack([self.of_cls(cls), self.of_patches(patches)])


def teacher_loss(regressions, said):
    """Mean over both regressions and all images of 1 - cosine, a scalar.

    Args:
      regressions: of a `TeacherHead`, [2, n, width].
      said: the teacher's features [n, width]. An image of zeros, of which it says nothing, has no
        gradient.
    """
    said = l2_normalise(at_least_float32(said))
    cosine = keras.ops.sum(l2_normalise(at_least_float32(regressions)) * said, axis=-1)
    return 1 - keras.ops.mean(cosine)
