"""Names and layouts of weights in other projects' files, as arrays in and out of our models.

facebookresearch/msn: PyTorch names ("blocks.0.attn.qkv.weight", the head as "fc.*"), kernels as
[out, in], the patch convolution as [width, 3, patch, patch].
"""

import numpy as np
from keras import ops

from data.errors import InputError


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
