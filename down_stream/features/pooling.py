"""What experiments take as the features of an image: CLS, patches, several blocks."""

import math

import numpy as np
from keras import ops

from data.common.errors import InputError
from down_stream.choices import ATTENTIVE, FEATURES
from msn.formats.onnx_encoder import OnnxEncoder
from msn.networks.encoder import Encoder
from msn.networks.resnet import ResNetEncoder

BLOCKS = 4  # of last4


def usual_features(encoder) -> str:
    """What is taken unless told otherwise: "mean" where the encoder's family does, else "cls"."""
    if isinstance(encoder, ResNetEncoder):
        return "mean"
    return encoder.features if isinstance(encoder, Encoder | OnnxEncoder) else "cls"


def choose_features(encoder, features: str | None, is_trained: bool = False) -> str:
    """The name of the features, those that are usual for None.

    Args:
      encoder: what `msn.encoders.load_encoder` opens.
      features: of FEATURES, or ATTENTIVE.
      is_trained: whether there is a classifier that attentive pooling is trained with.

    Raises:
      InputError: no such name, or the encoder cannot give them.
    """
    features = features or usual_features(encoder)
    if features == ATTENTIVE:
        return _choose_attentive(encoder, is_trained)
    if isinstance(encoder, OnnxEncoder):
        return _choose_of_onnx(encoder, features)
    if features not in FEATURES:
        raise InputError(f"features is {features!r}; expected {', '.join(FEATURES)}")
    backbone = getattr(encoder, "backbone", None)
    problem, expected = None, "mean"
    if isinstance(encoder, ResNetEncoder):
        if features != "mean":
            problem = "a convolutional network, which has no CLS"
    elif backbone is None:
        problem, expected = _problem_of_frozen(encoder, features), "cls"
    elif features != "mean" and not backbone.class_token:
        problem = "an encoder without CLS"
    elif features == "last4" and backbone.depth < BLOCKS:
        problem, expected = f"an encoder with {backbone.depth} blocks", "cls, mean or cls+mean"
    if problem:
        raise InputError(f"features is {features!r} for {problem}; expected {expected}")
    return features


def feature_width(encoder, features: str) -> int:
    """How many numbers an image has."""
    return encoder.width * {"cls+mean": 2, "last4": BLOCKS}.get(features, 1)


def is_representation(encoder, features: str) -> bool:
    """Whether these features are what `encoder.represent` gives."""
    backbone = getattr(encoder, "backbone", None)
    return features == (backbone.pooling if backbone else usual_features(encoder))


def compute_features(encoder, images, features: str, training=False):
    """Images [batch, height, width, 3], RGB 0..255 -> [batch, `feature_width`].

    Each part is normalised by the last norm. Registers are no patches.

    Args:
      encoder: what `msn.encoders.load_encoder` opens.
      images: float or uint8.
      features: what `choose_features` returned.
      training: as the encoder takes it.
    """
    if is_representation(encoder, features):
        return encoder.represent(images, training) if training else encoder.represent(images)
    if not hasattr(encoder, "backbone"):  # CLS is the first of the tokens, and their second output
        tokens, cls = encoder(images)
        parts = {"cls": cls, "mean": ops.mean(tokens[:, 1:], axis=1)}
        return ops.concatenate([parts[name] for name in features.split("+")], axis=-1)
    backbone = encoder.backbone
    if features == "last4":
        blocks = backbone.last_blocks(encoder.preprocess(images), BLOCKS, training=training)
        return ops.concatenate([backbone.pool(tokens, "cls") for tokens in blocks], axis=-1)
    tokens = encoder(images, training=training)[0]
    return ops.concatenate([backbone.pool(tokens, name) for name in features.split("+")], axis=-1)


def _choose_attentive(encoder, is_trained: bool) -> str:
    """ATTENTIVE; raises `InputError` where there is nothing to attend to."""
    problem, expected = None, "other features"
    if not is_trained:
        problem = "it is trained with a classifier"
        expected = f"the model of an experiment with features={ATTENTIVE}, or other features"
    elif isinstance(encoder, ResNetEncoder):
        problem = "a convolutional network has no tokens"
    elif isinstance(encoder, OnnxEncoder):
        if encoder.num_tokens <= 1:
            problem = f"the description of {encoder.file.name} names no tokens"
    elif not hasattr(encoder, "backbone"):
        problem = _problem_of_frozen(encoder, ATTENTIVE)
    if problem:
        raise InputError(f"features is {ATTENTIVE!r}: {problem}; expected {expected}")
    return ATTENTIVE


def _choose_of_onnx(encoder, features):
    """Those that the description of an ONNX file names; raises `InputError`."""
    known = [encoder.features]
    if encoder.num_tokens > 1:
        known += ["mean"] + (["cls+mean"] if encoder.features == "cls" else [])
    if features not in known:
        raise InputError(
            f"features is {features!r} for {encoder.file.name}; expected "
            f"{', '.join(dict.fromkeys(known))}, which its description names"
        )
    return features


def _problem_of_frozen(encoder, features):
    """Why a SavedModel, which hides its blocks and what its tokens are, cannot give features."""
    if features == "cls":
        return None
    if features == "last4":
        return "a SavedModel, which hides its blocks"
    image = np.zeros((1, encoder.image_size, encoder.image_size, 3), np.float32)
    patches = encoder(image)[0].shape[1] - 1
    if math.isqrt(patches) ** 2 == patches:
        return None
    return f"a SavedModel whose {patches + 1} tokens are not CLS and a square of patches"
