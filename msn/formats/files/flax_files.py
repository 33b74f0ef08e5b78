"""Flax checkpoints as the published EndoSSL weights come in (`checkpoint_0`).

One msgpack map; arrays are its extension type 1: (shape, dtype, bytes). The teacher's weights lie
under "teacher_weights". They were trained on raw pixels (no mean, no scale), with a LayerNorm
epsilon of 1e-6, with Flax's default GELU (the tanh approximation) and without a position of CLS.

Sources: flax/serialization.py (extension types); github.com/RoyHirsch/endossl (the release);
Hirsch et al., arXiv 2308.12394.
"""

import re

import msgpack
import numpy as np

from data.common.configurations import flatten
from data.common.errors import InputError, one_line, some
from data.storage.paths import AnyPath

FLAX_FILE = "checkpoint_0"  # its name in a release
NDARRAY, SCALAR = 1, 3
ATTENTION = "MultiHeadDotProductAttention_0"

# `Encoder` computes (image / 255 - mean) / std.
ARGUMENTS = {
    "mean": (0.0, 0.0, 0.0),
    "std": (1 / 255, 1 / 255, 1 / 255),
    "layer_norm_epsilon": 1e-6,
    "gelu": "tanh",
}


def is_flax(start: bytes) -> bool:
    """Whether a file that begins so can be a msgpack map with a string as its first key."""
    return re.match(rb"([\x81-\x8f]|\xde..|\xdf....)[\xa0-\xbf\xd9]", start, re.DOTALL) is not None


def read_flax(path: AnyPath) -> tuple[dict[str, np.ndarray], dict]:
    """The teacher of a checkpoint.

    Returns:
      Its weights under facebookresearch/msn's names, in that project's layouts; and constructor
      arguments of `Encoder` that shapes do not tell, `num_heads` among them.

    Raises:
      InputError: damaged, or not such a checkpoint.
    """
    try:
        content = msgpack.unpackb(path.read_bytes(), ext_hook=unpack_array)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise InputError(f"not a complete Flax (msgpack) checkpoint ({one_line(error)})") from error
    if not isinstance(content, dict) or not isinstance(content.get("teacher_weights"), dict):
        found = some(list(content), limit=8) if isinstance(content, dict) else "no map"
        raise InputError(f"a msgpack file without 'teacher_weights'; found: {found}")
    return state_of(content["teacher_weights"])


def unpack_array(code: int, data: bytes):
    """An extension type of flax/serialization.py as an array; others stay as they are."""
    if code not in (NDARRAY, SCALAR):
        return msgpack.ExtType(code, data)
    shape, dtype, values = msgpack.unpackb(data)
    if dtype == "bfloat16":  # the upper half of a float32
        values = (np.frombuffer(values, "<u2").astype(np.uint32) << 16).view(np.float32)
        return values.reshape(shape)
    return np.frombuffer(values, np.dtype(dtype)).reshape(shape)


def state_of(tree: dict) -> tuple[dict[str, np.ndarray], dict]:
    """What `read_flax` returns, of the tree of a teacher's weights."""
    weights = Weights(tree)
    embedding, positions = "ToTokenSequence_0/embedding", "ToTokenSequence_0/posembed_input"
    size, _, _, width = weights.shape(f"{embedding}/kernel", 4)
    grid = weights.shape(positions, 4)[1]
    _, *heads = weights.shape(f"encoderblock_0/{ATTENTION}/query/kernel", 3)
    kernel = weights.take(f"{embedding}/kernel", (size, size, 3, width))
    state = {
        "cls_token": weights.take("ToTokenSequence_0/cls", (1, 1, width)),
        "pos_embed": weights.take(positions, (1, grid, grid, width)).reshape(1, -1, width),
        "patch_embed.proj.weight": kernel.transpose(3, 2, 0, 1),
        "patch_embed.proj.bias": weights.take(f"{embedding}/bias", (width,)),
    }
    for i in range(sum(name.startswith("encoderblock_") for name in tree)):
        state |= block_state(weights, f"blocks.{i}", f"encoderblock_{i}", width, heads)
    state |= weights.norm("norm", "encoder_norm", width)
    weights.refuse_others(("ToTokenSequence", "encoder"))
    return state, ARGUMENTS | {"num_heads": heads[0]}


