import json

import numpy as np
import pytest

from data.common.errors import InputError
from msn import encoders
from msn.formats.reference_names import named_variables
from msn.networks.embedding import linear_matrix
from msn.networks.encoder import create_encoder
from msn.pretrain import pretrain
from msn.training.checks import check
from msn.training.configuration import create_model
from tests.support.places import GOLDEN
from tests.support.small_msn import VARIANT, small_config

UNUSUAL = {
    "gelu": "tanh",
    "layer_norm_epsilon": 1e-5,
    "cls_position": False,
    "mean": (0.1, 0.2, 0.3),
    "std": (0.5, 0.6, 0.7),
}


@pytest.fixture(scope="module")
def encoder_dir(tmp_path_factory):
    encoder = create_encoder(VARIANT, 16, seed=7, **UNUSUAL)
    path = tmp_path_factory.mktemp("earlier") / "encoder"
    return encoders.save_encoder(encoder, path, {"step": 7, "videos": ["old01"]})


def test_both_networks_begin_at_the_encoder_and_take_its_preprocessing(encoder_dir):
    model = create_model(small_config("unused", init=str(encoder_dir)))
    opened = encoders.load_encoder(encoder_dir)
    images = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    for encoder in (model.anchor_encoder, model.target_encoder):
        assert encoder.get_config() == opened.get_config()
        np.testing.assert_array_equal(encoder(images)[1], opened(images)[1])
    heads = zip(model.anchor_head.get_weights(), model.target_head.get_weights(), strict=True)
    assert all(np.array_equal(anchor, target) for anchor, target in heads)


def test_positions_are_interpolated_to_another_size(encoder_dir):
    """A larger image gives what the encoder itself gives for it, which interpolates as it goes."""
    model = create_model(small_config("unused", init=str(encoder_dir), views__size=32))
    opened = encoders.load_encoder(encoder_dir)
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    assert model.anchor_encoder.image_size == 32
    assert named_variables(model.anchor_encoder.backbone)["pos_embed"].shape == (1, 16, 12)
    for ours, theirs in zip(model.anchor_encoder(images), opened(images), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_what_does_not_fit_is_said_with_what_would(encoder_dir, tmp_path):
    for changes, said in (
        ({"views__focal_size": 12}, f"focal_size is 12; .* of init={encoder_dir}'s .* 8 or 16$"),
        ({"init_patch_size": 5}, "views.size is 16; .* patch size 5, as 15 or 20$"),
        ({"patch_drop": 0.9}, "patch_drop is 0.9"),
        ({"init": str(tmp_path / "missing")}, r"init=.*missing: no such file"),
    ):
        with pytest.raises(InputError, match=said):
            create_model(small_config("unused", **{"init": str(encoder_dir)} | changes))
    config = small_config("unused", init_patch_size=8)
    with pytest.raises(InputError, match="init_patch_size is 8 without init"):
        check(config)


def test_patches_of_a_stem_stay_as_they_are(tmp_path):
    stem = create_encoder(VARIANT, 16, stem_channels=(2, 3, 4), seed=7)
    path = encoders.save_encoder(stem, tmp_path / "stem", {})
    create_model(small_config("unused", init=str(path), init_patch_size=8))
    with pytest.raises(InputError, match="init_patch_size is 4; expected 8, what its conv"):
        create_model(small_config("unused", init=str(path), init_patch_size=4))


def test_the_architecture_is_the_encoders(tmp_path):
    """Whatever model.variant says."""
    wide = create_encoder(VARIANT, 16, width=24, depth=1, num_heads=3, mlp_ratio=2, patch_size=4)
    path = encoders.save_encoder(wide, tmp_path / "wide", {})
    config = small_config("unused", init=str(path), model__variant="vits16")
    check(config)
    assert create_model(config).anchor_encoder.get_config() == wide.get_config()


@pytest.mark.parametrize("size", [16, 4])
def test_patches_of_another_size_are_resampled(encoder_dir, size):
    """Images with resized patches give what the encoder gives for the images."""
    views = {"views__size": 2 * size, "views__focal_size": size}
    config = small_config("unused", init=str(encoder_dir), init_patch_size=size, **views)
    continued, opened = create_model(config).anchor_encoder, encoders.load_encoder(encoder_dir)
    assert (continued.backbone.patch_size, continued.image_size) == (size, 2 * size)
    images = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    if size < 8:  # what has no detail that smaller patches would lose
        images = np.kron(images[:, ::2, ::2], np.ones((1, 2, 2, 1), np.float32))
    matrix = np.kron(np.eye(2), linear_matrix(8, size)).astype(np.float32)
    resized = np.einsum("ai,bj,nijc->nabc", matrix, matrix, images)
    for ours, theirs in zip(continued(resized), opened(images), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4)
        assert np.abs(theirs).max() > 1


def test_a_frozen_encoder_is_refused_with_what_to_take(encoder_dir):
    released = GOLDEN / "endossl-released"
    for path, right in (
        (encoder_dir / "saved_model", f"the same encoder in {encoder_dir}$"),
        (released / "saved_model_inference", f"the same weights in {released / 'checkpoint_0'}$"),
    ):
        with pytest.raises(InputError, match=f"a SavedModel is frozen; expected {right}"):
            create_model(small_config("unused", init=str(path)))


def test_encoder_json_says_where_a_run_began(encoder_dir, small_dataset, tmp_path):
    """Videos that the earlier run has seen are videos that this encoder has seen."""
    config = small_config(small_dataset, init=str(encoder_dir), steps=0)
    assert pretrain(config, tmp_path)
    description = json.loads((tmp_path / "encoder" / "encoder.json").read_text())
    source = description["source"]
    assert source["init"] == {
        "path": str(encoder_dir),
        "source": {"step": 7, "videos": ["old01"]},
    }
    assert source["videos"] == ["video01", "video02", "video03", "video04", "old01"]
    assert description["encoder"]["gelu"] == "tanh"
