"""Names and layouts of weights in other projects' files, as arrays in and out of our models.

facebookresearch/msn: PyTorch names ("blocks.0.attn.qkv.weight", the head as "fc.*"), kernels as
[out, in], the patch convolution as [width, 3, patch, patch]. timm's Vision Transformers have the
same names. Readers of other files bring their weights into these names first, as a "state".
"""

import math
import re
from pathlib import Path

import numpy as np
from keras import ops

from data.errors import InputError
from msn.torch_files import read_state, write_torch_file
from msn.variants import SIZES
from msn.vit import Encoder

TARGET = "target_encoder"

# Parts of a state that no representation depends on: heads, and a token for masked patches.
UNUSED = ("fc.", "head.", "pred.", "mask_token")


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
    for name, variable, _, from_torch in _entries(backbone, head):
        if name not in state:
            raise InputError(f"no weight {name!r} among the {len(state)} that were found")
        value = from_torch(np.asarray(state[name]))
        if value.shape != tuple(variable.shape):
            raise InputError(
                f"weight {name!r}: found shape {np.shape(state[name])}, which does not fit the "
                f"model's {tuple(variable.shape)}"
            )
        values.append((variable, value))
    for variable, value in values:
        variable.assign(value)


def read_msn_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """The target encoder in a checkpoint of facebookresearch/msn.

    Returns:
      Its weights, without the "module." that distributed training puts before their names; and
      {"num_heads": int, or None where it is not said: only our own files say it}.

    Raises:
      InputError: damaged, or without a target encoder.
    """
    state, plain = read_state(path, TARGET)
    state = {name.removeprefix("module."): value for name, value in state.items()}
    num_heads = plain.get("num_heads")
    return state, {"num_heads": num_heads if type(num_heads) is int else None}


def write_msn_checkpoint(encoder: Encoder, path: Path) -> None:
    """Writes a checkpoint from which facebookresearch/msn takes the target encoder."""
    state = with_cls_position(msn_state(encoder.backbone))
    write_torch_file(path, {TARGET: state, "num_heads": encoder.backbone.num_heads})


def encoder_of_state(state: dict[str, np.ndarray], num_heads: int | None, **arguments) -> Encoder:
    """An encoder with the weights of a state, its sizes taken from their shapes.

    Args:
      state: facebookresearch/msn's names; UNUSED parts are left alone.
      num_heads: None where it follows from the width of a known variant.
      **arguments: other constructor arguments of `Encoder`.

    Raises:
      InputError: a weight is missing, unknown or of a wrong shape, or `num_heads` has to be given.
    """
    sizes = sizes_of_state(state)
    if num_heads is None:
        heads_of_width = {width: heads for width, _, heads in SIZES.values()}
        if sizes["width"] not in heads_of_width:
            raise InputError(
                f"does not say how many heads there are, and no known variant is "
                f"{sizes['width']} wide: give num_heads"
            )
        num_heads = heads_of_width[sizes["width"]]
    if num_heads < 1:
        raise InputError(f"num_heads is {num_heads}; right would be at least 1")
    encoder = Encoder(num_heads=num_heads, **sizes, **arguments)
    known = named_variables(encoder.backbone)
    if unknown := [name for name in state if name not in known and not name.startswith(UNUSED)]:
        raise InputError(f"weight {unknown[0]!r} is of no Vision Transformer that is known here")
    load_msn_state(state, encoder.backbone)
    return encoder


def sizes_of_state(state: dict[str, np.ndarray]) -> dict:
    """Constructor arguments of `Encoder` that follow from the shapes of a state.

    Raises:
      InputError: a weight that tells a size is missing or has another number of axes.
    """
    width, channels, patch_size, _ = shape_of(state, "patch_embed.proj.weight", 4)
    _, positions, _ = shape_of(state, "pos_embed", 3)
    hidden, _ = shape_of(state, "blocks.0.mlp.fc1.weight", 2)
    cls_position = math.isqrt(positions) ** 2 != positions
    grid = math.isqrt(positions - cls_position)
    if grid**2 + cls_position != positions or not grid or channels != 3 or not patch_size:
        raise InputError(
            f"{positions} positions and {channels} channels; right would be one position per "
            "patch of a square, with or without CLS, and 3 channels"
        )
    blocks = {int(match[1]) for name in state if (match := re.match(r"blocks\.(\d+)\.", name))}
    return {
        "image_size": grid * patch_size,
        "patch_size": patch_size,
        "width": width,
        "depth": len(blocks),
        "mlp_ratio": ratio_of(hidden, width),
        "cls_position": cls_position,
    }


def ratio_of(hidden: int, width: int) -> int | float:
    """The number by which `width` is multiplied, and rounded down, to give `hidden`."""
    if hidden % width == 0:
        return hidden // width
    ratio = hidden / width
    return ratio if int(width * ratio) == hidden else math.nextafter(ratio, math.inf)


def shape_of(state: dict[str, np.ndarray], name: str, axes: int) -> tuple[int, ...]:
    """The shape of a weight, which must be there with this many axes; raises `InputError`."""
    if name not in state:
        raise InputError(f"no weight {name!r} among the {len(state)} that were found")
    if state[name].ndim != axes or not all(state[name].shape):
        raise InputError(f"weight {name!r}: found shape {state[name].shape}, not {axes} axes")
    return state[name].shape


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
    patch, width = backbone.patch_size, backbone.width

    def same(value):
        return value

    def patches_out(kernel):
        return kernel.reshape(patch, patch, 3, width).transpose(3, 2, 0, 1)

    def patches_in(kernel):
        return kernel.transpose(2, 3, 1, 0).reshape(-1, kernel.shape[0])

    def dense(name, layer):
        yield f"{name}.weight", layer.kernel, np.transpose, np.transpose
        yield f"{name}.bias", layer.bias, same, same

    def norm(name, layer):
        yield f"{name}.weight", layer.gamma, same, same
        yield f"{name}.bias", layer.beta, same, same

    yield "cls_token", backbone.cls_token, same, same
    yield "pos_embed", backbone.positions, same, same
    yield "patch_embed.proj.weight", backbone.patch_embedding.kernel, patches_out, patches_in
    yield "patch_embed.proj.bias", backbone.patch_embedding.bias, same, same
    for index, block in enumerate(backbone.blocks):
        yield from norm(f"blocks.{index}.norm1", block.norm1)
        yield from dense(f"blocks.{index}.attn.qkv", block.attention.qkv)
        yield from dense(f"blocks.{index}.attn.proj", block.attention.out)
        yield from norm(f"blocks.{index}.norm2", block.norm2)
        yield from dense(f"blocks.{index}.mlp.fc1", block.fc1)
        yield from dense(f"blocks.{index}.mlp.fc2", block.fc2)
    yield from norm("norm", backbone.norm)
    if head is not None:
        for fc in ("fc1", "fc2", "fc3"):
            yield from dense(f"fc.{fc}", getattr(head, fc))
        for bn in ("bn1", "bn2"):
            layer = getattr(head, bn)
            yield from norm(f"fc.{bn}", layer)
            yield f"fc.{bn}.running_mean", layer.running_mean, same, same
            yield f"fc.{bn}.running_var", layer.running_variance, same, same
