"""Names and layouts of weights in other projects' files, as arrays in and out of our models.

facebookresearch/msn: PyTorch names ("blocks.0.attn.qkv.weight", the head as "fc.*"), kernels as
[out, in], the patch convolution as [width, 3, patch, patch], a convolutional stem as a sequence
"patch_embed.stem.*" of convolution, batch norm, ReLU, ..., 1x1 convolution. timm's Vision
Transformers have the same names, without stems. Readers of other files bring their weights into
these names first, as a "state".
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from keras import ops

from data.common.errors import InputError
from msn.formats.families import timm
from msn.formats.families.family import Family
from msn.formats.files.torch_files import write_torch_file
from msn.formats.state_sizes import called, sizes_of_state
from msn.networks.encoder import Encoder
from msn.networks.variants import SIZES

TARGET = "target_encoder"

# Parts of a state that no representation depends on: heads, and a token for masked patches.
UNUSED = ("fc.", "head.", "pred.", "mask_token")
# By the width of known variants; ViT-g (DINOv2's of 1536, others of 1408) and DINOv3's 7B, too.
HEADS = {width: heads for width, _, heads in SIZES.values()} | {1408: 16, 1536: 24, 4096: 32}
# PyTorch's batch norms count their batches; nothing is computed from it.
COUNTER = ".num_batches_tracked"


def msn_state(backbone, head=None) -> dict[str, np.ndarray]:
    """Weights of a backbone, and of a projection head, under facebookresearch/msn's names."""
    return {
        name: to_torch(ops.convert_to_numpy(variable))
        for name, variable, to_torch, _ in _entries(backbone, head)
    }


def load_msn_state(state: dict[str, np.ndarray], backbone, head=None) -> None:
    """Sets weights from a state dict with facebookresearch/msn's names; others are left alone.

    Raises:
      InputError: a weight is missing or has another shape; nothing is set then.
    """
    values = []
    for name, variable, to_torch, from_torch in _entries(backbone, head):
        if name not in state:
            raise InputError(f"no weight {name!r} among the {len(state)} that were found")
        found = np.asarray(state[name])
        expected = to_torch(np.broadcast_to(np.float32(0), variable.shape)).shape
        if found.shape != expected:
            raise InputError(
                f"weight {called(state, name)!r}: found shape {found.shape}, which does not fit "
                f"the others; expected {expected}"
            )
        values.append((variable, from_torch(found)))
    for variable, value in values:
        variable.assign(value)


def write_msn_checkpoint(encoder: Encoder, path: Path) -> None:
    """Writes a checkpoint from which facebookresearch/msn takes the target encoder."""
    state = with_cls_position(msn_state(encoder.backbone))
    write_torch_file(path, {TARGET: state, "num_heads": encoder.backbone.num_heads})


@dataclass(frozen=True)
class Foreign:
    """What was found in a file or directory of another project.

    Attributes:
      state: weights under facebookresearch/msn's names, in that project's layouts.
      arguments: of `Encoder`, as far as shapes do not tell them.
      unused: names of other weights in there, on which no representation depends.
      family: what it is of.
      remarks: what a user must know of it.
    """

    state: dict[str, np.ndarray]
    arguments: dict
    unused: list[str] = field(default_factory=list)
    family: Family = timm.BARE
    remarks: list[str] = field(default_factory=list)


def how_to_give(names: list[str]) -> str:
    """Where users say what a file does not: flags of two commands, keys of configurations."""

    def written(start):
        return " ".join(f"--{start}{n}={'N' if n == 'num_heads' else 'R,G,B'}" for n in names)

    return (
        f"inference.py, msn.convert: {written('')}; down-stream: {written('config.encoder_')}; "
        f"pre-training: {written('config.init_')}"
    )


def encoder_of_state(state: dict[str, np.ndarray], num_heads: int | None, **arguments) -> Encoder:
    """An encoder with the weights of a state, its sizes taken from their shapes.

    Args:
      state: facebookresearch/msn's names; UNUSED parts are left alone.
      num_heads: None where it follows from the width of a known variant.
      **arguments: other constructor arguments of `Encoder`.

    Raises:
      InputError: a weight is missing, unknown or of a wrong shape, or `num_heads` has to be given.
    """
    sizes = sizes_of_state(state, "rope_theta" not in arguments)
    if num_heads is None:
        if sizes["width"] not in HEADS:
            raise InputError(
                f"does not say how many heads there are, and no known variant is "
                f"{sizes['width']} wide; expected num_heads ({how_to_give(['num_heads'])})"
            )
        num_heads = HEADS[sizes["width"]]
    if num_heads < 1:
        raise InputError(f"num_heads is {num_heads}; expected at least 1")
    encoder = Encoder(num_heads=num_heads, **(sizes | arguments))
    known = named_variables(encoder.backbone)
    unused = {name for name in state if name.startswith(UNUSED) or name.endswith(COUNTER)}
    if unknown := [name for name in state if name not in known and name not in unused]:
        raise InputError(f"weight {unknown[0]!r} does not belong to any known Vision Transformer")
    load_msn_state(state, encoder.backbone)
    return encoder


