"""Runs an encoder or a frame model over many frames, batch by batch."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from data.batches.batches import batches_of_features
from data.common.compiled_programs import xla_works
from data.common.errors import InputError
from data.dataset.frame_index import FrameIndex
from data.frames.image_frames import ImageFrames
from data.images.image_io import BILINEAR
from down_stream.choices import FEATURES, check_tokens
from down_stream.features.pooling import choose_features, compute_features
from msn.formats.onnx_encoder import OnnxEncoder
from msn.networks.pieces import in_pieces


def representation(encoder, features: str) -> Callable:
    """Compiled function: images [batch, height, width, 3] -> `features` of each [batch, width]."""
    return by_pieces(lambda images: compute_features(encoder, images, features), encoder)


def by_pieces(function: Callable, encoder) -> Callable:
    """Compiled function of uint8 images [batch, ...], some of them at a time."""

    def represent(images):
        images = tf.cast(images, tf.float32)
        return in_pieces(lambda rows: function(images[rows]), images.shape[0])

    return compiled(represent, encoder)


def compiled(function: Callable, encoder) -> Callable:
    """A function of images as one program; of XLA's, unless ONNX Runtime has a part in it."""
    by_xla = xla_works() and not isinstance(encoder, OnnxEncoder)
    return tf.function(function, jit_compile=by_xla, autograph=False)


def frame_outputs(
    encoder,
    model=None,
    *,
    features: str | None = None,
    layers: int | None = None,
    tokens: str | None = None,
    attention: bool = False,
) -> Callable:
    """Compiled function: images uint8 [batch, height, width, 3] -> {name: float32 [batch, ...]}.

    Args:
      encoder: what `msn.encoders.load_encoder` opens.
      model: None, or the `FrameModel` that `encoder` is of.
      features: of `down_stream.features.pooling.FEATURES`; None for those of the model, or those
        that are usual for the encoder, or for what `layers` and `tokens` say, if either is given.
      layers: of so many last blocks the tokens are taken, each after the last norm (arXiv
        2204.07141, appendix), and concatenated, the last block's last.
      tokens: "cls"; "mean", over the patches; or "all", CLS first.
      attention: whether to give that of the last block's CLS to the patches.

    Returns:
      A function whose result has "embeddings" [batch, features], [batch, layers * width], or with
      all tokens [batch, 1 + patches, layers * width]; with a model "features" [batch, features] and
      "probabilities" [batch, classes]; with attention "attention" [batch, heads, patches].

    Raises:
      InputError: there are not so many blocks, or a SavedModel, which hides them, is asked for more
        than its tokens.
    """
    described = features_used(encoder, model, features, layers, tokens)
    layers, tokens = 1 if layers is None else layers, tokens or "cls"
    if (layers > 1 or attention) and not hasattr(encoder, "backbone"):
        where = encoder.file if isinstance(encoder, OnnxEncoder) else encoder.directory
        raise InputError(
            f"{where}: {encoder.kind} gives neither the tokens of several layers nor attention; "
            "expected an encoder directory or checkpoint_0"
        )
    depth = encoder.backbone.depth if hasattr(encoder, "backbone") else 1
    if layers > depth:
        raise InputError(f"layers={layers}: the encoder has {depth}; expected 1 to {depth}")

    def outputs(images):
        return in_pieces(lambda rows: of_piece(images[rows]), images.shape[0])

    def of_piece(images):
        found = {}
        if model is not None:
            found["features"] = model.represent(images)
            found["probabilities"] = model.probabilities(found["features"])
        if model is not None and described == model.features:
            found["embeddings"] = found["features"]
        elif described in FEATURES:
            found["embeddings"] = compute_features(encoder, images, described)
        else:
            found["embeddings"] = _embed(encoder, images, layers, tokens)
        if attention:
            weights = encoder.backbone.last_attention(encoder.preprocess(images))
            found["attention"] = weights[:, :, 0, encoder.backbone.num_special :]
        return found

    return compiled(outputs, encoder)


def features_used(encoder, model, features, layers, tokens) -> str:
    """The features that `frame_outputs` makes of its arguments, in words.

    Raises:
      InputError: features besides layers or tokens; or such that there are not.
    """
    check_tokens(features, layers, tokens)
    if layers is None and tokens is None:
        if features is None and model is not None:
            return model.features
        return choose_features(encoder, features)
    return f"{tokens or 'cls'} of {layers or 1} blocks"


def _embed(encoder, images, layers, tokens):
    if layers == 1 and tokens == "cls":
        return encoder.represent(images)
    if layers == 1:
        every = encoder(images)[0]
    else:
        blocks = encoder.backbone.last_blocks(encoder.preprocess(images), layers)
        every = tf.concat(blocks, axis=-1)
    if tokens == "all":
        return every
    special = encoder.backbone.num_special if hasattr(encoder, "backbone") else 1  # no patches
    return every[:, 0] if tokens == "cls" else tf.reduce_mean(every[:, special:], axis=1)


def over_frames(
    function: Callable,
    index: FrameIndex,
    *,
    image_size: int,
    batch_size: int,
    description: str,
    resample: str = BILINEAR,
) -> tuple[np.ndarray, np.ndarray]:
    """What `batches_of_features` yields, for all frames at once.

    Returns:
      Features float32 [frames read, width], and the rows of the index that were read, int64
      [frames read].

    Raises:
      InputError: not one frame can be read.
    """
    frames = ImageFrames(index)
    arguments = image_size, batch_size, description, resample
    batches = list(batches_of_features(function, frames, *arguments))
    if not batches:
        raise InputError(f"none of the {len(index)} frames can be read")
    features, rows = zip(*batches, strict=True)
    return np.concatenate(features), np.concatenate(rows)
