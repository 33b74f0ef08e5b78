import numpy as np
import pytest

from msn.networks.pieces import in_pieces


@pytest.mark.parametrize("length, expected", [(1, [1]), (2, [1, 1]), (5, [2, 3])])
def test_pieces_are_the_whole(length, expected):
    images, seen = np.random.default_rng(0).normal(size=(length, 3)).astype(np.float32), []

    def function(rows):
        seen.append(len(images[rows]))
        return {"sum": images[rows].sum(axis=1), "twice": 2 * images[rows]}

    found = in_pieces(function, length)
    assert seen == expected
    np.testing.assert_array_equal(found["twice"], 2 * images)
    np.testing.assert_allclose(found["sum"], images.sum(axis=1), rtol=1e-6)
