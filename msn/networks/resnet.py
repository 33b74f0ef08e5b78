"""ResNet50V2 as an encoder: the supervised baseline of the published comparison.

Sources: He et al., arXiv 1603.05027 (ResNet V2); keras.applications for the network, its
preprocessing and its ImageNet weights; Hirsch et al., arXiv 2308.12394, section 4 (the baseline).
"""

import os
import warnings
from pathlib import Path

import keras
import numpy as np
from keras import ops
from keras.applications.resnet_v2 import ResNet50V2

from data.common.errors import InputError, one_line
from msn.networks.blocks import draw_seed
from msn.networks.usual_keras import usual_keras
from msn.networks.variants import RESNET

WIDTH = 2048
STRIDE = 32  # pixels between neighbouring features
STAGES = ("conv1", "conv2", "conv3", "conv4", "conv5")  # how the names of layers begin

# Where keras.applications has them from, under the name and in the folder where it keeps them.
WEIGHTS_FILE = "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5"
WEIGHTS_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/resnet/{WEIGHTS_FILE}"
WEIGHTS_MD5 = "fac2f116257151a9d068a22e544a4917"


@keras.saving.register_keras_serializable("msn")
class ResNetEncoder(keras.Model):
    """ResNet50V2 behind its preprocessing: raw RGB 0..255 in, features and their mean out.

    Args:
      image_size: height and width in pixels, 32 at least.
      seed: int or None; of the random initialisation.

    Call arguments:
      images: float or uint8 [batch, height, width, 3], RGB 0..255.
      training: bool; whether batch norms use, and learn, the statistics of the batch.

    Returns:
      tokens [batch, 1 + places, 2048], the mean first, then the features row by row; and the mean
      [batch, 2048], which is the representation.

    Raises:
      InputError: images that are too small.
    """

    mean = std = (0.5, 0.5, 0.5)  # of RGB in 0..1: images / 127.5 - 1
    width = WIDTH

    def __init__(self, image_size=224, seed=None, name=None):
        super().__init__(name=name, dtype="float32")
        if image_size < STRIDE:
            raise InputError(f"image_size is {image_size}; expected at least {STRIDE}")
        self.image_size = image_size
        # Not called backbone, as that of a Vision Transformer: there are no blocks of attention.
        with usual_keras():
            self.network = ResNet50V2(
                include_top=False, weights=None, input_shape=(None, None, 3), name="network"
            )
            seeds = np.random.default_rng(seed)  # keras.applications takes no seed
            for layer in self.network.layers:
                if isinstance(layer, keras.layers.Conv2D):
                    initializer = keras.initializers.GlorotUniform(seed=draw_seed(seeds))
                    layer.kernel.assign(initializer(layer.kernel.shape))
        self.built = True

    def call(self, images, training=False):
        features = self.features(images, training)
        cls = ops.mean(features, axis=1)
        return ops.concatenate([cls[:, None], features], axis=1), cls

    def represent(self, images, training=False):
        """Images as in `call` -> the mean of the features [batch, 2048] alone."""
        return ops.mean(self.features(images, training), axis=1)

    def features(self, images, training=False):
        """Images as in `call` -> [batch, places, 2048], row by row."""
        if min(images.shape[1:3]) < STRIDE:
            raise InputError(
                f"images of {images.shape[1]}x{images.shape[2]} pixels; expected at "
                f"least {STRIDE}x{STRIDE} for ResNet50V2"
            )
        images = ops.cast(images, self.variable_dtype) / 127.5 - 1
        features = self.network(images, training=training)
        rows, columns = features.shape[1:3]
        return ops.reshape(features, (-1, rows * columns, WIDTH))

    @property
    def stages(self) -> list[list]:
        """Trainable variables, input first: the stem's, then those of each group of blocks.

        The last norm is in none of them, as in `msn.networks.vit.Encoder.stages`.
        """
        return [
            [
                variable
                for layer in self.network.layers
                if layer.name.startswith(stage)
                for variable in layer.trainable_variables
            ]
            for stage in STAGES
        ]

    def get_config(self):
        """Architecture and constructor arguments; written to encoder.json."""
        return {"architecture": RESNET, "image_size": self.image_size}

    @classmethod
    def from_config(cls, config):
        """What `get_config` described."""
        return cls(image_size=config["image_size"])


def create_resnet(
    weights: str = "imagenet", image_size: int = 224, seed: int | None = None
) -> ResNetEncoder:
    """A ResNet50V2 with the weights that a configuration names.

    Args:
      weights: "imagenet", which are fetched once and kept where keras.applications keeps them;
        "none" for random initialisation; or a file of keras.applications.ResNet50V2 without its
        classifier, .h5 or .weights.h5.
      image_size, seed: as `ResNetEncoder` takes them.

    Raises:
      InputError: the weights cannot be fetched, or are of something else.
    """
    if weights == "none":
        return ResNetEncoder(image_size, seed)
    path = fetch_imagenet() if weights == "imagenet" else Path(weights)
    if not path.is_file():
        raise InputError(
            f"resnet_weights={weights}: no such file; expected imagenet, none or a file"
        )
    encoder = ResNetEncoder(image_size, seed)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras warns of what it did not find
            encoder.network.load_weights(path)
    except (UserWarning, ValueError, KeyError, OSError, RuntimeError, AttributeError) as error:
        reason = one_line(error)
        raise InputError(
            f"{path}: damaged, or not weights of keras.applications.ResNet50V2(include_top=False) "
            f"({reason})"
        ) from error
    return encoder


def fetch_imagenet(url: str = WEIGHTS_URL, folder: Path | None = None) -> Path:
    """The file of the ImageNet weights, fetched where it is missing.

    Args:
      url: address.
      folder: where it is kept; None for that of keras.applications.

    Raises:
      InputError: it cannot be fetched.
    """
    from data.archives.fetch import fetch  # here alone: encoders open where nothing can be fetched

    folder = folder or Path(os.environ.get("KERAS_HOME", "~/.keras"), "models").expanduser()
    try:
        return fetch(url, folder / WEIGHTS_FILE, md5=WEIGHTS_MD5, retries=1, timeout=5)
    except InputError as error:
        raise InputError(
            f"resnet_weights=imagenet: {error}; without a network, expected "
            f"--config.resnet_weights=FILE, a copy of {WEIGHTS_FILE}, or none for random "
            "initialisation"
        ) from error
