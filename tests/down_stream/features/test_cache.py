import multiprocessing
import os
import shutil
import signal
import time

import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.frame_index import load_index
from data.images.image_io import frame_to_input, read_image
from down_stream.features import cache
from down_stream.features.cache import cached_features, entry_name, fingerprint
from msn.encoders import save_encoder
from msn.formats.saved_model import FrozenEncoder
from msn.networks.encoder import Encoder

pytestmark = pytest.mark.usefixtures("eager")

TINY = {"image_size": 16, "patch_size": 8, "width": 12, "depth": 1, "num_heads": 3}


def features_of(folder, index, encoder=None, image_size=16):
    return cached_features(
        encoder or Encoder(**TINY, seed=0),
        index,
        features="cls",
        folder=folder,
        image_size=image_size,
        batch_size=5,
        description="features",
    )


def entries(folder):
    return sorted(folder.glob("*/[!.]*.npy"))


@pytest.fixture
def encoded(monkeypatch):
    """Counts the batches that an encoder really sees."""
    seen = []
    create = cache.representation

    def representation(encoder, features):
        function = create(encoder, features)

        def counted(images):
            seen.append(len(images))
            return function(images)

        return counted

    monkeypatch.setattr(cache, "representation", representation)
    return seen


@pytest.fixture
def dataset(small_dataset, tmp_path):
    return shutil.copytree(small_dataset, tmp_path / "data")


def test_features_are_the_encoder_s_and_come_from_a_file(small_dataset, tmp_path):
    index = load_index(small_dataset)
    encoder = Encoder(**TINY, seed=0)
    features, rows = features_of(tmp_path, index, encoder)
    assert isinstance(features, np.memmap)
    assert (features.shape, features.dtype) == ((56, 12), np.float32)
    np.testing.assert_array_equal(rows, np.arange(56))
    images = np.stack([frame_to_input(read_image(path), 16) for path in index.paths(rows)])
    np.testing.assert_allclose(features, encoder(images)[1], atol=1e-4)
    with pytest.raises(ValueError, match="read-only"):
        features[0] = 0


def test_nothing_is_encoded_twice(small_dataset, tmp_path, encoded):
    index = load_index(small_dataset)
    first, _ = features_of(tmp_path, index)
    assert len(encoded) == 12  # 56 frames, 5 at a time, over the ends of videos
    again, _ = features_of(tmp_path, index, Encoder(**TINY, seed=0))
    part, rows = features_of(tmp_path, index.select(videos=("video04", "video02")))
    assert len(encoded) == 12
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(part, np.concatenate([first[14:28], first[42:]]))
    np.testing.assert_array_equal(rows, np.arange(28))


def test_an_index_in_another_order_gets_its_own_order(small_dataset, tmp_path, encoded):
    index = load_index(small_dataset)
    first, _ = features_of(tmp_path, index)
    order = np.arange(56).reshape(4, 14).T.ravel()  # videos take turns
    turns, rows = features_of(tmp_path, index.take(order))
    assert len(encoded) == 12
    np.testing.assert_array_equal(rows, np.arange(56))
    np.testing.assert_array_equal(turns, first[order])


def test_another_weight_or_argument_is_another_encoder():
    encoder = Encoder(**TINY, seed=0)
    first = fingerprint(encoder)
    assert first == fingerprint(Encoder(**TINY, seed=0, name="another"))
    assert first != fingerprint(Encoder(**TINY, seed=0, std=(0.2, 0.2, 0.2)))
    assert first != fingerprint(Encoder(**TINY, seed=0, gelu="tanh"))
    bias = encoder.backbone.blocks[0].trainable_variables[-1]
    value = np.array(bias)
    value.flat[0] = np.nextafter(value.flat[0], np.float32(1))
    bias.assign(value)
    assert first != fingerprint(encoder)


def test_another_file_or_size_is_another_entry_of_one_video(dataset, tmp_path, encoded):
    index = load_index(dataset).select(videos=("video01", "video02"))
    first, _ = features_of(tmp_path / "cache", index)
    path = dataset / "frames" / "video02" / "video02_000005.png"
    shutil.copy(dataset / "frames" / "video03" / "video03_000012.png", path)
    encoded.clear()
    other, _ = features_of(tmp_path / "cache", index)
    assert len(encoded) == 3
    differs = np.abs(other - first).max(axis=1) > 1e-5
    assert np.flatnonzero(differs).tolist() == [14 + 4]
    paths = index.paths(np.arange(14, 28))
    before = entry_name("video02", paths, 16)
    assert before == entry_name("video02", paths, 16)
    assert before != entry_name("video02", paths, 24)
    assert before != entry_name("video02", paths[:-1], 16)
    os.utime(path, ns=(1, 1))
    assert before != entry_name("video02", paths, 16)


