import shutil

import numpy as np
import pytest

from data.errors import InputError
from data.index import load_index
from data.pretraining import pretraining_dataset
from data.views import Views

WHOLE = {"scale": (1.0, 1.0), "aspect": (4 / 3, 4 / 3)}
PLAIN = {
    "jitter_probability": 0,
    "grey_probability": 0,
    "blur_probability": 0,
    "flip_probability": 0,
}


def batches(index, first_step=0, last_step=6, batch_size=8, seed=0, **views):
    views = Views(**{"size": 16, "focal_size": 8, "focal_views": 2} | views)
    dataset = pretraining_dataset(
        index, views, batch_size=batch_size, seed=seed, first_step=first_step, last_step=last_step
    )
    return list(dataset.as_numpy_iterator())


@pytest.fixture(scope="module")
def index(small_dataset):
    return load_index(small_dataset)


def test_shapes(index):
    (batch,) = batches(index, last_step=1)
    assert {name: x.shape for name, x in batch.items()} == {
        "target": (8, 16, 16, 3),
        "anchor": (8, 16, 16, 3),
        "focal": (2, 8, 8, 8, 3),
        "readable": (8,),
    }


def test_any_step_is_what_an_uninterrupted_run_sees(index):
    whole, late = batches(index), batches(index, first_step=4)
    assert len(whole) == 6
    assert len(late) == 2
    for name in ("target", "anchor", "focal"):
        np.testing.assert_array_equal(whole[4][name], late[0][name])
        np.testing.assert_array_equal(whole[5][name], late[1][name])


def test_an_epoch_is_a_permutation_of_all_frames(index):
    """56 frames, 7 batches of 8: drawn whole and unchanged, each frame must come once."""
    options = {"size": 24, "focal_views": 0, **WHOLE, **PLAIN}
    epochs = batches(index, last_step=14, **options)
    seen = [
        sorted(x.tobytes() for b in part for x in b["target"]) for part in (epochs[:7], epochs[7:])
    ]
    assert len(set(seen[0])) == 56
    assert seen[0] == seen[1]
    order = [[x.tobytes() for b in part for x in b["target"]] for part in (epochs[:7], epochs[7:])]
    assert order[0] != order[1]


def test_seeds_differ(index):
    one, other = batches(index, last_step=1), batches(index, last_step=1, seed=1)
    assert not np.array_equal(one[0]["target"], other[0]["target"])


def test_views_of_one_place_belong_to_one_frame(index):
    """Target and anchor of an example are crops of the same frame: same mean colour, roughly."""
    (batch,) = batches(index, last_step=1, **PLAIN)
    means = {name: batch[name].mean(axis=(1, 2)) for name in ("target", "anchor")}
    focal = batch["focal"].mean(axis=(0, 2, 3))
    for place in range(8):
        for colour in (means["anchor"], focal):
            nearest = np.abs(colour - means["target"][place]).sum(axis=1).argmin()
            assert nearest == place


def test_an_unreadable_frame_is_named_and_replaced(small_dataset, tmp_path, caplog):
    root = shutil.copytree(small_dataset, tmp_path / "copy")
    broken = root / "frames" / "video01" / "video01_000003.png"
    broken.write_bytes(b"")
    index = load_index(root)
    options = {"size": 24, "focal_views": 0, **WHOLE, **PLAIN}
    epoch = batches(index, last_step=7, **options)
    assert "video01_000003.png" in caplog.text
    seen = {x.tobytes() for b in epoch for x in b["target"]}
    assert len(seen) == 55
    assert all(batch["readable"].all() for batch in epoch)


def test_frames_that_are_gone_are_not_passed_off_as_images(small_dataset, tmp_path):
    root = shutil.copytree(small_dataset, tmp_path / "copy")
    index = load_index(root)
    shutil.rmtree(root / "frames")
    (batch,) = batches(index, last_step=1)
    assert not batch["readable"].any()


def test_too_few_frames_for_a_batch(index):
    with pytest.raises(InputError, match="56 frames"):
        batches(index, batch_size=64)
