"""What the parts of a table were made with; another model or other options make them anew."""

import hashlib

import numpy as np

from data.frames.frames import Frames
from data.frames.video_frames import VideoFrames
from data.images.image_io import RESIZE_RULE
from data.storage.paths import AnyPath
from down_stream.classifiers.frame_model import head_weights
from down_stream.features.cache import VERSION, fingerprint


def model_fingerprint(encoder, model, temporal) -> str:
    """Hexadecimal digest of the weights and arguments of a model: of an encoder alone, its own."""
    if model is None:
        return fingerprint(encoder)
    digest = hashlib.sha256(f"{fingerprint(encoder)} {model.task} {model.classes}".encode())
    own = head_weights(model)
    variables = [own.pop(name) for name in ("kernel", "bias", "feature_mean", "feature_std")]
    for variable in [*variables, *own.values(), *(temporal.weights if temporal else ())]:
        digest.update(np.asarray(variable).tobytes())
    return digest.hexdigest()[:32]


def made_with(print_of_model: str, frames: Frames, kind: dict, attention: AnyPath | None) -> dict:
    """What all parts of a table have in common; batch sizes do not matter.

    Args:
      print_of_model: its `model_fingerprint`.
      frames: that are embedded.
      kind: features, layers and tokens of the embeddings.
      attention: None, or the folder of pictures of it.
    """
    return {
        "model": print_of_model,
        "frames": f"{VERSION} {RESIZE_RULE}",
        **kind,
        "frames per second": frames.fps if isinstance(frames, VideoFrames) else None,
        "attention": attention and str(attention),
    }
