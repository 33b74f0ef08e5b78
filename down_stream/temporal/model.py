"""The second stage: a temporal convolutional network over the frame features of a whole video.

TeCNO (Czempiel et al., MICCAI 2020, arXiv 2003.10751) is MS-TCN (Abu Farha and Gall, CVPR 2019,
arXiv 1903.01945) with causal convolutions: the phase of a second follows from what was seen until
then, so that a running operation can be labelled. MS-TCN's symmetric convolutions, which see the
future, too, are here for comparison (`causal=False`).
"""

import json
from pathlib import Path

import keras
import numpy as np
from keras import ops

from data.common.errors import InputError
from data.storage.paths import AnyPath
from data.storage.whole import whole_folder
from down_stream.classifiers.frame_model import (
    add_standardisation,
    opened,
    read_weights,
    write_weights,
)
from down_stream.temporal.stream import Stream
from msn.networks.blocks import draw_seed

MODEL_FILE = "temporal.json"
WEIGHTS_FILE = "temporal.npz"
FORMAT = "temporal model 1"
KERNEL_SIZE = 3


class DilatedResidual(keras.layers.Layer):
    """x + W2 ReLU(W1 * x): TeCNO's layer, a dilated convolution over time and a matrix.

    Args:
      num_maps: int, width of input and output.
      dilation: int, seconds between the three inputs of the convolution.
      causal: whether these are the present and two past ones, or a past, the present and a future.
      dropout: share of the residual that is dropped in training.
      seeds: `numpy.random.Generator`, of initialisation and dropout.

    Call arguments:
      x: float [batch, time, num_maps].
      present: float [batch, time, 1], 1 for a second of the video, 0 for one that fills it up.

    Returns:
      float [batch, time, num_maps].
    """

    def __init__(self, num_maps, dilation, causal, dropout, seeds, name=None):
        super().__init__(name=name, dtype="float32")
        self.dilation = dilation
        self.convolution = keras.layers.Conv1D(
            num_maps,
            KERNEL_SIZE,
            dilation_rate=dilation,
            padding="causal" if causal else "same",
            kernel_initializer=_initializer(seeds),
            data_format="channels_last",
            dtype="float32",
        )
        self.projection = _dense(num_maps, seeds)
        self.dropout = keras.layers.Dropout(dropout, seed=draw_seed(seeds), dtype="float32")
        self.convolution.build((None, None, num_maps))
        self.projection.build((None, None, num_maps))
        self.built = True

    def call(self, x, present, training=False):
        # What fills up a video must look like the zeros beyond its ends.
        change = self.projection(self._convolved(x * present))
        return x + self.dropout(change, training=training)

    def _convolved(self, x):
        """The convolution as a product of its three inputs side by side with all of its weights.

        The same sums, but on CPUs the gradient of a dilated convolution is slow: an update takes
        0.7 of the time with videos of two minutes, 0.9 of it with those of an hour.
        """
        time, kernel = ops.shape(x)[1], self.convolution.kernel
        past = 2 * self.dilation if self.convolution.padding == "causal" else self.dilation
        padded = ops.pad(x, ((0, 0), (past, 2 * self.dilation - past), (0, 0)))
        starts = (0, self.dilation, 2 * self.dilation)
        inputs = ops.concatenate([padded[:, start : start + time] for start in starts], axis=-1)
        product = ops.matmul(inputs, ops.reshape(kernel, (-1, kernel.shape[-1])))
        return ops.relu(product + self.convolution.bias)


class Stage(keras.layers.Layer):
    """Features or probabilities of all seconds -> logits: layers of dilation 1, 2, 4, ...

    Args:
      width: int, of the input.
      num_classes, num_layers, num_maps, causal, dropout: as `TemporalModel` takes them.
      seeds: `numpy.random.Generator`.
    """

    def __init__(self, width, num_classes, num_layers, num_maps, causal, dropout, seeds, name=None):
        super().__init__(name=name, dtype="float32")
        self.reduce = _dense(num_maps, seeds)
        self.residuals = [
            DilatedResidual(num_maps, 2**i, causal, dropout, seeds) for i in range(num_layers)
        ]
        self.classify = _dense(num_classes, seeds)
        self.reduce.build((None, None, width))
        self.classify.build((None, None, num_maps))
        self.built = True

    def call(self, x, present, training=False):
        x = self.reduce(x)
        for residual in self.residuals:
            x = residual(x, present, training=training)
        return self.classify(x)


