import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from down_stream.classifiers.nearest_neighbours import NeighbourProbe
from tests.down_stream.classifiers.test_linear_probe import blobs


def test_neighbours_vote_as_in_scikit_learn():
    features, labels = blobs(spread=0.5)
    features -= 100
    held_out = blobs(n=70, seed=1, spread=0.5)[0] - 100
    ours = NeighbourProbe(features, labels, classes=4).probabilities(held_out)
    theirs = KNeighborsClassifier(
        n_neighbors=20, metric="cosine", weights=lambda distance: np.exp((1 - distance) / 0.07)
    )
    expected = theirs.fit(features, labels).predict_proba(held_out)
    np.testing.assert_allclose(ours[:, :3], expected, atol=1e-4)
    assert (ours[:, 3] == 0).all()


def test_neighbours_without_a_label_do_not_vote():
    features = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    labels = np.array([0, 0, -1, -1, 1, 1, 1, 1, 2, 2, 2, 2])
    shares = NeighbourProbe(features, labels, classes=3).probabilities(np.eye(3))
    assert shares.argmax(axis=1).tolist() == [0, 1, 2]
    both = np.stack([labels == 0, labels == 1], axis=1).astype(np.int8)
    both[labels == -1] = -1
    shares = NeighbourProbe(features, both, classes=2).probabilities(np.eye(3))
    assert shares[0, 0] > 0.99
    assert shares[1, 1] > 0.99
    assert (shares[2] < 0.01).all()
