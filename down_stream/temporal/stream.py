"""A causal temporal model on a running video: one second at a time, in constant memory."""

import numpy as np
from keras import ops


class Stream:
    """Phase probabilities of a running video, second by second.

    Made by `TemporalModel.stream()`, with a copy of its weights. What a dilated layer needs of the
    past is kept in a ring of 2 x dilation inputs; time and memory per second do not depend on how
    long the video has been running. The probabilities are those of the whole video.

    Example:
      stream = model.stream()
      for second, feature in enumerate(features):
          probabilities = stream.step(feature, second)
    """

    def __init__(self, model):
        self._mean = ops.convert_to_numpy(model.feature_mean)
        self._std = ops.convert_to_numpy(model.feature_std)
        self._stages = [_StreamedStage(stage) for stage in model.stages]
        self._longest_memory = model.receptive_field
        self._second = self._feature = None

    def step(self, feature: np.ndarray, second: int | None = None) -> np.ndarray:
        """The probabilities in the next second.

        Args:
          feature: float [width], of the frame.
          second: int, its time; None for the second after the one before. For every second that
            is left out, the frame before it is taken to be still there (`on_seconds`).

        Returns:
          float32 [classes].

        Raises:
          ValueError: `second` is not later than the one before.
        """
        if self._second is None:
            self._second = -1 if second is None else second - 1
        second = self._second + 1 if second is None else second
        missing = second - self._second - 1
        if missing < 0:
            raise ValueError(f"second {second} after second {self._second}: time runs forwards")
        # A frame held for longer than the network remembers is all it remembers.
        for _ in range(min(missing, self._longest_memory)):
            self._advance(self._feature)
        self._second = second
        self._feature = np.array(feature, np.float32)
        return self._advance(self._feature)

    def _advance(self, feature):
        x = (feature - self._mean) / self._std
        for stage in self._stages:
            x = stage.step(x)
        return x


class _StreamedStage:
    """One stage in one second: its input [width] -> probabilities [classes]."""

    def __init__(self, stage):
        self.reduce, self.classify = _dense(stage.reduce), _dense(stage.classify)
        self.residuals = [_StreamedResidual(residual) for residual in stage.residuals]

    def step(self, x):
        x = self.reduce(x)
        for residual in self.residuals:
            x = residual.step(x)
        logits = self.classify(x)
        exponentials = np.exp(logits - logits.max())
        return exponentials / exponentials.sum()


class _StreamedResidual:
    """One dilated layer, with the inputs of the last 2 x dilation seconds."""

    def __init__(self, residual):
        self.dilation = residual.dilation
        self.convolution, self.projection = (
            _dense(residual.convolution),
            _dense(residual.projection),
        )
        num_maps = residual.projection.bias.shape[0]
        # Zeros, as the causal convolution sees them before the first second.
        self.past = np.zeros((2 * self.dilation, num_maps), np.float32)
        self.slot = 0  # of what was put in 2 x dilation seconds ago, and of what is put in now

    def step(self, x):
        oldest, middle = self.past[self.slot], self.past[self.slot - self.dilation]
        hidden = self.convolution(np.concatenate([oldest, middle, x]))
        self.past[self.slot] = x
        self.slot = (self.slot + 1) % len(self.past)
        return x + self.projection(np.maximum(hidden, 0))


def _dense(layer):
    """A layer's product with its weights, as a function of one vector.

    The kernel of a convolution, [3, maps, maps], becomes a matrix for three inputs in a row.
    """
    kernel, bias = ops.convert_to_numpy(layer.kernel), ops.convert_to_numpy(layer.bias)
    kernel = kernel.reshape(-1, kernel.shape[-1])
    return lambda x: x @ kernel + bias