class TemporalModel(keras.Model):
    """Features of every second of a video -> logits of every stage.

    The first stage sees the features, every other one the probabilities of the one before, which
    it smooths. By default 2 stages of 9 layers, as in TeCNO's code (github.com/tobiascz/TeCNO,
    config_tcn.yml; it has 45 maps), with MS-TCN's 64 maps and dropout.

    Args:
      width: int, of the features.
      num_classes: int.
      num_stages, num_layers: ints; a stage of n layers sees 2^(n + 1) - 1 seconds.
      num_maps: int, width of the layers.
      dropout: in training.
      causal: whether only the past counts (TeCNO), or the future, too (MS-TCN).
      mean, std: float [width], of the training features; both kept with the weights.
      seed: int or None; of initialisation and dropout.

    Call arguments:
      inputs: features float [batch, time, width] at one per second, and present float
        [batch, time], 1 for a second of the video and 0 for what fills it up at its end, which
        changes nothing.

    Returns:
      logits float [batch, num_stages, time, num_classes]; the last stage's are the result.
    """

    def __init__(
        self,
        width,
        num_classes,
        num_stages=2,
        num_layers=9,
        num_maps=64,
        dropout=0.5,
        causal=True,
        mean=0.0,
        std=1.0,
        seed=None,
        name=None,
    ):
        super().__init__(name=name, dtype="float32")
        self.width, self.num_classes, self.num_stages = width, num_classes, num_stages
        self.num_layers, self.num_maps = num_layers, num_maps
        self.dropout, self.causal = dropout, causal
        add_standardisation(self, width, mean, std)
        seeds = np.random.default_rng(seed)
        sizes = (num_classes, num_layers, num_maps, causal, dropout, seeds)
        self.stages = [Stage(num_classes if i else width, *sizes) for i in range(num_stages)]
        self.built = True

    @property
    def receptive_field(self) -> int:
        """How many seconds a prediction depends on, its own included."""
        return 1 + self.num_stages * (KERNEL_SIZE - 1) * (2**self.num_layers - 1)

    def call(self, inputs, training=False):
        features, present = inputs
        present = ops.expand_dims(present, axis=-1)
        x = (features - self.feature_mean) / self.feature_std
        logits = []
        for stage in self.stages:
            x = ops.softmax(logits[-1]) if logits else x
            logits.append(stage(x, present, training=training))
        return ops.stack(logits, axis=1)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Features [time, width] of one whole video -> probabilities float32 [time, classes]."""
        time = len(features)
        logits = self.predict_on_batch(fill_up(features))[0, -1, :time]
        return ops.convert_to_numpy(ops.softmax(logits))

    def stream(self) -> Stream:
        """The same network for a running video, second by second.

        Raises:
          InputError: the model is not causal.
        """
        if not self.causal:
            raise InputError(
                "this temporal model sees the future: it labels whole videos; expected a causal "
                "one (tecno) for a running video"
            )
        return Stream(self)

    def get_config(self):
        return {
            "width": self.width,
            "num_classes": self.num_classes,
            "num_stages": self.num_stages,
            "num_layers": self.num_layers,
            "num_maps": self.num_maps,
            "dropout": self.dropout,
            "causal": self.causal,
        }


def fill_up(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a `TemporalModel` takes, of one video: features [1, n, width] and present [1, n].

    n is a power of two: videos of any length need a handful of compiled programs.
    """
    time, width = features.shape
    n = max(64, 1 << (time - 1).bit_length())
    filled = np.zeros((1, n, width), np.float32)
    filled[0, :time] = features
    return filled, (np.arange(n) < time).astype(np.float32)[np.newaxis]


def save_temporal(model: TemporalModel, path: Path) -> Path:
    """Writes a temporal model's directory: temporal.json and temporal.npz."""
    description = {"format": FORMAT, "model": model.get_config()}
    with whole_folder(path, MODEL_FILE) as folder:
        folder.mkdir(parents=True)
        write_weights(folder / WEIGHTS_FILE, _variables(model))
        (folder / MODEL_FILE).write_text(json.dumps(description, indent=2) + "\n")
    return path


def load_temporal(path: AnyPath) -> TemporalModel:
    """Opens a directory that `save_temporal` wrote.

    Raises:
      InputError: nothing there that is a temporal model.
    """
    with opened(path / MODEL_FILE, FORMAT) as description:
        model = TemporalModel(**description["model"])
        read_weights(path / WEIGHTS_FILE, _variables(model))
    return model


def _variables(model):
    """All weights by name; names say where a weight is, whatever Keras numbers its layers."""
    named = {"feature_mean": model.feature_mean, "feature_std": model.feature_std}
    layers = {}
    for i, stage in enumerate(model.stages):
        layers |= {f"stage_{i}/reduce": stage.reduce, f"stage_{i}/classify": stage.classify}
        for j, residual in enumerate(stage.residuals):
            layers[f"stage_{i}/residual_{j}/convolution"] = residual.convolution
            layers[f"stage_{i}/residual_{j}/projection"] = residual.projection
    for name, layer in layers.items():
        named |= {f"{name}/kernel": layer.kernel, f"{name}/bias": layer.bias}
    return named


def _dense(units, seeds):
    return keras.layers.Dense(units, kernel_initializer=_initializer(seeds), dtype="float32")


def _initializer(seeds):
    # PyTorch's default, of both published codes: with Keras' own, three times the variance, the sum
    # of the residuals is large at the start, and so is the loss.
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform", seed=draw_seed(seeds))
