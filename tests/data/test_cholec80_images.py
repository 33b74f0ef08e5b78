import itertools

import numpy as np
import pytest
import tensorflow as tf

from data.cholec80_images import Cholec80ImagesLoader, get_cholec80_images_datasets
from data.common.errors import InputError
from data.dataset.cholec80 import SPLITS
from data.dataset.frame_index import load_index
from data.images.image_io import frame_to_input, read_image
from data.indexing.building import build_index
from down_stream.classifiers.losses import class_weights
from down_stream.low_shot.subsets import label_fraction
from tests.support.small_dataset import make_small_dataset


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
        ((0,), "batch_size=0: expected 1 or more"),
        ((8, "rand"), "'rand'; expected one of randaug, views, resize"),
        ((8,), "no labelled frames of the validation videos, video41 to video48"),
    ],
)
def test_wrong_input_is_said(small_dataset, arguments, message):
    with pytest.raises(InputError, match=message):
        get_cholec80_images_datasets(small_dataset, *arguments)


def test_the_loader_reads_the_videos_it_is_given_in_order(cholec80):
    loader = Cholec80ImagesLoader(cholec80, ["video03", "video41"], 4)
    seen = read_split(loader.get_tf_dataset(with_image_path=True))
    index = load_index(cholec80).select(["video03", "video41"])
    index = index.take(index.phase >= 0)
    assert len(seen) == 5, "one frame of video03 has no label"
    assert list(seen) == index.paths(slice(None))
    assert [label for _, label in seen.values()] == index.phase.tolist()
    for path, (image, _) in seen.items():
        np.testing.assert_array_equal(image, frame_to_input(read_image(path), 224))
    images, labels = next(loader.get_tf_dataset().as_numpy_iterator())
    assert (images.shape, images.dtype, labels.dtype) == ((4, 224, 224, 3), np.uint8, np.int32)


def test_the_loader_shuffles_and_augments_as_it_is_told(cholec80):
    names = SPLITS["40/8/32"]["validation"]

    def grey(image):
        return tf.image.rgb_to_grayscale(image)[:8, :8]

    loader = Cholec80ImagesLoader(cholec80, names, 5, shuffle=True, augment=grey)
    first, second = (read_split(loader.get_tf_dataset(with_image_path=True)) for _ in range(2))
    assert sorted(first) == sorted(second)
    assert sorted(first) != list(first)
    assert {path.split("/")[-2] for path in first} == set(names)
    for path, (image, _) in first.items():
        np.testing.assert_array_equal(image, grey(read_image(path)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["video77"], 4), "no such video: video77"),
        ((["video01"], 0), "batch_size=0: expected 1 or more"),
        ((["video01"], 4, False, "rand"), "'rand'; expected one of randaug, views, resize"),
    ],
)
def test_wrong_arguments_of_the_loader(cholec80, arguments, message):
    with pytest.raises(InputError, match=message):
        Cholec80ImagesLoader(cholec80, *arguments)


def test_class_weights_are_inverse_to_frequency():
    weights = class_weights(np.array([0, 0, 0, 2, 2, 6, -1, -1], np.int8), 7)
    assert weights == {0: 2 / 3, 1: 0, 2: 1, 3: 0, 4: 0, 5: 0, 6: 2}
    assert class_weights(np.array([-1], np.int8), 7) == dict.fromkeys(range(7), 0)


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
    with pytest.raises(InputError, match="above 0 and at most 1"):
        label_fraction(["video01"], fraction)
