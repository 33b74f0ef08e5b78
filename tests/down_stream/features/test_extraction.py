import shutil

import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.frame_index import load_index
from data.images.image_io import frame_to_input, read_image
from down_stream.features.extraction import frame_outputs, over_frames, representation
from msn.networks.encoder import Encoder

TINY = {"image_size": 16, "patch_size": 8, "width": 12, "depth": 1, "num_heads": 3, "seed": 0}


@pytest.fixture(scope="module")
def encoder():
    return Encoder(**TINY)


def features_of(function, index, batch_size=10):
    return over_frames(
        function, index, image_size=16, batch_size=batch_size, description="features"
    )


def test_features_belong_to_their_rows_for_any_batch_size(encoder, small_dataset):
    index = load_index(small_dataset).select(videos=("video02", "video03"))
    features, rows = features_of(representation(encoder, "cls"), index)
    np.testing.assert_array_equal(rows, np.arange(28))
    images = np.stack([frame_to_input(read_image(path), 16) for path in index.paths(rows)])
    np.testing.assert_allclose(features, encoder(images)[1], atol=1e-4)
    others, _ = features_of(representation(encoder, "cls"), index, batch_size=28)
    np.testing.assert_allclose(features, others, atol=1e-4)


def test_wrong_tokens_are_named(encoder):
    with pytest.raises(InputError, match="tokens=patches: expected cls, mean, all"):
        frame_outputs(encoder, tokens="patches")


def test_unreadable_frames_are_left_out(encoder, small_dataset, tmp_path):
    root = shutil.copytree(small_dataset, tmp_path / "copy")
    folder = root / "frames" / "video01"
    (folder / "video01_000004.png").write_bytes(b"")
    index = load_index(root).select(videos=("video01",))
    features, rows = features_of(representation(encoder, "cls"), index)
    np.testing.assert_array_equal(rows, np.delete(np.arange(14), 3))
    assert len(features) == 13
    for file in folder.iterdir():
        file.write_bytes(b"")
    with pytest.raises(InputError, match="none of the 14 frames"):
        features_of(representation(encoder, "cls"), index)