def with_cls_position(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same state with a position for CLS, zero where there was none, as other projects need."""
    positions = state["pos_embed"]
    if math.isqrt(positions.shape[1]) ** 2 != positions.shape[1]:
        return state
    return state | {"pos_embed": np.pad(positions, ((0, 0), (1, 0), (0, 0)))}


def named_variables(backbone, head=None) -> dict:
    """The same weights as variables in our own layout, under facebookresearch/msn's names."""
    return {name: variable for name, variable, _, _ in _entries(backbone, head)}


def _entries(backbone, head):
    """Yields (name, variable, our array -> theirs, their array -> ours)."""
    for name, variable in (
        ("cls_token", "cls_token"),
        ("reg_token", "registers"),
        ("pos_embed", "positions"),
    ):
        if hasattr(backbone, variable):
            yield name, getattr(backbone, variable), _same, _same
    if backbone.stem_channels:
        yield from _stem(backbone.patch_embedding)
    else:
        yield from _patches("patch_embed.proj", backbone.patch_embedding, backbone.patch_size)
    for index, block in enumerate(backbone.blocks):
        yield from _norm(f"blocks.{index}.norm1", block.norm1)
        yield from _dense(f"blocks.{index}.attn.qkv", block.attention.qkv)
        yield from _dense(f"blocks.{index}.attn.proj", block.attention.out)
        for number, factors in enumerate(block.layer_scales or (), 1):
            yield f"blocks.{index}.ls{number}.gamma", factors, _same, _same
        yield from _norm(f"blocks.{index}.norm2", block.norm2)
        yield from _dense(f"blocks.{index}.mlp.fc1", block.fc1)
        yield from _dense(f"blocks.{index}.mlp.fc2", block.fc2)
    yield from _norm("fc_norm" if backbone.pool_norm else "norm", backbone.norm)
    if head is not None:
        for fc in ("fc1", "fc2", "fc3"):
            yield from _dense(f"fc.{fc}", getattr(head, fc))
        for bn in ("bn1", "bn2"):
            yield from _batch_norm(f"fc.{bn}", getattr(head, bn))


def _stem(stem):
    for index, (convolution, norm) in enumerate(zip(stem.convolutions, stem.norms, strict=True)):
        kernel = convolution.kernel
        yield f"patch_embed.stem.{3 * index}.weight", kernel, _convolution_out, _convolution_in
        yield from _batch_norm(f"patch_embed.stem.{3 * index + 1}", norm)
    yield from _patches(f"patch_embed.stem.{3 * len(stem.norms)}", stem.projection, 1)


def _patches(name, layer, size):
    """A dense layer over patches of size x size, which is a convolution there."""

    def to_torch(kernel):
        return _convolution_out(kernel.reshape(size, size, -1, kernel.shape[1]))

    def from_torch(kernel):
        return _convolution_in(kernel).reshape(-1, kernel.shape[0])

    yield f"{name}.weight", layer.kernel, to_torch, from_torch
    yield f"{name}.bias", layer.bias, _same, _same


def _dense(name, layer):
    yield f"{name}.weight", layer.kernel, np.transpose, np.transpose
    yield f"{name}.bias", layer.bias, _same, _same


def _norm(name, layer):
    yield f"{name}.weight", layer.gamma, _same, _same
    yield f"{name}.bias", layer.beta, _same, _same


def _batch_norm(name, layer):
    yield from _norm(name, layer)
    yield f"{name}.running_mean", layer.running_mean, _same, _same
    yield f"{name}.running_var", layer.running_variance, _same, _same


def _same(value):
    return value


def _convolution_out(kernel):
    """[height, width, in, out] -> [out, in, height, width]."""
    return kernel.transpose(3, 2, 0, 1)


def _convolution_in(kernel):
    """The inverse of `_convolution_out`."""
    return kernel.transpose(2, 3, 1, 0)
