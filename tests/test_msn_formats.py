import numpy as np
import pytest

from data.errors import InputError
from msn.formats import (
    encoder_of_state,
    load_msn_state,
    msn_state,
    named_variables,
    ratio_of,
    sizes_of_state,
)
from msn.heads import ProjectionHead
from msn.vit import Encoder, VisionTransformer

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


@pytest.mark.parametrize("cls_position", [True, False])
def test_sizes_follow_from_the_shapes(cls_position):
    arguments = TINY | {"cls_position": cls_position, "mlp_ratio": 2.5}
    state = msn_state(Encoder(**arguments).backbone)
    assert sizes_of_state(state) | {"num_heads": 3} == arguments
    encoder = encoder_of_state(state, 3, gelu="tanh")
    assert encoder.get_config() == Encoder(**arguments, gelu="tanh").get_config()


def test_every_hidden_width_has_a_ratio():
    for width in range(1, 200):
        assert all(int(width * ratio_of(hidden, width)) == hidden for hidden in range(1, 900))


def test_heads_follow_from_the_width_of_a_known_variant():
    encoder = Encoder(image_size=8, patch_size=8, width=384, depth=1, num_heads=4)
    assert encoder_of_state(msn_state(encoder.backbone), None).backbone.num_heads == 6


def test_other_networks_are_named():
    state = msn_state(networks(1)[0])
    for changed, named in (
        (state | {"reg_token": np.zeros((1, 4, 12))}, "reg_token"),
        (state | {"blocks.7.norm1.bias": np.zeros(12)}, r"blocks\.7\."),
        (state | {"pos_embed": np.zeros((1, 23, 12))}, "23 positions"),
        (state | {"patch_embed.proj.weight": np.zeros((12, 1, 4, 4))}, "1 channels"),
        (state | {"patch_embed.proj.weight": np.zeros((12, 3, 4, 5))}, r"patch_embed"),
        (state | {"patch_embed.proj.weight": np.zeros((12, 48))}, r"\(12, 48\)"),
    ):
        with pytest.raises(InputError, match=named):
            encoder_of_state(changed, 3)
