"""What the shapes of an encoder's weights tell: the sizes that `Encoder` is built with.

A state has weights under facebookresearch/msn's names, in that project's layouts; see
`msn.formats.reference_names`.
"""

import itertools
import math
import re
from collections import Counter

import numpy as np

from data.common.errors import InputError
from msn.formats.families.family import State
from msn.networks.options import OPTIONS
from msn.networks.variants import default_image_size

# Weights whose last axis is the width.
WIDE = re.compile(r"^cls_token$|^pos_embed$|^patch_embed\.proj\.bias$|norm[12]?\.(weight|bias)$")


def sizes_of_state(state: dict[str, np.ndarray], learned_positions: bool = True) -> dict:
    """Constructor arguments of `Encoder` that follow from the shapes of a state.

    Raises:
      InputError: a weight that tells a size is missing or has another number of axes.
    """
    embedding = sizes_of_stem(state) or sizes_of_patches(state)
    width, patch_size = embedding["width"], embedding["patch_size"]
    blocks = {int(match[1]) for name in state if (match := re.match(r"blocks\.(\d+)\.", name))}
    hidden, gated = hidden_of(state, blocks)
    sizes = embedding | {
        "image_size": default_image_size(patch_size),
        "depth": len(blocks),
        "mlp_ratio": ratio_of(hidden, width),
        "cls_position": True,
        "num_registers": shape_of(state, "reg_token", 3)[1] if "reg_token" in state else 0,
        "layer_scale": "blocks.0.ls1.gamma" in state,
        "swiglu": gated,
        "pool_norm": "fc_norm.weight" in state,
    }
    if learned_positions:
        sizes |= sizes_of_positions(state, patch_size)
    return {n: v for n, v in sizes.items() if n not in OPTIONS or OPTIONS[n] != v}


def sizes_of_positions(state: dict[str, np.ndarray], patch_size: int) -> dict:
    """What learned positions tell; raises `InputError`."""
    _, positions, _ = shape_of(state, "pos_embed", 3)
    cls_position = math.isqrt(positions) ** 2 != positions
    grid = math.isqrt(positions - cls_position)
    if grid**2 + cls_position != positions or not grid or cls_position > ("cls_token" in state):
        raise InputError(
            f"weight {called(state, 'pos_embed')!r}: {positions} positions; expected one per "
            "patch of a square, with or without CLS"
        )
    return {"image_size": grid * patch_size, "cls_position": cls_position}


def hidden_of(state: dict[str, np.ndarray], blocks) -> tuple[int, bool]:
    """Hidden width of the MLPs and whether they are gated, as most weights have it."""
    shape_of(state, "blocks.0.mlp.fc1.weight", 2)
    layers = [f"blocks.{block}.mlp.fc" for block in blocks]
    outer = Counter(
        state[name].shape[0]
        for layer in layers
        for name in (f"{layer}1.weight", f"{layer}1.bias")
        if name in state and state[name].ndim
    ).most_common(1)[0][0]
    inner = Counter(
        state[f"{layer}2.weight"].shape[-1]
        for layer in layers
        if f"{layer}2.weight" in state and state[f"{layer}2.weight"].ndim == 2
    )
    gated = inner[outer / 2] and inner[outer / 2] >= inner[outer]
    return (outer // 2 if gated else outer), bool(gated)


def called(state: dict[str, np.ndarray], name: str) -> str:
    """What the file that a state came from calls a weight."""
    return state.called(name) if isinstance(state, State) else name


def sizes_of_patches(state: dict[str, np.ndarray]) -> dict:
    """What a patch convolution tells; raises `InputError`."""
    _, channels, patch_size, _ = shape_of(state, "patch_embed.proj.weight", 4)
    if channels != 3:
        raise InputError(f"patches of {channels} channels; expected 3")
    # Most weights have it: one of another size is found out then, whichever it is.
    votes = Counter(v.shape[-1] for name, v in state.items() if WIDE.search(name) and v.ndim)
    return {"patch_size": patch_size, "width": votes.most_common(1)[0][0]}


def sizes_of_stem(state: dict[str, np.ndarray]) -> dict:
    """What a convolutional stem tells, {} without one; raises `InputError`."""
    names = (f"patch_embed.stem.{3 * index}.weight" for index in itertools.count())
    shapes = [shape_of(state, name, 4) for name in itertools.takewhile(state.__contains__, names)]
    if not shapes:
        return {}
    *channels, width = (shape[0] for shape in shapes)
    # Every 3x3 convolution halves height and width; the last one, 1x1, makes tokens.
    kernels = [shape[2:] for shape in shapes]
    if not channels or kernels != [(3, 3)] * len(channels) + [(1, 1)] or shapes[0][1] != 3:
        raise InputError(
            f"a stem of convolutions {', '.join(map(str, shapes))}; expected 3x3 ones, the "
            "first from 3 channels, and one of 1x1 at the end"
        )
    return {"patch_size": 2 ** len(channels), "width": width, "stem_channels": tuple(channels)}


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
        raise InputError(
            f"weight {called(state, name)!r}: found shape {state[name].shape}; expected {axes} axes"
        )
    return state[name].shape
