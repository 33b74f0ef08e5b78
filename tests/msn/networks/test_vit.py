import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from data.common.errors import InputError
from msn.networks.encoder import IMAGENET_MEAN, IMAGENET_STD, Encoder
from msn.networks.vit import VisionTransformer

TINY = {"image_size": 16, "patch_size": 4, "width": 12, "depth": 2, "num_heads": 3, "seed": 1}
STEM = TINY | {"stem_channels": (5, 7)}
KEPT = np.array([0, 3, 5, 6, 9, 12])


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


@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"image_size": 18}, "18"),
        ({"num_heads": 5}, "num_heads 5"),
        ({"stem_channels": (5, 7, 9)}, "3 stem_channels make patches of 8 pixels"),
    ],
)
def test_sizes_that_do_not_fit_are_named(arguments, named):
    with pytest.raises(InputError, match=named):
        VisionTransformer(**TINY | arguments)


def exact_backbone(arguments):
    """In float64, with weights that are large enough for mistakes to show."""
    backbone = VisionTransformer(**arguments, dtype="float64")
    seeds = np.random.default_rng(5)
    for variable in backbone.trainable_variables:
        variable.assign(seeds.normal(size=variable.shape, scale=0.3))
    return backbone


def normalised(*sizes):
    random = np.random.default_rng(0)
    return [tf.constant(random.normal(size=(2 + i, s, s, 3))) for i, s in enumerate(sizes)]


def with_gradients(backbone, run):
    """Representations of `run`, and the gradients of a loss of them in all weights."""
    variables = [variable.value for variable in backbone.trainable_variables]
    with tf.GradientTape() as tape:
        representations = run()
        random = np.random.default_rng(3)
        loss = sum(tf.reduce_sum(cls * random.normal(size=cls.shape)) for cls in representations)
    gradients = tape.gradient(loss, variables)
    assert not any(gradient is None for gradient in gradients)
    return [np.array(tf.convert_to_tensor(part)) for part in (*representations, *gradients)]


