"""TensorFlow SavedModels as encoders: the published EndoSSL models, and ours.

Source: github.com/RoyHirsch/endossl, inference.py: called with raw pixels, output 1 is the
representation.
"""

from pathlib import Path

import keras

from data.errors import InputError

MODEL_FILE = "saved_model.pb"
SIGNATURE = "serving_default"


class FrozenEncoder(keras.Model):
    """A SavedModel that is called like an encoder. It has no weights to train and no backbone.

    Args:
      directory: of the SavedModel.

    Call arguments:
      images: float or uint8 [batch, image_size, image_size, 3], RGB 0..255.

    Returns:
      tokens [batch, 1 + patches, width] and cls [batch, width].

    Raises:
      InputError: damaged; not such a model; or Keras runs on another backend than TensorFlow.
    """

    def __init__(self, directory: str | Path, name=None):
        super().__init__(name=name, trainable=False)
        self.directory = Path(directory)
        self.model = open_saved_model(self.directory)
        self.image_size, self.width = sizes(self.model)
        self.built = True

    def call(self, images):
        if tuple(images.shape[1:]) != (self.image_size, self.image_size, 3):
            raise InputError(
                f"images of shape {tuple(images.shape[1:])}; this SavedModel takes "
                f"{(self.image_size, self.image_size, 3)} alone"
            )
        tokens, cls = self.model(keras.ops.cast(images, "float32"))
        return tokens, cls

    def represent(self, images):
        """Images as in `call` -> cls [batch, width] alone."""
        return self(images)[1]

    def get_config(self):
        """Constructor arguments."""
        return {"directory": str(self.directory)}


def open_saved_model(path: Path):
    """The callable object in a SavedModel directory; raises `InputError`."""
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"a SavedModel needs KERAS_BACKEND=tensorflow, not {keras.backend.backend()}"
        )
    import tensorflow as tf  # here alone: the other formats open under every Keras backend

    try:
        model = tf.saved_model.load(str(path))
    except Exception as error:  # damaged files raise whatever comes first
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"damaged SavedModel ({reason})") from error
    if not callable(model) or SIGNATURE not in model.signatures:
        raise InputError("a SavedModel that is no encoder: it cannot be called with images")
    return model


def sizes(model) -> tuple[int, int]:
    """Image size and width by the signature of a SavedModel; raises `InputError`."""
    signature = model.signatures[SIGNATURE]
    inputs = [tuple(spec.shape) for spec in signature.structured_input_signature[1].values()]
    outputs = [tuple(spec.shape) for _, spec in sorted(signature.structured_outputs.items())]
    match inputs, outputs:
        case [(_, int(height), int(width), 3)], [(_, _, int(tokens)), (_, int(cls))] if (
            height == width and tokens == cls
        ):
            return height, cls
    raise InputError(
        f"a SavedModel that is no encoder: inputs {inputs}, outputs {outputs}; right would be "
        "images [batch, size, size, 3] and (tokens [batch, tokens, width], cls [batch, width])"
    )
