"""TensorFlow SavedModels as encoders: the published EndoSSL models, and ours.

Source: github.com/RoyHirsch/endossl, inference.py: called with raw pixels, output 1 is the
representation.

How frames are to be resized is no part of the computation. It is in the encoder.json beside the
saved_model/ of an encoder directory, and, if it is not bilinearly, in `assets.extra/`, which
TensorFlow leaves to users (github.com/tensorflow/tensorflow, saved_model/README.md).
"""

import json
from pathlib import Path

import keras

from data.common.errors import InputError, one_line
from data.common.logs import unconfigured
from data.images.image_io import BILINEAR, RESAMPLES, resize_rule
from data.storage.folders import local_copy
from data.storage.paths import AnyPath, is_remote, to_path
from msn.formats.files.recognising import ENCODER_FILE, SAVED_MODEL_FILE
from msn.networks.encoder import resample_of

MODEL_FILE = SAVED_MODEL_FILE
INSIDE, BESIDE = "saved_model", ENCODER_FILE  # of an encoder directory
PREPROCESSING = ("assets.extra", "preprocessing.json")  # in a SavedModel
SIGNATURE = "serving_default"
UNSTATED_SIZE = 224
OUTPUTS = ("tokens", "cls")  # their names in the signature


class FrozenEncoder(keras.Model):
    """A SavedModel that is called like an encoder. It has no weights to train and no backbone.

    Args:
      directory: of the SavedModel.

    Attributes:
      resample: how frames are resized for it, of `data.images.image_io.RESAMPLES`.

    Call arguments:
      images: float or uint8 [batch, image_size, image_size, 3], RGB 0..255.

    Returns:
      tokens [batch, 1 + patches, width] and cls [batch, width].

    Raises:
      InputError: damaged; not such a model; or Keras runs on another backend than TensorFlow.
    """

    kind = "a SavedModel"

    def __init__(self, directory: str | AnyPath, name=None):
        super().__init__(name=name, trainable=False, dtype="float32")
        self.directory = to_path(directory)
        self.resample = read_resample(self.directory)
        self.model = open_saved_model(self.directory)
        self.image_size, self.width = sizes(self.model)
        self.built = True

    def call(self, images):
        if tuple(images.shape[1:]) != (self.image_size, self.image_size, 3):
            raise InputError(
                f"images of shape {tuple(images.shape[1:])}; expected "
                f"{(self.image_size, self.image_size, 3)}, which alone this SavedModel takes"
            )
        tokens, cls = self.model(keras.ops.cast(images, "float32"))
        return tokens, cls

    def represent(self, images):
        """Images as in `call` -> cls [batch, width] alone."""
        return self(images)[1]

    def get_config(self):
        """Constructor arguments."""
        return {"directory": str(self.directory)}


def save_saved_model(encoder, path: Path) -> None:
    """Writes an encoder: __call__(float32 [batch, size, size, 3]) -> (tokens, cls).

    Its signature, which TensorFlow Serving calls, is the same by name: images -> tokens, cls.

    Raises:
      OSError: it cannot be written.
    """
    import tensorflow as tf  # here alone: opening an encoder works under every Keras backend

    module = tf.Module()
    # TensorFlow's variables: of Keras' it restores copies, which nothing but tf.saved_model.load
    # (so no server, and no converter) connects with the function.
    module.weights = [variable.value for variable in encoder.variables]
    call = tf.function(encoder.call, input_signature=[images_spec(encoder)])
    module.__call__ = call
    named = tf.function(
        lambda images: dict(zip(OUTPUTS, call(images), strict=True)),
        input_signature=[images_spec(encoder)],
    )
    try:
        with unconfigured():
            tf.saved_model.save(module, str(path), signatures={SIGNATURE: named})
    except tf.errors.OpError as error:
        raise OSError(f"{path}: {one_line(error)}") from error
    write_resample(encoder, path)


def write_resample(encoder, path: Path) -> None:
    """Notes in a SavedModel how frames are resized for it; nothing where that is bilinearly."""
    file = path.joinpath(*PREPROCESSING)
    if resample_of(encoder) != BILINEAR:
        file.parent.mkdir(exist_ok=True)
        content = {"preprocessing": {"resize": resize_rule(resample_of(encoder))}}
        file.write_text(json.dumps(content, indent=2) + "\n")


def read_resample(path: AnyPath) -> str:
    """How frames are resized for a SavedModel: as a file in it or beside it says, else bilinearly.

    Raises:
      InputError: such a file cannot be read, or says something else.
    """
    place = path if is_remote(path) else path.absolute()
    files = [place.joinpath(*PREPROCESSING)]
    if place.name == INSIDE:
        files.append(place.parent / BESIDE)
    for file in files:
        if not file.is_file():
            continue
        try:
            rule = json.loads(file.read_text())["preprocessing"]["resize"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{file}: does not say how frames are resized ({error!r})") from error
        found = [resample for resample in RESAMPLES if resize_rule(resample) == rule]
        if not found:
            raise InputError(
                f"{file}: frames resized by {rule!r}; expected as {resize_rule(BILINEAR)!r}, with "
                f"one of {', '.join(RESAMPLES)}"
            )
        return found[0]
    return BILINEAR


def images_spec(encoder):
    """What an encoder takes, wherever it is exported to: a `tf.TensorSpec`."""
    import tensorflow as tf

    return tf.TensorSpec((None, encoder.image_size, encoder.image_size, 3), tf.float32, "images")


def open_saved_model(path: AnyPath):
    """The callable object in a SavedModel directory; raises `InputError`."""
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"a SavedModel needs KERAS_BACKEND=tensorflow, not {keras.backend.backend()}"
        )
    import tensorflow as tf  # here alone: the other formats open under every Keras backend

    with local_copy(path) as folder:  # TensorFlow's own file systems are not ours
        try:
            model = tf.saved_model.load(str(folder))
        except Exception as error:  # damaged files raise whatever comes first
            raise InputError(f"damaged SavedModel ({one_line(error)})") from error
    if not callable(model) or SIGNATURE not in model.signatures:
        raise InputError("a SavedModel that is not an encoder: it cannot be called with images")
    return model


def sizes(model) -> tuple[int, int]:
    """Image size and width by the signature of a SavedModel; raises `InputError`.

    Where the signature leaves the size open, it is 224.
    """
    signature = model.signatures[SIGNATURE]
    inputs = [tuple(spec.shape) for spec in signature.structured_input_signature[1].values()]
    named = signature.structured_outputs
    names = OUTPUTS if set(named) == set(OUTPUTS) else sorted(named)  # output_0, output_1
    outputs = [tuple(named[name].shape) for name in names]
    match inputs, outputs:
        case [(_, height, width, 3)], [(_, _, int(tokens)), (_, int(cls))] if (
            height == width and tokens == cls
        ):
            return height or UNSTATED_SIZE, cls
    raise InputError(
        f"a SavedModel that is not an encoder: inputs {inputs}, outputs {outputs}; expected "
        "images [batch, size, size, 3] and (tokens [batch, tokens, width], cls [batch, width])"
    )