def assert_equal_parts(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("arguments", [TINY, STEM], ids=["patches", "stem"])
@pytest.mark.parametrize("masked", [False, True])
def test_represent_is_what_calls_give(arguments, masked):
    """Views of three sizes, the first masked or not; outputs and gradients."""
    backbone, views = exact_backbone(arguments), normalised(16, 8, 24)
    pairs = list(zip(views, [KEPT if masked else None, None, None], strict=True))
    calls = with_gradients(
        backbone,
        lambda: [backbone(v, kept_patches=k, training=True)[1] for v, k in pairs],
    )
    represented = with_gradients(
        backbone, lambda: [backbone.represent(v, k, training=True) for v, k in pairs]
    )
    assert_equal_parts(represented, calls)
    assert all(np.abs(cls).max() > 0.1 for cls in calls[:3])


def test_masks_are_optional(backbone):
    np.testing.assert_allclose(backbone.represent(images()), backbone(images())[1], atol=1e-5)
    encoder = Encoder(**TINY)
    np.testing.assert_allclose(encoder.represent(images()), encoder(images())[1], atol=1e-5)


@pytest.mark.parametrize("compiled", ["eager", "graph", "xla"])
def test_recomputation_has_the_same_gradients(compiled):
    backbone, (view,) = exact_backbone(TINY), normalised(16)
    scales = tf.constant(np.random.default_rng(2).uniform(0, 2, (2, 2, len(view))))

    def compute(recompute):
        variables = [variable.value for variable in backbone.trainable_variables]
        with tf.GradientTape() as tape:
            cls = backbone.represent(view, KEPT, branch_scales=scales, recompute=recompute)
            loss = tf.reduce_sum(cls**3)
        return [cls, *map(tf.convert_to_tensor, tape.gradient(loss, variables))]

    plain = compute(False)
    if compiled != "eager":
        compute = tf.function(compute, jit_compile=compiled == "xla")
    assert_equal_parts(compute(True), plain)
    assert all(np.abs(part).max() > 1e-6 for part in plain)


def test_recomputation_runs_each_block_twice(monkeypatch):
    backbone, (view,) = exact_backbone(TINY), normalised(16)
    runs = []
    mlp = type(backbone.blocks[0]).mlp
    monkeypatch.setattr(
        type(backbone.blocks[0]), "mlp", lambda self, x: (runs.append(self.name), mlp(self, x))[1]
    )
    for recompute, times in ((False, 1), (True, 2)):
        runs.clear()
        with_gradients(backbone, lambda r=recompute: [backbone.represent(view, recompute=r)])
        assert sorted(runs) == sorted(["block0", "block1"] * times)


def test_skipped_branches_are_of_their_own_image_and_block():
    backbone, (view,) = exact_backbone(TINY), normalised(16)
    plain, images = backbone.represent(view), len(view)
    scales = np.ones((2, 2, images))
    np.testing.assert_allclose(backbone.represent(view, branch_scales=scales), plain)
    scales[:, :, 1] = 0
    cls = backbone.represent(view, branch_scales=scales)
    np.testing.assert_allclose(cls[0], plain[0], rtol=1e-9)
    # Nothing is left of image 1 but CLS and its position, which its pixels do not reach.
    untouched = backbone.norm(backbone.cls_token + backbone.positions[:, :1])
    np.testing.assert_allclose(cls[1:2], untouched[:, 0], rtol=1e-9)
    for block in (0, 1):
        for branch in (0, 1):
            scales = np.ones((2, 2, images))
            scales[block, branch, 0] = 0
            cls = backbone.represent(view, branch_scales=scales)
            assert np.abs(cls[0] - plain[0]).max() > 1e-3, (block, branch)


def test_a_masked_stem_sees_the_whole_image_and_passes_on_what_is_kept():
    backbone = VisionTransformer(**STEM)
    one, other = images(seed=1), images(seed=1)
    tokens = backbone(one)[0]
    assert tokens.shape == (2, 1 + 16, 12)
    kept = np.arange(16)[::-1].copy()
    np.testing.assert_allclose(backbone(one, kept_patches=kept)[1], tokens[:, 0], atol=1e-5)
    # Its windows overlap: pixel 7 of row 1 reaches patch 2, which is kept, from patch 1.
    other[:, 0:4, 7] = 0
    kept = np.array([2, 9])
    difference = backbone(one, kept_patches=kept)[1] - backbone(other, kept_patches=kept)[1]
    assert np.abs(difference).max() > 1e-6
    far = images(seed=1)
    far[:, 12:, 12:] = 0  # patch 15: too far from patches 0 and 1
    kept = np.array([0, 1])
    np.testing.assert_array_equal(
        backbone(one, kept_patches=kept)[1], backbone(far, kept_patches=kept)[1]
    )


@pytest.mark.parametrize("arguments", [TINY, STEM], ids=["patches", "stem"])
def test_half_precision_computes_nearly_the_same(arguments):
    half, single = Encoder(**arguments, dtype="mixed_bfloat16"), Encoder(**arguments)
    half.set_weights(single.get_weights())
    assert {keras.backend.standardize_dtype(v.dtype) for v in half.weights} == {"float32"}
    for kept in (None, KEPT):
        ours, theirs = (
            encoder.backbone.represent(encoder.preprocess(images()), kept)
            for encoder in (half, single)
        )
        assert ours.dtype == tf.float32
        assert 0 < tf.norm(ours - theirs) / tf.norm(theirs) < 0.01
    tokens, cls = half(images())
    assert tokens.dtype == cls.dtype == tf.float32
    np.testing.assert_allclose(cls, single(images())[1], atol=0.05)


def test_config_rebuilds_a_stem():
    encoder = Encoder(**STEM)
    encoder.backbone.patch_embedding.norms[1].running_mean.assign(np.arange(7.0))
    again = Encoder(**encoder.get_config())
    again.set_weights(encoder.get_weights())
    np.testing.assert_array_equal(encoder(images())[1], again(images())[1])
    assert again.get_config() == encoder.get_config()
