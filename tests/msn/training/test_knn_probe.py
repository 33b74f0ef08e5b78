import shutil

import cv2
import numpy as np
import pytest
import tensorflow as tf
from sklearn.neighbors import KNeighborsClassifier

from data.common.errors import InputError
from data.dataset.audit import Audit
from data.dataset.frame_index import load_index
from data.image_classes.class_folders import prepare_classes
from data.indexing.building import build_index
from msn.networks.encoder import create_encoder
from msn.training.knn_probe import KnnProbe, mean_average_precision, vote_for_each
from msn.training.neighbours import vote, votes


def probe(root, train=("video01", "video02"), test=("video04",), seen=(), max_frames=100, task=""):
    represent = tf.function(create_encoder("vitmicro8", 16, seed=0).represent, autograph=False)
    sizes = {"image_size": 16, "max_frames": max_frames}
    return KnnProbe(represent, [root], task, train, test, seen, **sizes)


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


def test_labels_of_any_number_are_probed(small_dataset, tmp_path):
    """Of tools that all frames have, or none, nothing can be measured."""
    assert probe(small_dataset, task="tools")() == {}
    root = shutil.copytree(small_dataset, tmp_path / "cholec80")
    for path in (root / "tool_annotations").iterdir():
        rows = path.read_text().splitlines()
        late = [row.replace("1\t0\t", "0\t1\t", 1) for row in rows[8:]]
        path.write_text("\n".join([*rows[:8], *late]) + "\n")
    build_index(root)
    own = probe(root, test=("video03",), task="tools")
    others = own()["knn_average_precision"]
    own.test = own.train
    assert 0 < others < own()["knn_average_precision"] <= 1


def test_classes_of_still_images_are_probed(tmp_path):
    for number in range(12):
        for kind in ("a", "b"):
            image = np.full((16, 16, 3), 60 + 100 * (kind == "b") + number, np.uint8)
            path = tmp_path / "images" / kind / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), image)
    prepare_classes(tmp_path / "set", tmp_path / "images", None, 0, Audit())
    names = [f"{kind}_{number}" for kind in "ab" for number in range(12)]
    videos = load_index(tmp_path / "set").videos
    own = probe(tmp_path / "set", train=videos[::2], test=videos[1::2])
    assert own.task == "classes" and len(names) == len(videos)
    assert 0 <= own()["knn_accuracy"] <= 1


def test_unknown_labels_do_not_vote():
    train, test = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), np.array([[1.0, 0.0]])
    presence = np.array([[1, -1, -1], [0, 1, -1], [0, 0, -1]])
    ((first, second, third),) = vote_for_each(train, presence, test)
    assert 0.4 < first < 0.6 and second > 0.99 and third == 0


def test_average_precision_is_of_known_labels():
    presence = np.array([[1, 1, 0], [0, -1, 0], [1, 1, -1], [0, 0, 0]])
    scores = np.array([[0.9, 0.2, 1], [0.8, 0.9, 1], [0.7, 0.8, 1], [0.1, 0.3, 1]])
    first = (1 + 2 / 3) / 2  # precisions where one is found
    second = (1 + 2 / 3) / 2
    assert mean_average_precision(presence, scores) == pytest.approx((first + second) / 2)
    assert np.isnan(mean_average_precision(presence[:, 2:], scores[:, 2:]))


def test_more_frames_than_wanted_are_thinned_evenly(small_dataset):
    thinned = probe(small_dataset, max_frames=7)
    assert len(thinned.train) == 7
    assert sorted(thinned.test.phase) == list(range(7))  # of 14 frames, two of each phase


@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"test": ()}, "probe.test_videos is empty"),
        ({"task": "organs"}, "probe.task is 'organs'; expected one of phases, tools"),
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


def test_test_videos_that_may_be_seen_under_another_spelling_are_said(small_dataset, caplog):
    probe(small_dataset, seen=("video 3", "Video 4"))
    (line,) = caplog.messages
    assert line.startswith("probe.test_videos: 1 video may be one operation with videos in pre-tr")
    assert "'video04' and 'Video 4'" in line


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
