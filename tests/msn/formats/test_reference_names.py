import numpy as np
import pytest

from data.common.errors import InputError
from msn.formats.reference_names import (
    encoder_of_state,
    load_msn_state,
    msn_state,
    named_variables,
)
from msn.method.heads import ProjectionHead
from msn.method.model import MSN
from msn.networks.encoder import Encoder
from msn.networks.vit import VisionTransformer
from msn.workdir import checkpoints

TINY = {"image_size": 16, "patch_size": 4, "width": 12, "depth": 2, "num_heads": 3}
STEM = TINY | {"stem_channels": (5, 7)}


BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
BOTH = pytest.mark.parametrize("arguments", [TINY, STEM], ids=["patches", "stem"])


def networks(seed, arguments=TINY):
    return VisionTransformer(**arguments, seed=seed), ProjectionHead(12, 8, 4, seed=seed)


def randomise(variables):
    for number, variable in enumerate(variables):
        variable.assign(np.random.default_rng(number).uniform(0.1, 1, variable.shape))


@BOTH
def test_a_state_dict_carries_everything(arguments):
    (backbone, head), (other_backbone, other_head) = networks(1, arguments), networks(2, arguments)
    randomise(backbone.weights + head.weights)
    load_msn_state(msn_state(backbone, head), other_backbone, other_head)
    pairs = zip(
        backbone.weights + head.weights, other_backbone.weights + other_head.weights, strict=True
    )
    assert all(np.array_equal(a, b) for a, b in pairs)


@BOTH
def test_every_variable_has_one_name(arguments):
    backbone, head = networks(1, arguments)
    named = named_variables(backbone, head)
    assert {id(v) for v in named.values()} == {id(v) for v in backbone.weights + head.weights}
    assert len(named) == len(backbone.weights + head.weights)


def test_layouts_are_pytorchs():
    state = msn_state(*networks(1))
    assert state["patch_embed.proj.weight"].shape == (12, 3, 4, 4)
    assert state["blocks.1.attn.qkv.weight"].shape == (36, 12)
    assert state["fc.fc3.weight"].shape == (4, 8)


def test_names_and_layouts_of_a_stem_are_the_references():
    """ConvEmbed of facebookresearch/msn: a sequence of convolution, batch norm, ReLU, ..."""
    backbone, _ = networks(1, STEM)
    state = msn_state(backbone)
    assert {n: v.shape for n, v in state.items() if n.startswith("patch_embed.")} == {
        "patch_embed.stem.0.weight": (5, 3, 3, 3),
        **{f"patch_embed.stem.1.{part}": (5,) for part in BATCH_NORM},
        "patch_embed.stem.3.weight": (7, 5, 3, 3),
        **{f"patch_embed.stem.4.{part}": (7,) for part in BATCH_NORM},
        "patch_embed.stem.6.weight": (12, 7, 1, 1),
        "patch_embed.stem.6.bias": (12,),
    }
    first, second = (np.asarray(c.kernel) for c in backbone.patch_embedding.convolutions)
    assert state["patch_embed.stem.0.weight"][4, 2, 0, 1] == first[0, 1, 2, 4]
    assert state["patch_embed.stem.3.weight"][6, 4, 2, 0] == second[2, 0, 4, 6]
    projection = np.asarray(backbone.patch_embedding.projection.kernel)
    assert state["patch_embed.stem.6.weight"][11, 3, 0, 0] == projection[3, 11]


def test_counters_of_batches_are_left_out():
    state = msn_state(VisionTransformer(**STEM))
    counted = state | {"patch_embed.stem.1.num_batches_tracked": np.array(7)}
    assert msn_state(encoder_of_state(counted, 3).backbone).keys() == state.keys()


@BOTH
def test_a_checkpoint_of_a_run_carries_running_statistics(tmp_path, arguments):
    model, other = (
        MSN(arguments, hidden_dim=8, output_dim=4, num_prototypes=6, seed=seed) for seed in (1, 2)
    )
    parts = ("anchor_encoder", "anchor_head", "target_encoder", "target_head")
    for part in parts:
        randomise(getattr(model, part).weights)
    path = checkpoints.save_checkpoint(tmp_path, model, 3, keep=1)
    assert checkpoints.restore_checkpoint(path, other) == (3, ())
    for part in parts:
        pairs = zip(getattr(model, part).weights, getattr(other, part).weights, strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs), part
    if arguments is STEM:
        state = checkpoints.run_state(model)
        statistic = model.target_encoder.backbone.patch_embedding.norms[1].running_variance
        assert state["target/patch_embed.stem.4.running_var"] is statistic


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


def test_heads_follow_from_the_width_of_a_known_variant():
    encoder = Encoder(image_size=8, patch_size=8, width=384, depth=1, num_heads=4)
    assert encoder_of_state(msn_state(encoder.backbone), None).backbone.num_heads == 6


def test_other_networks_are_named():
    state = msn_state(networks(1)[0])
    for changed, named in (
        (state | {"dist_token": np.zeros((1, 1, 12))}, "dist_token"),
        (state | {"blocks.7.norm1.bias": np.zeros(12)}, r"blocks\.7\."),
        (state | {"pos_embed": np.zeros((1, 23, 12))}, "23 positions"),
        (state | {"patch_embed.proj.weight": np.zeros((12, 1, 4, 4))}, "1 channels"),
        (state | {"patch_embed.proj.weight": np.zeros((12, 3, 4, 5))}, r"patch_embed"),
        (state | {"patch_embed.proj.weight": np.zeros((12, 48))}, r"\(12, 48\)"),
    ):
        with pytest.raises(InputError, match=named):
            encoder_of_state(changed, 3)


def test_other_stems_are_named():
    state = msn_state(networks(1, STEM)[0])
    last, first = "patch_embed.stem.6.weight", "patch_embed.stem.0.weight"
    for changed, named in (
        (state | {last: np.zeros((12, 7, 3, 3))}, r"\(12, 7, 3, 3\)"),
        (state | {first: np.zeros((5, 3, 7, 7))}, r"\(5, 3, 7, 7\)"),
        (state | {first: np.zeros((5, 1, 3, 3))}, r"\(5, 1, 3, 3\)"),
        (state | {first: np.zeros((5, 27))}, r"stem\.0\.weight.*expected 4 axes"),
        (state | {"patch_embed.stem.0.bias": np.zeros(5)}, r"stem\.0\.bias"),
        (state | {"patch_embed.proj.weight": np.zeros((12, 3, 4, 4))}, r"patch_embed\.proj"),
        ({n: v for n, v in state.items() if n != last}, r"one of 1x1 at the end"),
        (
            {n: v for n, v in state.items() if "stem.4.running_var" not in n},
            r"stem\.4\.running_var",
        ),
    ):
        with pytest.raises(InputError, match=named):
            encoder_of_state(changed, 3)
