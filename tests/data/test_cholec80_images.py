import itertools
import shutil

import numpy as np
import pytest

from data.cholec80_images import frames_dataset, get_cholec80_images_datasets, training_dataset
from data.common.errors import InputError
from data.dataset.cholec80 import SPLITS
from data.dataset.frame_index import load_index
from data.images.image_io import frame_to_input, read_image
from data.preparation.indexing import build_index
from down_stream.classifiers.losses import class_weights
from down_stream.low_shot.subsets import label_fraction
from tests.support.small_dataset import make_small_dataset


def test_frames_come_in_order_as_an_encoder_takes_them(small_dataset):
    index = load_index(small_dataset)
    batches = list(frames_dataset(index, image_size=16, batch_size=10).as_numpy_iterator())
    assert [len(rows) for _, rows in batches] == [10] * 5 + [6]
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in batches]), np.arange(56))
    images = np.concatenate([images for images, _ in batches])
    for row in (0, 33, 55):
        (path,) = index.paths([row])
        np.testing.assert_array_equal(images[row], frame_to_input(read_image(path), 16))


def test_an_unreadable_frame_is_left_out_and_named(small_dataset, tmp_path, caplog):
    root = shutil.copytree(small_dataset, tmp_path / "copy")
    (root / "frames" / "video01" / "video01_000002.png").write_bytes(b"")
    dataset = frames_dataset(load_index(root), image_size=16, batch_size=56)
    ((images, rows),) = dataset.as_numpy_iterator()
    np.testing.assert_array_equal(rows, np.delete(np.arange(56), 1))
    assert len(images) == 55
    assert "video01_000002.png" in caplog.text


def training(index, batches=7, **options):
    options = {"image_size": 24, "batch_size": 8, "seed": 0} | options
    return list(training_dataset(index, **options).take(batches).as_numpy_iterator())


def assert_same(some, others):
    for ours, theirs in zip(some, others, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)


def test_it_begins_at_any_step(small_dataset):
    index = load_index(small_dataset)
    assert_same(training(index, 4, first_step=9), training(index, 13)[9:])


def test_labels_of_unreadable_frames_are_unknown(small_dataset, tmp_path):
    """All others stay where they are in the order."""
    root = shutil.copytree(small_dataset, tmp_path / "copy")
    (root / "frames" / "video01" / "video01_000002.png").write_bytes(b"")
    index = load_index(root)
    tools = {"labels": index.tools}
    for options, unknown in (({}, -1), (tools, [-1] * 7)):
        whole = training(load_index(small_dataset), **options)
        found = training(index, **options)
        changed = 0
        for (images, labels), (expected_images, expected) in zip(found, whole, strict=True):
            assert labels.shape == expected.shape
            for row in range(len(labels)):
                if np.array_equal(labels[row], expected[row]):
                    np.testing.assert_array_equal(images[row], expected_images[row])
                else:
                    np.testing.assert_array_equal(labels[row], unknown)
                    assert not images[row].any()
                    changed += 1
        assert changed == 1


def test_strength_of_randaug(small_dataset):
    index = load_index(small_dataset)
    plain = training(index, transformation="resize")
    assert_same(training(index, transformation="randaug", layers=0), plain)
    usual, given, other = (
        training(index, transformation="randaug", **options)
        for options in ({}, {"layers": 3, "magnitude": 7}, {"magnitude": 2})
    )
    assert_same(usual, given)
    assert any(not np.array_equal(a[0], b[0]) for a, b in zip(usual, other, strict=True))


def test_labels_belong_to_their_frames(small_dataset):
    """Without augmentation every image is a frame of the index; its label must be that one's."""
    index = load_index(small_dataset)
    paths = index.paths(np.arange(len(index)))
    phase_of = {
        frame_to_input(read_image(path), 24).tobytes(): phase
        for path, phase in zip(paths, index.phase.tolist(), strict=True)
    }
    assert len(phase_of) == 56
    seen = [
        (image.tobytes(), label)
        for images, labels in training(index, transformation="resize")
        for image, label in zip(images, labels, strict=True)
    ]
    assert len({image for image, _ in seen}) == 56  # an epoch is a permutation
    assert all(phase_of[image] == label for image, label in seen)


