"""What all protocols share."""

import numpy as np
import pytest

from down_stream.metrics.statistics import log_likelihood


def test_the_likelihood_is_minus_the_cross_entropy_of_each_class():
    chances = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]])
    found = log_likelihood(np.zeros(4), np.array([0, 0, 1, -1]), chances)
    rare_counts_alike = (np.mean(np.log([0.9, 0.6])) + np.log(0.8)) / 2
    assert found == pytest.approx(rare_counts_alike)
    labels = np.array([[1, 0], [0, -1], [1, -1], [-1, -1]])
    expected = (np.mean(np.log([0.9, 0.4, 0.2])) + np.log(0.9)) / 2
    assert log_likelihood(np.zeros(4), labels, chances) == pytest.approx(expected)
    assert np.isnan(log_likelihood(np.zeros(1), np.array([-1]), chances[:1]))
    assert np.isfinite(log_likelihood(np.zeros(1), np.array([0]), np.array([[0.0, 1.0]])))
