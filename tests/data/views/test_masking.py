import numpy as np
import pytest

from data.batches.seeds import generator
from data.views.masking import kept_patches, num_kept


@pytest.mark.parametrize(
    "patches, drop, kept", [(196, 0.15, 166), (196, 0.3, 137), (196, 0.5, 98), (16, 0.0, 16)]
)
def test_floor_of_the_share_that_is_kept(patches, drop, kept):
    assert num_kept(patches, drop) == kept == len(kept_patches(patches, drop, 0, 0))


def test_indices_are_distinct_ascending_patches():
    kept = kept_patches(16, 0.3, 0, 5)
    assert kept.dtype == np.int32
    assert (np.diff(kept) > 0).all()
    assert kept.min() >= 0
    assert kept.max() < 16


def test_the_mask_is_a_function_of_seed_and_step():
    mask = kept_patches(64, 0.5, 3, 7)
    np.testing.assert_array_equal(mask, kept_patches(64, 0.5, 3, 7))
    assert not np.array_equal(mask, kept_patches(64, 0.5, 3, 8))
    assert not np.array_equal(mask, kept_patches(64, 0.5, 4, 7))


def test_every_patch_is_kept_equally_often():
    counts = np.zeros(16)
    for step in range(2000):
        counts[kept_patches(16, 0.25, 0, step)] += 1
    np.testing.assert_allclose(counts / 2000, 0.75, atol=0.05)


def test_masks_have_numbers_of_their_own():
    """Not those of the target view, whose stream is 0."""
    of_target = np.sort(generator(3, 7).permutation(64)[:32])
    assert not np.array_equal(kept_patches(64, 0.5, 3, 7), of_target)
