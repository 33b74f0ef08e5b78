"""What an encoder or a table computes, as one number: the same path may hold another one later."""

import hashlib
import json

import keras
import numpy as np

from data.storage.paths import AnyPath
from msn.formats.files.feature_table import FeatureTable
from msn.formats.onnx_encoder import OnnxEncoder
from msn.formats.saved_model import FrozenEncoder

_BLOCK = 1 << 24  # bytes


def content_of(encoder, before: str = "") -> str:
    """Hexadecimal digest of what an encoder computes: kind, arguments, precision and weights.

    `before` is of what else counts.
    """
    digest = hashlib.sha256(before.encode())
    if files := _files_of(encoder):
        for name, path in files.items():
            digest.update(f"{name} {path.stat().st_size}".encode())
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
    else:
        arguments = json.dumps(encoder.get_config(), sort_keys=True, default=str)
        digest.update(f"{type(encoder).__name__} {encoder.dtype_policy.name} {arguments}".encode())
        for weight in encoder.weights:
            value = keras.ops.convert_to_numpy(weight)
            if weight.path.endswith("/fc2/kernel"):
                value = value.T  # as an earlier version had it: its entries keep their names
            digest.update(f"{value.dtype} {value.shape}".encode())
            digest.update(np.ascontiguousarray(value).view(np.uint8))
    return digest.hexdigest()[:32]


def _files_of(encoder) -> dict[str, AnyPath]:
    """The files that tell all about a frozen encoder or a table, by name; {} for others."""
    if isinstance(encoder, FrozenEncoder):
        files = sorted(path for path in encoder.directory.rglob("*") if path.is_file())
        return {str(path.relative_to(encoder.directory)): path for path in files}
    if isinstance(encoder, OnnxEncoder):
        return {"onnx": encoder.file, "description": encoder.description}
    return {"table": encoder.file} if isinstance(encoder, FeatureTable) else {}
