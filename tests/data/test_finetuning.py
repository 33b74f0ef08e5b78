import shutil

import numpy as np
import pytest
import tensorflow as tf

from data.dataset.frame_index import load_index
from data.finetuning import shuffled, training_dataset, transformation_of
from data.images.image_io import frame_to_input, read_image


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


def test_the_order_follows_seed_and_epoch():
    positions = tf.data.Dataset.range(3 * 50)
    orders = []
    for seed in (0, 1):
        pairs = list(shuffled(positions, 50, seed).as_numpy_iterator())
        assert [position for _, position in pairs] == list(range(150))
        rows = [int(row) for row, _ in pairs]
        orders += [tuple(rows[first : first + 50]) for first in (0, 50, 100)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len(set(orders)) == 6


@pytest.mark.parametrize("name", ["views", "randaug"])
def test_augmentation_follows_seed_and_position(name):
    """Of the same image, so that its place in the order counts for nothing."""
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    drawn = [
        transformation_of(name, 24, seed)(image, position).tobytes()
        for seed in (0, 1)
        for position in (0, 1, 2)
    ]
    assert len(set(drawn)) == 6
    assert transformation_of(name, 24, 1)(image, 2).tobytes() == drawn[-1]


@pytest.mark.parametrize("name", ["views", "randaug"])
def test_augmentation_changes_changes_images_and_is_seeded(small_dataset, name):
    index = load_index(small_dataset)
    one, same, other = (
        training(index, 1, seed=seed, transformation=name)[0][0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    first_epoch, second_epoch = training(index, 7)[0][0], training(index, 14)[7][0]
    assert not np.array_equal(first_epoch, second_epoch)
