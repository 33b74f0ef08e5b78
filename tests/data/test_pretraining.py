import shutil
from pathlib import Path

import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.frame_index import load_index
from data.frames.frames import Frames
from data.frames.image_frames import ImageFrames
from data.frames.opening import open_source
from data.pretraining import (
    UNREADABLE_IN_A_ROW,
    UnreadableFrames,
    _load_views,
    pretraining_dataset,
)
from data.tfrecords.packing import pack_frames
from data.views.multi_crop import Views, make_views
from tests.support.small_dataset import make_small_dataset
from tests.support.small_videos import write_video

WHOLE = {"scale": (1.0, 1.0), "aspect": (4 / 3, 4 / 3)}
PLAIN = {
    "jitter_probability": 0,
    "grey_probability": 0,
    "blur_probability": 0,
    "flip_probability": 0,
}


SMALL = {"size": 16, "focal_size": 8, "focal_views": 2}
UNCHANGED = {"size": 24, "focal_views": 0, **WHOLE, **PLAIN}  # views are the frame, squeezed


def batches(source, views=SMALL, first_step=0, last_step=6, batch_size=8, seed=0, **options):
    dataset = pretraining_dataset(
        source,
        Views(**SMALL | views),
        batch_size=batch_size,
        seed=seed,
        first_step=first_step,
        last_step=last_step,
        **options,
    )
    return list(dataset.as_numpy_iterator())


def squeezed(source):
    """{target view of a frame under UNCHANGED: its row}."""
    alone = {"size": 24, "focal_views": 0, **WHOLE, **PLAIN}
    drawn = [make_views(source.read(row), Views(**alone), 0, 0, 0) for row in range(len(source))]
    return {views["target"].tobytes(): row for row, views in enumerate(drawn)}


def rows_of(batches, source, view="target"):
    """Rows of the frames that views show, [steps, batch]."""
    rows = squeezed(source)
    return np.array([[rows[image.tobytes()] for image in batch[view]] for batch in batches])


def assert_same(some, others):
    for one, other in zip(some, others, strict=True):
        assert one.keys() == other.keys()
        for name, values in one.items():
            np.testing.assert_array_equal(values, other[name], name)


@pytest.fixture(scope="module")
def source(small_dataset):
    return open_source("images", small_dataset)


def test_shapes(source):
    (batch,) = batches(source, last_step=1)
    assert {name: x.shape for name, x in batch.items()} == {
        "target": (8, 16, 16, 3),
        "anchor": (8, 16, 16, 3),
        "focal": (2, 8, 8, 8, 3),
        "unreadable": (8,),
        "row": (8,),
    }


@pytest.mark.parametrize("options", [{}, {"neighbour_seconds": 2.0, "balance_videos": True}])
@pytest.mark.parametrize("first_step", [1, 4, 9])
def test_any_step_is_what_an_uninterrupted_run_sees(source, first_step, options):
    """Step 9 is in the second epoch."""
    whole = batches(source, last_step=11, **options)
    late = batches(source, first_step=first_step, last_step=11, **options)
    assert len(late) == 11 - first_step
    assert_same(late, whole[first_step:])


def test_any_number_of_parallel_calls_gives_the_same(source):
    options = {"neighbour_seconds": 2.0, "balance_videos": True}
    one, some = (batches(source, parallel_calls=calls, **options) for calls in (1, 5))
    assert_same(one, some)


@pytest.mark.parametrize("options", [{}, {"neighbour_seconds": 2.0, "balance_videos": True}])
@pytest.mark.parametrize("workers", [2, 3, 4])
def test_workers_share_every_batch(source, workers, options):
    whole = batches(source, first_step=2, batch_size=12, **options)
    shares = [
        batches(source, first_step=2, batch_size=12, worker=worker, workers=workers, **options)
        for worker in range(workers)
    ]
    union = [
        {
            name: np.concatenate([part[name] for part in parts], axis=1 if name == "focal" else 0)
            for name in parts[0]
        }
        for parts in zip(*shares, strict=True)
    ]
    assert_same(union, whole)