def block_state(weights: "Weights", ours: str, theirs: str, width: int, heads: list[int]) -> dict:
    """The weights of one block; `heads` are their number and the width of one."""
    state = {}
    for name in ("query", "key", "value"):
        state |= weights.dense(name, f"{theirs}/{ATTENTION}/{name}", (width,), heads)
    for part in ("weight", "bias"):
        fused = [state.pop(f"{name}.{part}") for name in ("query", "key", "value")]
        state[f"{ours}.attn.qkv.{part}"] = np.concatenate(fused)
    # Flax numbers layers as they are made, not as they are used: Dense_0 can be the second one,
    # and is in these files. The shapes tell.
    first, second = (f"{theirs}/MlpBlock_0/Dense_{number}" for number in (0, 1))
    if weights.shape(f"{first}/kernel", 2)[0] != width:
        first, second = second, first
    hidden = weights.shape(f"{first}/kernel", 2)[1]
    return (
        state
        | weights.dense(f"{ours}.attn.proj", f"{theirs}/{ATTENTION}/out", heads, (width,))
        | weights.dense(f"{ours}.mlp.fc1", first, (width,), (hidden,))
        | weights.dense(f"{ours}.mlp.fc2", second, (hidden,), (width,))
        | weights.norm(f"{ours}.norm1", f"{theirs}/LayerNorm_0", width)
        | weights.norm(f"{ours}.norm2", f"{theirs}/LayerNorm_1", width)
    )


class Weights:
    """A tree of arrays, by path ("a/b/c"); remembers what was taken."""

    def __init__(self, tree: dict):
        self.arrays = flatten(tree, "/")
        self.taken: set[str] = set()

    def shape(self, name: str, axes: int) -> tuple[int, ...]:
        """The shape of an array with this many axes; raises `InputError`."""
        found = getattr(self.arrays.get(name), "shape", None)
        if found is None or len(found) != axes or not all(found):
            raise InputError(f"weight {name!r}: found shape {found}; expected {axes} axes")
        return found

    def take(self, name: str, shape) -> np.ndarray:
        """The array of this name and shape; raises `InputError`."""
        if self.shape(name, len(shape)) != tuple(shape):
            raise InputError(
                f"weight {name!r}: found shape {self.arrays[name].shape}; expected {tuple(shape)}"
            )
        self.taken.add(name)
        return self.arrays[name]

    def norm(self, ours: str, theirs: str, width: int) -> dict[str, np.ndarray]:
        """A LayerNorm under our names."""
        return {
            f"{ours}.weight": self.take(f"{theirs}/scale", (width,)),
            f"{ours}.bias": self.take(f"{theirs}/bias", (width,)),
        }

    def dense(self, ours: str, theirs: str, inputs, outputs) -> dict[str, np.ndarray]:
        """A projection under our names, its kernel [*inputs, *outputs] as [out, in]."""
        kernel = self.take(f"{theirs}/kernel", (*inputs, *outputs))
        return {
            f"{ours}.weight": kernel.reshape(np.prod(inputs), -1).T,
            f"{ours}.bias": self.take(f"{theirs}/bias", outputs).ravel(),
        }

    def refuse_others(self, prefixes: tuple[str, ...]) -> None:
        """Raises `InputError` if one of these was not taken: then this is another network."""
        others = self.arrays.keys() - self.taken
        if unknown := sorted(name for name in others if name.startswith(prefixes)):
            raise InputError(
                f"weight {unknown[0]!r} does not belong to any known Vision Transformer"
            )