@pytest.mark.parametrize("name", ["views", "randaug"])
def test_augmentation_changes_images_and_is_seeded(small_dataset, name):
    index = load_index(small_dataset)
    one, same, other = (
        training(index, 1, seed=seed, transformation=name)[0][0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    first_epoch, second_epoch = training(index, 7)[0][0], training(index, 14)[7][0]
    assert not np.array_equal(first_epoch, second_epoch)


@pytest.fixture(scope="module")
def cholec80(tmp_path_factory):
    """Videos 1 to 49, three frames each, of which one of video03 has no label."""
    root = make_small_dataset(tmp_path_factory.mktemp("data") / "cholec80", videos=49, seconds=3)
    path = root / "phase_annotations" / "video03-phase.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:51]))
    build_index(root)
    return root


def read_split(dataset):
    """{path: (image, label)}, each path once."""
    seen = {}
    for images, labels, paths in dataset.as_numpy_iterator():
        for image, label, path in zip(images, labels, paths, strict=True):
            assert path not in seen
            seen[path.decode()] = (image, int(label))
    return seen


def test_each_part_of_the_split_has_its_own_videos_and_labels(cholec80):
    datasets = get_cholec80_images_datasets(cholec80, 32, "resize", with_image_path=True)
    assert list(datasets) == ["train", "validation", "test"]
    assert all(dataset.options().autotune.enabled is False for dataset in datasets.values())
    index = load_index(cholec80)
    phase_of = dict(zip(index.paths(slice(None)), index.phase.tolist(), strict=True))
    for part, frames in (("train", 119), ("validation", 24), ("test", 3)):
        seen = read_split(datasets[part])
        assert len(seen) == frames
        assert {path.split("/")[-2] for path in seen} <= set(SPLITS["40/8/32"][part])
        for path, (image, label) in seen.items():
            assert label == phase_of[path]
            np.testing.assert_array_equal(image, frame_to_input(read_image(path), 224))


def test_only_training_is_shuffled_and_augmented_anew_in_every_pass(cholec80):
    datasets = get_cholec80_images_datasets(cholec80, 16, with_image_path=True)
    first, second = (read_split(datasets["train"]) for _ in range(2))
    assert set(first) == set(second)
    assert list(first) != list(second)
    assert sorted(first) != list(first)
    whole = [frame_to_input(read_image(path), 224) for path in first]
    assert sum(np.array_equal(a, b) for a, (b, _) in zip(whole, first.values(), strict=True)) < 12
    assert sum(np.array_equal(second[path][0], first[path][0]) for path in first) < 12
    for part in ("validation", "test"):
        one, other = (read_split(datasets[part]) for _ in range(2))
        assert list(one) == list(other) == sorted(one)
        for path, (image, _) in one.items():
            np.testing.assert_array_equal(image, frame_to_input(read_image(path), 224))


def test_the_published_defaults(cholec80):
    datasets = get_cholec80_images_datasets(cholec80, 16)
    images, labels = next(datasets["train"].as_numpy_iterator())
    assert (images.shape, images.dtype) == ((16, 224, 224, 3), np.uint8)
    assert (labels.shape, labels.dtype) == ((16,), np.int32)
    again = next(get_cholec80_images_datasets(cholec80, 16)["train"].as_numpy_iterator())
    np.testing.assert_array_equal(images, again[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "batch_size=0: 1 or more"),
        ((8, "rand"), "'rand': one of randaug, views, resize"),
        ((8,), "no labelled frames of the validation videos, video41 to video48"),
    ],
)
def test_wrong_input_is_said(small_dataset, arguments, message):
    with pytest.raises(InputError, match=message):
        get_cholec80_images_datasets(small_dataset, *arguments)


def test_class_weights_are_inverse_to_frequency():
    weights = class_weights(np.array([0, 0, 0, 2, 2, 6, -1, -1], np.int8))
    assert weights == {0: 2 / 3, 1: 0, 2: 1, 3: 0, 4: 0, 5: 0, 6: 2}
    assert class_weights(np.array([-1], np.int8)) == dict.fromkeys(range(7), 0)


def test_label_fractions_are_nested_whole_videos():
    videos = SPLITS["40/8/32"]["train"]
    parts = [label_fraction(videos, fraction, seed=1) for fraction in (0.125, 0.25, 0.5, 1)]
    assert [len(part) for part in parts] == [5, 10, 20, 40]
    for smaller, larger in itertools.pairwise(parts):
        assert set(smaller) < set(larger)
    assert parts[-1] == videos
    assert list(parts[0]) == sorted(parts[0])
    assert label_fraction(videos[::-1], 0.125, seed=1) == parts[0]
    assert label_fraction(videos, 0.125, seed=2) != parts[0]
    assert len(label_fraction(videos[:3], 0.125)) == 1


@pytest.mark.parametrize("fraction", [0, -0.5, 1.1])
def test_a_label_fraction_out_of_range_is_said(fraction):
    with pytest.raises(InputError, match="above 0 and up to 1"):
        label_fraction(["video01"], fraction)
