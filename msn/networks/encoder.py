"""The encoder: a Vision Transformer behind its preprocessing.

Written with `keras.ops` alone, so that an encoder opens under every Keras backend.
"""

import keras
import numpy as np
from keras import ops

from data.images.image_io import BILINEAR
from msn.networks.variants import default_image_size, variant_arguments
from msn.networks.vit import VisionTransformer

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def create_encoder(variant: str, image_size: int | None = None, **arguments) -> "Encoder":
    """A randomly initialised encoder of a named variant; `Encoder` explains the arguments."""
    sizes = variant_arguments(variant)
    if image_size is None:
        image_size = default_image_size(sizes["patch_size"])
    return Encoder(image_size=image_size, **(sizes | arguments))


def resample_of(encoder) -> str:
    """How frames are resized for an encoder: bilinearly where it does not say it."""
    return getattr(encoder, "resample", BILINEAR)


@keras.saving.register_keras_serializable("msn")
class Encoder(keras.Model):
    """A Vision Transformer behind its preprocessing: raw RGB 0..255 in, tokens and CLS out.

    Args:
      image_size: height and width in pixels of the images that the positions were made for. Other
        sizes that are multiples of `patch_size` work: positions are interpolated.
      features: what experiments take as an image's features unless told otherwise: "cls" or "mean"
        of the patches; None for what `pooling` has.
      mean, std: of RGB in 0..1, per channel; the backbone sees (image / 255 - mean) / std.
      resample: how frames are resized before they get here, of `data.images.image_io.RESAMPLES`.
      dtype: Keras dtype policy, as "mixed_bfloat16".
      **backbone: constructor arguments of `VisionTransformer`.

    Call arguments:
      images: float or uint8 [batch, height, width, 3], RGB 0..255.

    Returns:
      tokens [batch, 1 + patches, width], CLS first, after the last norm; and cls [batch, width].

    Example:
      >>> tokens, cls = create_encoder("vits16")(images)
    """

    def __init__(
        self,
        image_size=224,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        name=None,
        seed=None,
        dtype="float32",
        features=None,
        resample=BILINEAR,
        **backbone,
    ):
        super().__init__(name=name, dtype=dtype, autocast=False)
        self.image_size = image_size
        self.mean = tuple(mean)
        self.std = tuple(std)
        self.backbone = VisionTransformer(
            image_size=image_size, seed=seed, name="backbone", dtype=self.dtype_policy, **backbone
        )
        self.features = features or self.backbone.pooling
        self.resample = resample
        self.remarks: tuple[str, ...] = ()  # what a user must know of the file that it came from
        self.built = True

    def call(self, images, training=False):
        return self.backbone(self.preprocess(images), training=training)

    def represent(self, images, training=False):
        """Images as in `call` -> cls [batch, width] alone, with less work than a call."""
        return self.backbone.represent(self.preprocess(images), training=training)

    @property
    def stages(self) -> list[list]:
        """Trainable variables, input first: the embedding's, then each block's.

        The last norm is in none of them: it counts with the head that follows it, as in BEiT's
        layer-wise learning rates (arXiv 2106.08254).
        """
        blocks = [block.trainable_variables for block in self.backbone.blocks]
        later = {
            id(v) for block in (*blocks, self.backbone.norm.trainable_variables) for v in block
        }
        return [[v for v in self.trainable_variables if id(v) not in later], *blocks]

    @property
    def width(self) -> int:
        """Of tokens and representation."""
        return self.backbone.width

    def preprocess(self, images):
        """Raw RGB 0..255 [..., 3] -> normalised as the backbone expects it, same shape."""
        images = ops.cast(images, self.variable_dtype)
        scale = 1.0 / (255.0 * np.asarray(self.std))
        offset = -np.asarray(self.mean) / np.asarray(self.std)
        return images * ops.cast(scale, images.dtype) + ops.cast(offset, images.dtype)

    def get_config(self):
        """Constructor arguments; written to encoder.json."""
        said = {} if self.features == self.backbone.pooling else {"features": self.features}
        said |= {} if self.resample == BILINEAR else {"resample": self.resample}
        return {
            "image_size": self.image_size,
            "mean": list(self.mean),
            "std": list(self.std),
            **said,
        } | {key: value for key, value in self.backbone.get_config().items() if key != "image_size"}
