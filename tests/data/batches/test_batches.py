import shutil

import numpy as np

from data.batches.batches import batches_of_features
from data.dataset.frame_index import load_index
from data.frames.image_frames import ImageFrames
from data.images.image_io import frame_to_input, read_image


def test_frames_come_in_order_as_an_encoder_takes_them(small_dataset):
    index = load_index(small_dataset)
    batches = list(batches_of_features(lambda images: images, ImageFrames(index), 16, 10))
    assert [len(rows) for _, rows in batches] == [10] * 5 + [6]
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in batches]), np.arange(56))
    images = np.concatenate([images for images, _ in batches])
    for row in (0, 33, 55):
        (path,) = index.paths([row])
        np.testing.assert_array_equal(images[row], frame_to_input(read_image(path), 16))


def test_an_unreadable_frame_is_left_out_and_named(small_dataset, tmp_path, caplog):
    root = shutil.copytree(small_dataset, tmp_path / "copy")
    (root / "frames" / "video01" / "video01_000002.png").write_bytes(b"")
    frames = ImageFrames(load_index(root))
    ((images, rows),) = batches_of_features(lambda images: images, frames, 16, 56)
    np.testing.assert_array_equal(rows, np.delete(np.arange(56), 1))
    assert len(images) == 55
    assert "video01_000002.png" in caplog.text


def test_every_batch_has_the_same_size_and_no_fault_is_lost(small_dataset, tmp_path, caplog):
    """The last batch is filled up with black; where no frame can be read there is none."""
    root = shutil.copytree(small_dataset, tmp_path / "copy")
    index = load_index(root).select(["video01"])
    shapes = []

    def function(images):
        shapes.append(images.shape)
        assert not images[len(index) % 4 :].numpy().any() or len(shapes) < 4
        return images[:, 0, 0]

    assert len(list(batches_of_features(function, ImageFrames(index), 16, 4))) == 4
    assert shapes == [(4, 16, 16, 3)] * 4
    for path in index.paths(slice(None)):
        (root / path).write_bytes(b"")
    assert not list(batches_of_features(function, ImageFrames(index), 16, 4))
    assert caplog.text.count("left out") == len(index) == 14