@pytest.mark.parametrize("neighbour_seconds", [0.0, 2.0])
def test_frames_are_read_no_larger_than_their_views_need(source, monkeypatch, neighbour_seconds):
    """Views of 4 and 2 pixels need a half or a quarter of 24 rows; what they are stays the same."""
    small, options = {"size": 4, "focal_size": 2}, {"neighbour_seconds": neighbour_seconds}
    some = batches(source, small, parallel_calls=3, **options)
    assert_same(batches(source, small, first_step=3, **options), some[3:])
    read, read_reduced = set(), source.read_reduced

    def noting(row, reduction):
        image, shape = read_reduced(row, reduction)
        read.add(shape[0] // len(image))
        return image, shape

    monkeypatch.setattr(source, "read_reduced", noting)
    assert_same(batches(source, small, **options), some)
    assert read == {2, 4}


def test_a_worker_has_no_frame_of_another(source):
    shares = [
        rows_of(
            batches(source, UNCHANGED, last_step=4, batch_size=14, worker=worker, workers=2),
            source,
        )
        for worker in (0, 1)
    ]
    assert shares[0].shape == shares[1].shape == (4, 7)
    assert sorted(np.ravel(shares)) == list(range(56)), "of an epoch each frame once"


def test_an_epoch_is_a_permutation_of_all_frames(source):
    """56 frames, 7 batches of 8: drawn whole and unchanged, each frame must come once."""
    rows = rows_of(batches(source, UNCHANGED, last_step=14), source)
    assert sorted(rows[:7].ravel()) == sorted(rows[7:].ravel()) == list(range(56))
    assert (rows[:7] != rows[7:]).any()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_epoch_that_batches_do_not_fill_has_no_frame_twice(source, workers):
    """56 frames, 5 batches of 10: six are left for another epoch."""
    shares = [
        rows_of(
            batches(source, UNCHANGED, last_step=15, batch_size=10, worker=w, workers=workers),
            source,
        )
        for w in range(workers)
    ]
    rows = np.concatenate(shares, axis=1).reshape(3, 50)
    assert all(len(set(epoch)) == 50 for epoch in rows.tolist())
    assert len({frozenset(epoch) for epoch in rows.tolist()}) == 3, "others are left out"
    assert set(rows.ravel().tolist()) == set(range(56))


def test_seeds_and_epochs_differ_in_their_frames(source):
    one, other = (
        rows_of(batches(source, UNCHANGED, last_step=14, seed=seed), source) for seed in (0, 1)
    )
    epochs = [tuple(rows.ravel()) for rows in (one[:7], one[7:], other[:7], other[7:])]
    assert len(set(epochs)) == 4


def test_seeds_and_epochs_differ_in_their_views(tmp_path):
    """Of a frame that is the only one: its order cannot differ."""
    root = make_small_dataset(tmp_path, videos=1, seconds=1, phases=1)
    source = open_source("images", root)
    drawn = [
        batch["target"].tobytes()
        for seed in (0, 1)
        for batch in batches(source, last_step=3, batch_size=1, seed=seed)
    ]
    assert len(set(drawn)) == 6


class Colours(Frames):
    """Fifty frames, each of a colour of its own; the first cannot be read."""

    def __init__(self):
        super().__init__(("a",), np.zeros(50))

    def read(self, row):
        if row == 0:
            raise InputError("unreadable")
        return np.full((24, 32, 3), row, np.uint8)

    def paths(self, rows):
        return [str(row) for row in rows]

    def seconds(self, rows):
        return np.arange(50.0)[rows]


def test_a_replacement_is_a_function_of_seed_step_and_example():
    views = Views(**SMALL | UNCHANGED)

    def rows(seed=0, example=0):
        drawn = (_load_views(Colours(), views, seed, 0.0, 0, step, example) for step in range(20))
        return tuple(int(target[0, 0, 0]) for target, *_ in drawn)

    assert rows() == rows()
    assert len(set(rows())) > 10
    assert len({rows(), rows(seed=1), rows(example=1)}) == 3


def test_views_of_one_place_belong_to_one_frame(source):
    """Target and anchor of an example are crops of the same frame: same mean colour, roughly."""
    (batch,) = batches(source, PLAIN, last_step=1)
    means = {name: batch[name].mean(axis=(1, 2)) for name in ("target", "anchor")}
    focal = batch["focal"].mean(axis=(0, 2, 3))
    for place in range(8):
        for colour in (means["anchor"], focal):
            nearest = np.abs(colour - means["target"][place]).sum(axis=1).argmin()
            assert nearest == place


def test_anchors_of_neighbouring_frames(source):
    """Targets stay those of the paper; anchors are at most two seconds away in the same video."""
    same = rows_of(batches(source, UNCHANGED, last_step=7), source)
    pairs = batches(source, UNCHANGED, last_step=7, neighbour_seconds=2.0)
    targets, anchors = (rows_of(pairs, source, view) for view in ("target", "anchor"))
    np.testing.assert_array_equal([batch["row"] for batch in pairs], anchors)
    np.testing.assert_array_equal(targets, same)
    assert set(np.unique(anchors - targets)) == {-2, -1, 0, 1, 2}
    assert (anchors // 14 == targets // 14).all(), "14 frames a video"


def test_focal_views_are_of_the_anchors_frame(source):
    views = PLAIN | {"size": 24, "focal_size": 24, "focal_scale": (1.0, 1.0), **WHOLE}
    for batch in batches(source, views, last_step=3, neighbour_seconds=2.0):
        np.testing.assert_array_equal(batch["focal"][0], batch["anchor"])
        assert (batch["target"] != batch["anchor"]).any()


def test_videos_are_balanced(small_dataset):
    """video02 has 4 frames left, the others 14: all have the same share."""
    index = load_index(small_dataset)
    index = index.take(np.setdiff1d(np.arange(56), np.arange(14, 24)))
    source = ImageFrames(index)
    rows = rows_of(batches(source, UNCHANGED, last_step=14, balance_videos=True), source)
    counts = np.bincount(source.video[rows.ravel()])
    assert counts.tolist() == [28, 28, 28, 28]


BALANCED = {"balance_sources": True, "balance_videos": True, "one_source_per_batch": True}


@pytest.mark.parametrize("options", [{"balance_sources": True}, BALANCED])
def test_sources_are_balanced(source, options):
    """Three of the four videos are one data set, and the last is another: half each."""
    options = options | {"sources": np.array([0, 0, 0, 1])}
    drawn = batches(source, last_step=14, **options)
    assert_same(batches(source, first_step=5, last_step=14, **options), drawn[5:])
    last = np.array([source.video[batch["row"]] == 3 for batch in drawn])
    assert last.sum() == 7 * 8
    assert set(last.sum(axis=1)) == ({0, 8} if "one_source_per_batch" in options else {4})


def test_one_data_set_cannot_be_balanced(source):
    for options in ({}, {"sources": np.zeros(4, int)}):
        with pytest.raises(InputError, match=r"one data set; expected several data\.root"):
            batches(source, balance_sources=True, **options)


@pytest.fixture
def copy(small_dataset, tmp_path):
    return shutil.copytree(small_dataset, tmp_path / "copy")


def test_an_unreadable_frame_is_named_counted_and_replaced(copy, caplog):
    broken = copy / "frames" / "video01" / "video01_000003.png"
    whole = batches(open_source("images", copy), UNCHANGED, last_step=7)
    broken.write_bytes(b"")
    epoch = batches(open_source("images", copy), UNCHANGED, last_step=7)
    assert "video01_000003.png" in caplog.text
    counts = np.array([batch["unreadable"] for batch in epoch])
    assert counts.sum() == 1
    (step,), (place,) = np.nonzero(counts)
    for number, (one, other) in enumerate(zip(whole, epoch, strict=True)):
        differs = (one["target"] != other["target"]).any(axis=(1, 2, 3))
        assert differs.tolist() == [(number, p) == (step, place) for p in range(8)]
    assert epoch[step]["target"][place].any()


def test_resuming_among_unreadable_frames_changes_nothing(copy):
    for path in sorted(copy.glob("frames/*/*.png"))[::3]:
        path.write_bytes(b"")
    options = {"neighbour_seconds": 2.0}
    whole = batches(open_source("images", copy), **options)
    assert sum(batch["unreadable"].sum() for batch in whole) > 10
    assert_same(batches(open_source("images", copy), first_step=3, **options), whole[3:])


def test_an_unreadable_neighbour_leaves_the_frame_itself(copy):
    source = open_source("images", copy)
    pairs = batches(source, UNCHANGED, last_step=7, neighbour_seconds=2.0)
    targets, anchors = (rows_of(pairs, source, view) for view in ("target", "anchor"))
    step, place = np.argwhere(anchors != targets)[0]
    Path(source.name(anchors[step, place])).write_bytes(b"")
    again = batches(source, UNCHANGED, last_step=7, neighbour_seconds=2.0)[step]
    assert again["unreadable"][place] == 1
    assert again["row"][place] == targets[step, place] != pairs[step]["row"][place]
    np.testing.assert_array_equal(again["anchor"][place], again["target"][place])


def test_frames_that_are_gone_are_not_passed_off_as_images(copy):
    source = open_source("images", copy)
    shutil.rmtree(copy / "frames")
    (batch,) = batches(source, last_step=1)
    assert (batch["unreadable"] == UNREADABLE_IN_A_ROW).all()
    with pytest.raises(InputError, match="16 frames in a row cannot be read"):
        UnreadableFrames(1.0).add(batch["unreadable"])


def test_unreadable_frames_end_a_run_above_their_share():
    frames = UnreadableFrames(0.01)
    for _ in range(5):
        frames.add(np.array([2, 0, 0, 0]))  # 10 of 30: still too few to speak of a share
    assert (frames.unreadable, frames.read) == (10, 30)
    with pytest.raises(InputError, match=r"11 of 35 frames .*data\.max_unreadable .* 0\.01"):
        frames.add(np.array([0, 0, 1, 0]))


def test_unreadable_frames_below_their_share_end_nothing():
    frames = UnreadableFrames(0.01)
    for _ in range(100):
        frames.add(np.eye(1, 99, dtype=np.int32)[0])  # 1 of 100
    assert (frames.unreadable, frames.read) == (100, 10_000)
    with pytest.raises(InputError, match="101 of 10002 frames"):
        frames.add(np.array([1]))


def test_no_unreadable_frame_at_all_may_be_allowed():
    with pytest.raises(InputError, match="1 of 9 frames"):
        UnreadableFrames(0.0).add(np.eye(1, 8, dtype=np.int32)[0])
    with pytest.raises(InputError, match=r"data\.max_unreadable is 2"):
        UnreadableFrames(2)


def test_videos_are_read_as_they_are(tmp_path):
    for n in (1, 2):
        write_video(tmp_path / f"op{n}.mp4", frames=150)
    source = open_source("videos", tmp_path)
    rows = rows_of(batches(source, UNCHANGED, last_step=2, batch_size=6), source)
    assert sorted(rows.ravel() % 6) == sorted(2 * list(range(6))), "both show the same"


@pytest.mark.parametrize("options", [{}, {"neighbour_seconds": 2.0, "balance_videos": True}])
def test_packed_frames_give_the_views_of_their_files(copy, source, options):
    pack_frames(copy, 1)
    shutil.rmtree(copy / "frames")
    packed = open_source("packed", copy)
    for first_step in (0, 4):
        assert_same(
            batches(packed, first_step=first_step, **options),
            batches(source, first_step=first_step, **options),
        )


def test_too_few_frames_for_a_batch(source):
    with pytest.raises(InputError, match="56 frames"):
        batches(source, batch_size=64)


@pytest.mark.parametrize(
    "options",
    [{"worker": 2, "workers": 2}, {"worker": -1}, {"workers": 3}, {"neighbour_seconds": -1.0}],
)
def test_arguments_out_of_range(source, options):
    with pytest.raises(InputError, match="expected"):
        batches(source, **options)
