"""The frame model: an encoder and a linear classifier on its features."""

import contextlib
import json
import zipfile
from pathlib import Path

import keras
import numpy as np
from keras import ops

from data.common.errors import InputError, one_line
from data.storage.paths import AnyPath
from data.storage.whole import whole_folder
from down_stream.choices import FRAME_MODEL_FILE
from down_stream.features.attentive import AttentivePool, patch_tokens
from down_stream.features.pooling import (
    ATTENTIVE,
    choose_features,
    compute_features,
    feature_width,
)
from msn.encoders import load_encoder, save_encoder

HEAD_FILE = "head.npz"
FORMAT = "frame model 1"


class FrameModel(keras.Model):
    """Images -> logits over classes, such as phases: encoder, standardisation, dense layer.

    Args:
      encoder: what `msn.encoders.load_encoder` opens.
      classes: names of the classes, in the order of their ids.
      task: name of what they are (`down_stream.tasks`), for those who open the model.
      multi_label: whether an image has any number of the classes, rather than one.
      mean, std: float [width]; of the training features. Standardised features make one learning
        rate fit all encoders; (0, 1) leaves them as they are.
      seed: int or None; of the head's initialisation, and of attentive pooling.
      features: what the classifier sees, of `down_stream.features.pooling.FEATURES`; None for
        those that are usual for the encoder; ATTENTIVE gives the model a `pool` of its own.

    Call arguments:
      images: uint8 or float [batch, height, width, 3], RGB 0..255.

    Returns:
      logits float [batch, classes].
    """

    def __init__(
        self,
        encoder,
        classes,
        task="phases",
        multi_label=False,
        mean=0.0,
        std=1.0,
        seed=None,
        name=None,
        features=None,
    ):
        super().__init__(name=name, dtype="float32")
        self.encoder = encoder
        self.classes = tuple(classes)
        self.task = task
        self.multi_label = multi_label
        self.features = choose_features(encoder, features, is_trained=True)
        width = feature_width(encoder, self.features)
        add_standardisation(self, width, mean, std)
        self.pool = AttentivePool(width, seed) if self.features == ATTENTIVE else None
        initializer = keras.initializers.RandomNormal(stddev=0.01, seed=seed)
        self.head = keras.layers.Dense(
            len(classes), kernel_initializer=initializer, name="head", dtype="float32"
        )
        self.head.build((None, width))
        self.built = True

    def call(self, images, training=False):
        return self.classify(self.represent(images, training))

    def represent(self, images, training=False):
        """Images as in `call` -> features [batch, width]."""
        if self.pool is not None:
            return self.pool(patch_tokens(self.encoder, images, training))
        return compute_features(self.encoder, images, self.features, training)

    def classify(self, features):
        """Features [batch, width] -> logits [batch, classes]."""
        features = ops.cast(features, self.feature_mean.dtype)
        return self.head((features - self.feature_mean) / self.feature_std)

    def probabilities(self, features):
        """Features [batch, width] -> probabilities [batch, classes]."""
        logits = self.classify(features)
        return ops.sigmoid(logits) if self.multi_label else ops.softmax(logits)


def save_frame_model(model: FrameModel, path: Path, origin: dict) -> Path:
    """Writes a model directory: encoder/, head.npz and frame_model.json.

    `origin` is that of `msn.encoders.save_encoder`.
    """
    description = {"format": FORMAT, "task": model.task, "classes": model.classes}
    description |= {"multi_label": model.multi_label, "features": model.features}
    description |= {"source": origin}
    with whole_folder(path, FRAME_MODEL_FILE) as folder:
        folder.mkdir(parents=True)
        save_encoder(model.encoder, folder / "encoder", origin)
        write_weights(folder / HEAD_FILE, head_weights(model))
        (folder / FRAME_MODEL_FILE).write_text(json.dumps(description, indent=2) + "\n")
    return path


def load_frame_model(path: AnyPath) -> FrameModel:
    """Opens a model directory that `save_frame_model` wrote.

    Raises:
      InputError: nothing there that is a frame model.
    """
    with opened(path / FRAME_MODEL_FILE, FORMAT) as description:
        arguments = {key: description[key] for key in ("classes", "task", "multi_label")}
        arguments["features"] = description.get("features")  # earlier ones do not say
        model = FrameModel(load_encoder(path / "encoder"), **arguments)
        read_weights(path / HEAD_FILE, head_weights(model))
    return model


def head_weights(model: FrameModel) -> dict:
    """The variables of a frame model beside those of its encoder, by name."""
    pool = {} if model.pool is None else model.pool.named_weights()
    return {f"pool/{name}": weight for name, weight in pool.items()} | {
        "feature_mean": model.feature_mean,
        "feature_std": model.feature_std,
        "kernel": model.head.kernel,
        "bias": model.head.bias,
    }


def add_standardisation(model: keras.Model, width: int, mean, std) -> None:
    """Gives a model `feature_mean` and `feature_std`, float [width], which are not trained."""
    for name, value in (("feature_mean", mean), ("feature_std", std)):
        weight = model.add_weight(name=name, shape=(width,), trainable=False, initializer="zeros")
        weight.assign(np.broadcast_to(value, (width,)))
        setattr(model, name, weight)


def write_weights(path: Path, variables: dict) -> None:
    """Writes Keras variables by name, as `read_weights` reads them."""
    np.savez(path, **{name: ops.convert_to_numpy(value) for name, value in variables.items()})


def read_weights(path: AnyPath, variables: dict) -> None:
    """Sets Keras variables from a file that `write_weights` wrote."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as values:
        for name, variable in variables.items():
            variable.assign(values[name])


@contextlib.contextmanager
def opened(path: AnyPath, expected: str):
    """Context with the description in a model directory's JSON file, of the format `expected`.

    What a missing or damaged directory raises becomes `InputError`.
    """
    try:
        description = json.loads(path.read_text())
        if description["format"] != expected:
            raise ValueError(f"format {description['format']!r}, not {expected!r}")
        yield description
    except (KeyError, TypeError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        kind = expected.rpartition(" ")[0]
        raise InputError(
            f"{path.parent}: not a {kind}, or a damaged one ({one_line(error)})"
        ) from error
