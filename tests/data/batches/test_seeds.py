import numpy as np
import pytest

from data.batches.seeds import generator


def draw(*key):
    return generator(*key).random(4)


def test_the_same_key_gives_the_same_numbers():
    np.testing.assert_array_equal(draw(1, 2, 3, 4), draw(1, 2, 3, 4))


@pytest.mark.parametrize("place", range(4))
def test_every_part_of_the_key_counts(place):
    other = [1, 2, 3, 4]
    other[place] += 1
    assert not np.isin(draw(*other), draw(1, 2, 3, 4)).any()


def test_streams_of_neighbours_are_not_correlated():
    one, other = generator(0, 0, 0, 0).random(20000), generator(0, 0, 0, 1).random(20000)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03
    assert abs(one.mean() - 0.5) < 0.01
