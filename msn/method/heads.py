"""The projection head between the encoder and the prototypes.

Sources: Assran et al., arXiv 2204.07141, appendix (3-layer MLP with batch normalisation,
2048-2048-256); facebookresearch/msn (GELU, initialisation); PyTorch's BatchNorm1d conventions.
"""

import keras
import numpy as np

from msn.networks.blocks import GELU, BatchNorm, dense


class ProjectionHead(keras.Model):
    """dense, batch norm, GELU, dense, batch norm, GELU, dense: [n, input_dim] -> [n, output_dim].

    Args:
      input_dim, hidden_dim, output_dim: ints.
      seed: int or None; of the random initialisation.

    Call arguments:
      embeddings: float [n, input_dim]. What enters together shares batch statistics.
      training: bool; with True, batch statistics are used and the running ones move.
    """

    def __init__(
        self, input_dim, hidden_dim=2048, output_dim=256, seed=None, name=None, dtype="float32"
    ):
        super().__init__(name=name, dtype=dtype)
        self.input_dim = input_dim
        self.hidden_dim = hidden_dim
        self.output_dim = output_dim
        seeds = np.random.default_rng(seed)
        self.fc1 = dense(hidden_dim, seeds, "fc1", dtype)
        self.bn1 = BatchNorm(hidden_dim, name="bn1", dtype=dtype)
        self.fc2 = dense(hidden_dim, seeds, "fc2", dtype)
        self.bn2 = BatchNorm(hidden_dim, name="bn2", dtype=dtype)
        self.fc3 = dense(output_dim, seeds, "fc3", dtype)
        self.fc1.build((None, input_dim))
        self.fc2.build((None, hidden_dim))
        self.fc3.build((None, hidden_dim))
        self.built = True

    def call(self, embeddings, training=False):
        hidden = GELU["erf"](self.bn1(self.fc1(embeddings), training=training))
        hidden = GELU["erf"](self.bn2(self.fc2(hidden), training=training))
        return self.fc3(hidden)
