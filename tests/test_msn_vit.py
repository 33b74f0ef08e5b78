import numpy as np
import pytest
from keras import ops

from data.errors import InputError
from msn.embedding import bicubic_matrix
from msn.variants import variant_arguments
from msn.vit import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Encoder,
    VisionTransformer,
    create_encoder,
)

TINY = {"image_size": 16, "patch_size": 4, "width": 12, "depth": 2, "num_heads": 3, "seed": 1}


def images(size=16, batch=2, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (batch, size, size, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def backbone():
    return VisionTransformer(**TINY)


def test_tokens_and_cls(backbone):
    tokens, cls = backbone(images())
    assert tokens.shape == (2, 1 + 16, 12)
    np.testing.assert_array_equal(tokens[:, 0], cls)


def test_a_frame_does_not_depend_on_its_neighbours_in_the_batch(backbone):
    batch = images(batch=3)
    alone = backbone(batch[1:2])[1]
    np.testing.assert_allclose(backbone(batch)[1][1:2], alone, atol=1e-5)


def test_masked_patches_are_not_seen(backbone):
    kept = np.array([0, 5, 6])
    one, other = images(seed=1), images(seed=1)
    # Patch 7 is row 1, column 3 of the 4 x 4 grid: pixels 4-7, 12-15.
    other[:, 4:8, 12:16] = 0
    np.testing.assert_array_equal(
        backbone(one, kept_patches=kept)[1], backbone(other, kept_patches=kept)[1]
    )
    assert backbone(one, kept_patches=kept)[0].shape == (2, 1 + 3, 12)
    # Patch 6 is kept: row 1, column 2.
    other[:, 4:8, 8:12] = 0
    difference = backbone(one, kept_patches=kept)[1] - backbone(other, kept_patches=kept)[1]
    assert np.abs(difference).max() > 1e-3


def test_keeping_all_patches_is_no_mask(backbone):
    kept = np.arange(16)
    np.testing.assert_allclose(
        backbone(images(), kept_patches=kept)[0], backbone(images())[0], atol=1e-6
    )


def test_patches_are_cut_row_by_row(backbone):
    numbered = np.zeros((1, 16, 16, 3), np.float32)
    for row in range(4):
        for column in range(4):
            numbered[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 4 * row + column
    patches = ops.convert_to_numpy(backbone.patchify(numbered, 4, 4))
    assert patches.shape == (1, 16, 48)
    np.testing.assert_array_equal(patches[0], np.repeat(np.arange(16)[:, None], 48, axis=1))


def test_other_sizes_interpolate_positions_and_need_whole_patches(backbone):
    assert backbone(images(size=8))[0].shape == (2, 1 + 4, 12)
    assert backbone(np.zeros((1, 8, 24, 3), np.float32))[0].shape == (1, 1 + 12, 12)
    with pytest.raises(InputError, match="18x18"):
        backbone(images(size=18))


@pytest.mark.parametrize("size, new_size", [(4, 2), (14, 6), (3, 7), (5, 5)])
def test_bicubic_rows_sum_to_one_and_keep_lines_straight(size, new_size):
    matrix = bicubic_matrix(size, new_size)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    centres = (np.arange(new_size) + 0.5) * size / new_size - 0.5
    inner = (centres >= 1) & (centres <= size - 2)
    np.testing.assert_allclose((matrix @ np.arange(size))[inner], centres[inner], atol=0.05)
    if size == new_size:
        np.testing.assert_allclose(matrix, np.eye(size), atol=1e-12)


def test_last_blocks_end_in_the_output(backbone):
    outputs = backbone.last_blocks(images(), 2)
    assert len(outputs) == 2
    np.testing.assert_allclose(outputs[-1], backbone(images())[0], atol=1e-6)


def test_attention_rows_are_distributions(backbone):
    attention = ops.convert_to_numpy(backbone.last_attention(images()))
    assert attention.shape == (2, 3, 17, 17)
    assert attention.min() >= 0
    np.testing.assert_allclose(attention.sum(axis=-1), 1, atol=1e-5)


def test_the_seed_decides_the_weights():
    one, same, other = (VisionTransformer(**TINY | {"seed": s}).get_weights() for s in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    kernels = [(a, b) for a, b in zip(one, other, strict=True) if a.std() > 0]
    assert len(kernels) > 5
    assert not any(np.array_equal(a, b) for a, b in kernels)
    # No two matrices of one network start alike either.
    first, second = (w for w in one if w.shape == (12, 36))
    assert not np.array_equal(first, second)


def test_encoder_takes_raw_pixels():
    encoder = Encoder(**TINY)
    raw = images()
    normalised = (raw / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    np.testing.assert_allclose(encoder(raw)[1], encoder.backbone(normalised)[1], atol=1e-4)
    bytes_in = raw.astype(np.uint8)
    np.testing.assert_allclose(
        encoder(bytes_in)[1], encoder(bytes_in.astype(np.float32))[1], atol=1e-6
    )


def test_config_rebuilds_the_encoder():
    encoder = Encoder(**TINY, gelu="tanh", cls_position=False, mean=(0, 0, 0), std=(1, 1, 1))
    again = Encoder(**encoder.get_config())
    again.set_weights(encoder.get_weights())
    np.testing.assert_array_equal(encoder(images())[1], again(images())[1])
    assert encoder.backbone.positions.shape == (1, 16, 12)


# Parameters of the encoder without head, counted by hand from the formulas of arXiv 2010.11929:
# patches 3 p^2 w + w, CLS w, positions (n + 1) w, per block 12 w^2 + 13 w, last norm 2 w.
@pytest.mark.parametrize(
    "variant, millions",
    [
        ("vitti16", 5.52),
        ("vits16", 21.67),
        ("vits8", 21.67),
        ("vitb16", 85.80),
        ("vitmicro8", 0.54),
    ],
)
def test_variants_have_the_published_sizes(variant, millions):
    encoder = create_encoder(variant)
    a = variant_arguments(variant)
    width, patch = a["width"], a["patch_size"]
    by_hand = (
        3 * patch**2 * width
        + width
        + width
        + ((224 // patch) ** 2 + 1) * width
        + a["depth"] * (12 * width**2 + 13 * width)
        + 2 * width
    )
    assert encoder.count_params() == by_hand
    assert abs(by_hand / 1e6 - millions) < 0.01


@pytest.mark.parametrize(
    "arguments, named",
    [({"image_size": 18}, "18"), ({"num_heads": 5}, "num_heads 5")],
)
def test_sizes_that_do_not_fit_are_named(arguments, named):
    with pytest.raises(InputError, match=named):
        VisionTransformer(**TINY | arguments)


@pytest.mark.parametrize("variant", ["vits", "vitx16", "vits0", "resnet50", ""])
def test_unknown_variants_are_refused(variant):
    with pytest.raises(InputError, match="vits16"):
        variant_arguments(variant)
