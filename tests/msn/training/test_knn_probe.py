import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from data.common.errors import InputError
from msn.networks.encoder import create_encoder
from msn.training.knn_probe import KnnProbe, vote
from msn.training.neighbours import votes


def probe(root, train=("video01", "video02"), test=("video04",), seen=(), max_frames=100):
    encoder = create_encoder("vitmicro8", 16, seed=0)
    return KnnProbe(encoder, [root], train, test, seen, max_frames)


def test_votes_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(300, 8)), rng.normal(size=(1500, 8))
    labels = rng.integers(0, 7, 300)
    theirs = KNeighborsClassifier(
        n_neighbors=20, metric="cosine", weights=lambda distance: np.exp((1 - distance) / 0.07)
    )
    np.testing.assert_array_equal(
        vote(train, labels, test, 7), theirs.fit(train, labels).predict(test)
    )


def test_a_near_neighbour_outweighs_many_far_ones():
    train = np.array([[1.0, 0.0]] + [[0.0, 1.0]] * 3)
    assert vote(train, np.array([5, 2, 2, 2]), np.array([[1.0, 0.2]]), 6) == [5]
    assert vote(train, np.array([5, 2, 2, 2]), np.array([[0.2, 1.0]]), 6) == [2]


def test_labelled_frames_are_scored(small_dataset):
    once = probe(small_dataset)
    scores = once()
    assert scores == once()
    assert scores.keys() == {"knn_accuracy", "knn_macro_f1"}
    assert 0 < scores["knn_accuracy"] <= 1
    # Frames of the videos that vote are their own nearest neighbours.
    same = probe(small_dataset)
    same.test = same.train
    assert same()["knn_accuracy"] > scores["knn_accuracy"]


def test_more_frames_than_wanted_are_thinned_evenly(small_dataset):
    thinned = probe(small_dataset, max_frames=7)
    assert len(thinned.train) == 7
    assert sorted(thinned.test.phase) == list(range(7))  # of 14 frames, two of each phase


@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"test": ()}, "probe.test_videos is empty"),
        ({"train": ("video09",)}, "video09"),
        ({"train": ("video04",)}, "video04 also in probe.train_videos"),
        ({"seen": ("video04", "video01")}, "video04 also in pre-training"),
        # The same operation under its other name.
        ({"seen": ("video01", "VID04")}, "VID04 also in pre-training"),
        ({"test": ("VID04",), "seen": ("video04",)}, "video04 also in pre-training"),
        ({"train": ("video01", "VID04")}, "VID04 also in probe.train_videos"),
    ],
)
def test_videos_that_prove_nothing_are_refused(small_dataset, arguments, named):
    with pytest.raises(InputError, match=named):
        probe(small_dataset, **arguments)


@pytest.mark.parametrize("values", [1, 50, 1 << 24])
def test_votes_are_of_the_nearest_in_any_portions(monkeypatch, values):
    monkeypatch.setattr("msn.training.neighbours._VALUES", values)  # 1, 1 and all rows at a time
    random = np.random.default_rng(0)
    train, test = random.normal(size=(40, 3)), random.normal(size=(9, 3))
    targets = np.eye(40)  # each row votes for itself
    for neighbours in (1, 2, 7, 99):
        found = votes(train, targets, test, neighbours, temperature=0.5)
        unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (test, train)]
        similarity = unit[0] @ unit[1].T
        expected = np.exp(similarity / 0.5)
        kept = np.argsort(-similarity, axis=1)[:, :neighbours]
        mask = np.zeros_like(expected)
        np.put_along_axis(mask, kept, 1, axis=1)
        np.testing.assert_allclose(found, expected * mask, rtol=1e-9)
