import numpy as np
import pytest

from data.errors import InputError
from msn.formats import load_msn_state, msn_state, named_variables
from msn.heads import ProjectionHead
from msn.vit import VisionTransformer

TINY = {"image_size": 16, "patch_size": 4, "width": 12, "depth": 2, "num_heads": 3}


def networks(seed):
    return VisionTransformer(**TINY, seed=seed), ProjectionHead(12, 8, 4, seed=seed)


def test_a_state_dict_carries_everything():
    (backbone, head), (other_backbone, other_head) = networks(1), networks(2)
    head.bn1.running_mean.assign(np.arange(8.0))
    load_msn_state(msn_state(backbone, head), other_backbone, other_head)
    pairs = zip(
        backbone.weights + head.weights, other_backbone.weights + other_head.weights, strict=True
    )
    assert all(np.array_equal(a, b) for a, b in pairs)


def test_every_variable_has_one_name():
    backbone, head = networks(1)
    named = named_variables(backbone, head)
    assert {id(v) for v in named.values()} == {id(v) for v in backbone.weights + head.weights}
    assert len(named) == len(backbone.weights + head.weights)


def test_layouts_are_pytorchs():
    state = msn_state(*networks(1))
    assert state["patch_embed.proj.weight"].shape == (12, 3, 4, 4)
    assert state["blocks.1.attn.qkv.weight"].shape == (36, 12)
    assert state["fc.fc3.weight"].shape == (4, 8)


def test_what_does_not_fit_is_named_and_nothing_is_set():
    backbone, _ = networks(1)
    before = msn_state(backbone)
    state = msn_state(networks(2)[0])
    with pytest.raises(InputError, match=r"blocks\.0\.mlp\.fc1\.bias"):
        load_msn_state(state | {"blocks.0.mlp.fc1.bias": np.zeros(7)}, backbone)
    del state["norm.weight"]
    with pytest.raises(InputError, match=r"norm\.weight"):
        load_msn_state(state, backbone)
    assert all(np.array_equal(before[name], value) for name, value in msn_state(backbone).items())
