import pytest

from msn.formats.reference_names import encoder_of_state, msn_state
from msn.formats.state_sizes import ratio_of, sizes_of_state
from msn.networks.encoder import Encoder
from msn.networks.vit import VisionTransformer

TINY = {"image_size": 16, "patch_size": 4, "width": 12, "depth": 2, "num_heads": 3}
STEM = TINY | {"stem_channels": (5, 7)}


@pytest.mark.parametrize("arguments", [TINY, STEM], ids=["patches", "stem"])
@pytest.mark.parametrize("cls_position", [True, False])
def test_sizes_follow_from_the_shapes(cls_position, arguments):
    arguments = arguments | {"cls_position": cls_position, "mlp_ratio": 2.5}
    state = msn_state(Encoder(**arguments).backbone)
    assert sizes_of_state(state) | {"num_heads": 3} == arguments
    encoder = encoder_of_state(state, 3, gelu="tanh")
    assert encoder.get_config() == Encoder(**arguments, gelu="tanh").get_config()


def test_patches_that_do_not_divide_224():
    state = msn_state(VisionTransformer(220, 10, width=12, depth=1, num_heads=3))
    assert state["pos_embed"].shape == (1, 484 + 1, 12)
    sizes = sizes_of_state(state)
    assert (sizes["image_size"], sizes["patch_size"]) == (220, 10)
    assert encoder_of_state(state, 3).image_size == 220


def test_every_hidden_width_has_a_ratio():
    for width in range(1, 200):
        assert all(int(width * ratio_of(hidden, width)) == hidden for hidden in range(1, 900))
