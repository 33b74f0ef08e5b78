import shutil

import numpy as np

from data.cholec80_images import frames_dataset, training_dataset
from data.images import frame_to_input, read_image
from data.index import load_index


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
        for images, labels in training(index, augmented=False)
        for image, label in zip(images, labels, strict=True)
    ]
    assert len({image for image, _ in seen}) == 56  # an epoch is a permutation
    assert all(phase_of[image] == label for image, label in seen)


def test_augmentation_changes_images_and_is_seeded(small_dataset):
    index = load_index(small_dataset)
    one, same, other = (training(index, 1, seed=seed)[0][0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    first_epoch, second_epoch = training(index, 7)[0][0], training(index, 14)[7][0]
    assert not np.array_equal(first_epoch, second_epoch)