def test_unreadable_frames_are_left_out(dataset, tmp_path, encoded):
    for video, frame in (("video01", 14), ("video02", 1), ("video02", 7)):
        (dataset / "frames" / video / f"{video}_{frame:06d}.png").write_bytes(b"")
    for path in (dataset / "frames" / "video03").iterdir():
        path.write_bytes(b"")
    (dataset / "frames" / "video04" / "video04_000014.png").unlink()
    index = load_index(dataset)
    features, rows = features_of(tmp_path / "cache", index)
    left_out = [13, 14, 20, *range(28, 42), 55]
    np.testing.assert_array_equal(rows, np.delete(np.arange(56), left_out))
    assert len(features) == 38
    count = len(encoded)
    again, same = features_of(tmp_path / "cache", index)
    assert len(encoded) == count
    np.testing.assert_array_equal(again, features)
    np.testing.assert_array_equal(same, rows)
    with pytest.raises(InputError, match="none of the 14 frames"):
        features_of(tmp_path / "cache", index.select(videos=("video03",)))


def test_a_damaged_entry_is_made_again(small_dataset, tmp_path):
    index = load_index(small_dataset)
    first, _ = features_of(tmp_path, index)
    one, other, third, _ = entries(tmp_path)
    one.write_bytes(one.read_bytes()[:-9])
    other.write_bytes(b"")
    third.unlink()
    again, _ = features_of(tmp_path, index)
    np.testing.assert_allclose(again, first, atol=1e-6)
    assert len(entries(tmp_path)) == 4


def test_a_cache_that_cannot_be_written(small_dataset, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written here"):
        features_of(tmp_path / "file", load_index(small_dataset))


def test_use_makes_an_entry_young_and_old_leftovers_go(small_dataset, tmp_path):
    index = load_index(small_dataset)
    features_of(tmp_path, index)
    (folder,) = tmp_path.iterdir()
    for name in (".part-old", ".part-new"):
        (folder / name).write_bytes(b"half")
    for path in (folder / ".part-old", *entries(tmp_path)):
        os.utime(path, (0, time.time() - 7200))
    features_of(tmp_path, index.select(videos=("video01",)))
    ages = [time.time() - path.stat().st_mtime for path in entries(tmp_path)]
    assert ages[0] < 600 < min(ages[1:])
    assert [path.name for path in folder.glob(".part-*")] == [".part-new"]


def test_a_frozen_encoder_is_known_by_its_files(tmp_path):
    path = save_encoder(Encoder(**TINY, seed=0), tmp_path / "encoder", {}) / "saved_model"
    other = save_encoder(Encoder(**TINY, seed=1), tmp_path / "other", {}) / "saved_model"
    first = fingerprint(FrozenEncoder(path))
    assert first == fingerprint(FrozenEncoder(shutil.copytree(path, tmp_path / "copy")))
    assert first != fingerprint(FrozenEncoder(other))


# Processes of their own, forked from a server that has TensorFlow imported already.


def extract(root, folder, die_at):
    """Fills the cache; killed while it writes its `die_at`-th entry, if that is set."""
    sync, calls = os.fsync, []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) == 2 * die_at - 1:  # of each its file, then its folder
            os.kill(os.getpid(), signal.SIGKILL)
        sync(descriptor)

    os.fsync = fsync
    features_of(folder, load_index(root))


@pytest.fixture(scope="module")
def start(small_dataset):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["down_stream.features.cache"])

    def start(folder, die_at=0):
        process = context.Process(target=extract, args=(small_dataset, folder, die_at))
        process.start()
        return process

    return start


def test_what_was_killed_goes_on_where_it_was(start, small_dataset, tmp_path, encoded):
    process = start(tmp_path / "cache", die_at=3)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(entries(tmp_path / "cache")) == 2
    index = load_index(small_dataset)
    features, rows = features_of(tmp_path / "cache", index)
    assert sum(encoded) == 30  # two videos of 14 frames, the last batch filled up
    whole, _ = features_of(tmp_path / "whole", index)
    np.testing.assert_allclose(features, whole, atol=1e-5)
    np.testing.assert_array_equal(rows, np.arange(56))


def test_two_processes_at_once(start, small_dataset, tmp_path, encoded):
    processes = [start(tmp_path / "cache") for _ in range(2)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    index = load_index(small_dataset)
    features, _ = features_of(tmp_path / "cache", index)
    assert not encoded
    whole, _ = features_of(tmp_path / "whole", index)
    np.testing.assert_allclose(features, whole, atol=1e-5)
    assert len(list((tmp_path / "cache").glob("*/*"))) == 4
