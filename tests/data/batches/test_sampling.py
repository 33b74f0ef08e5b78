import itertools
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from data.batches.sampling import Sources, balanced_row, neighbour_row, row_of_sources, shuffled_row
from data.batches.seeds import generator
from data.frames.frames import Frames

STARTS = np.array([0, 2, 7, 47])  # videos of 2, 5 and 40 frames


def draw(function, positions):
    return [int(row) for row in tf.data.Dataset.from_tensor_slices(positions).map(function)]


def draw_balanced(positions, seed=0, starts=STARTS):
    positions = np.asarray(positions, np.int64)
    return draw(lambda position: balanced_row(position, seed, starts), positions)


def test_shuffled_epochs_are_different_permutations():
    rows = draw(lambda position: shuffled_row(position, 3, 47, 47), np.arange(94))
    assert sorted(rows[:47]) == sorted(rows[47:]) == list(range(47))
    assert rows[:47] != rows[47:]
    assert rows[:47] != list(range(47))


def test_shuffled_epochs_follow_the_seed():
    one, same, other = (
        draw(lambda position, seed=seed: shuffled_row(position, seed, 47, 40), np.arange(160))
        for seed in (3, 3, 4)
    )
    assert one == same
    epochs = [
        tuple(rows[first : first + 40]) for rows in (one, other) for first in range(0, 160, 40)
    ]
    assert len(set(epochs)) == 8, "nor is the seed added to the epoch"
    # Epochs of 40 of 47 frames: none twice in one, all of them in time.
    assert all(len(set(epoch)) == 40 for epoch in epochs)
    assert set(one) == set(range(47))


def test_balanced_draws_shuffle_videos_and_frames_by_seed_round_and_video():
    """Two videos of one length: each of them, each time and each seed has an order of its own."""
    starts = np.array([0, 12, 24])
    orders = {}
    for seed in (0, 1):
        rows = np.array(draw_balanced(range(96), seed, starts))
        orders[seed, "videos"] = tuple((rows >= 12).tolist())
        for video in (0, 1):
            own = rows[(rows >= 12) == video] - 12 * video
            for cycle in range(4):
                orders[seed, video, cycle] = tuple(own[12 * cycle : 12 * cycle + 12].tolist())
                assert sorted(orders[seed, video, cycle]) == list(range(12))
    assert len(set(orders.values())) == len(orders) == 18


def test_balanced_rounds_have_every_video_once():
    rows = draw_balanced(range(300))
    videos = np.searchsorted(STARTS, rows, side="right") - 1
    assert all(sorted(part) == [0, 1, 2] for part in videos.reshape(-1, 3).tolist())
    assert len({tuple(part) for part in videos.reshape(-1, 3).tolist()}) == 6, "in any order"


def test_balanced_draws_have_every_frame_of_a_video_before_the_first_comes_again():
    rows = np.array(draw_balanced(range(240)))
    for start, end in itertools.pairwise(STARTS):
        own = rows[(rows >= start) & (rows < end)]
        assert len(own) == 80
        cycles = own.reshape(-1, end - start)
        assert (np.sort(cycles) == np.arange(start, end)).all()
        assert len({tuple(cycle) for cycle in cycles.tolist()}) > 1, "in another order"


def test_balanced_draws_start_anywhere_and_follow_the_seed():
    rows = draw_balanced(range(100))
    assert draw_balanced(range(60, 100)) == rows[60:]
    assert draw_balanced(range(100), seed=1) != rows
    assert 0 <= draw_balanced([10**15])[0] < 47


def test_balanced_draws_of_one_video_of_one_frame():
    assert draw_balanced(range(3), starts=np.array([0, 1])) == [0, 0, 0]


class Seconds(Frames):
    """Videos without images, of frames one second apart."""

    def read(self, row):
        raise AssertionError("nothing is read to find a neighbour")

    def name(self, row):
        return str(row)

    def paths(self, rows):
        return [str(row) for row in rows]

    def seconds(self, rows):
        return (np.arange(len(self)) - self.starts[self.video])[rows].astype(float)


@pytest.mark.parametrize(("row", "near"), [(20, range(18, 23)), (7, range(7, 10)), (1, range(2))])
def test_neighbours_are_all_the_frames_nearby_of_the_same_video(row, near):
    source = Seconds(("a", "b", "c"), np.repeat(np.arange(3), np.diff(STARTS)))
    counts = Counter(neighbour_row(source, row, 2.0, 0, step, 5) for step in range(600))
    assert sorted(counts) == list(near)
    assert min(counts.values()) > 0.6 * 600 / len(near)


def test_a_neighbour_is_a_function_of_seed_step_and_example():
    source = Seconds(("a", "b", "c"), np.repeat(np.arange(3), np.diff(STARTS)))

    def rows(**changed):
        place = {"seed": 0, "example": 0} | changed
        return [neighbour_row(source, 27, 15.0, step=step, **place) for step in range(20)]

    assert rows() == rows()
    assert len({tuple(rows(**changed)) for changed in ({}, {"seed": 1}, {"example": 1})}) == 3


def test_neighbours_have_numbers_of_their_own():
    """Not those of the target view, whose stream is 0."""
    source = Seconds(("a", "b", "c"), np.repeat(np.arange(3), np.diff(STARTS)))
    found = [neighbour_row(source, 27, 15.0, 0, step, 5) for step in range(20)]
    near = source.neighbours(27, 15.0)
    assert found != [near[int(generator(0, step, 5).integers(len(near)))] for step in range(20)]


# Of data set 0 a video of 2 frames and one of 40, of 1 one of 5, of 2 eighteen of one frame each.
MIXED_STARTS = np.cumsum([0, 2, 5, 40, *[1] * 18])
SOURCE = np.array([4, 7, 4, *[9] * 18])  # any numbers, in any order


def draw_sources(positions, is_balanced=True, batch_size=0, balance_videos=False, seed=0):
    sources = Sources.of(MIXED_STARTS, SOURCE, is_balanced, batch_size, balance_videos)
    rows = draw(
        lambda position: row_of_sources(position, seed, sources, MIXED_STARTS),
        np.asarray(positions, np.int64),
    )
    video = np.searchsorted(MIXED_STARTS, rows, side="right") - 1
    return np.array(rows), video, SOURCE[video]


def test_every_data_set_has_the_same_share():
    rows, video, source = draw_sources(range(3 * 84))
    assert Counter(source.tolist()) == {4: 84, 7: 84, 9: 84}
    assert all(len(set(source[first : first + 3])) == 3 for first in range(0, len(source), 3))
    # In two rounds of 42 frames each frame of that data set came twice; of 18, 84 / 18 times.
    assert set(Counter(rows[source == 4].tolist()).values()) == {2}
    assert set(Counter(rows[source == 9].tolist()).values()) == {4, 5}
    assert Counter(video[source == 4].tolist()) == {0: 4, 2: 80}


def test_in_a_data_set_videos_have_the_same_share_if_asked_for():
    rows, video, source = draw_sources(range(3 * 80), balance_videos=True)
    assert Counter(source.tolist()) == {4: 80, 7: 80, 9: 80}
    assert Counter(video[source == 4].tolist()) == {0: 40, 2: 40}
    assert Counter(rows[video == 2].tolist()) == dict.fromkeys(range(7, 47), 1)
    assert set(Counter(video[source == 9].tolist()).values()) == {4, 5}


def test_a_batch_is_of_one_data_set():
    rows, _, source = draw_sources(range(8 * 60), batch_size=8)
    batches = source.reshape(60, 8)
    assert (batches == batches[:, :1]).all()
    assert Counter(batches[:, 0].tolist()) == {4: 20, 7: 20, 9: 20}
    assert set(Counter(rows[source == 4].tolist()).values()) == {3, 4}


def test_without_balance_data_sets_have_as_many_batches_as_their_frames_fill():
    """42, 5 and 18 frames in batches of 8: five, one (of repeated frames) and two batches."""
    rows, _, source = draw_sources(range(8 * 24), is_balanced=False, batch_size=8)
    batches = source.reshape(24, 8)
    assert (batches == batches[:, :1]).all()
    cycles = batches[:, 0].reshape(3, 8).tolist()
    assert all(Counter(cycle) == {4: 5, 7: 1, 9: 2} for cycle in cycles)
    assert len(set(map(tuple, cycles))) > 1
    assert set(Counter(rows[source == 4].tolist()).values()) == {2, 3}


def test_draws_of_data_sets_follow_the_seed_and_the_position_alone():
    for options in ({}, {"balance_videos": True}, {"batch_size": 8}):
        whole, *_ = draw_sources(range(96), **options)
        late, *_ = draw_sources(range(41, 96), **options)
        np.testing.assert_array_equal(late, whole[41:])
        other, *_ = draw_sources(range(96), seed=1, **options)
        assert (other != whole).any()


def test_equally_many_videos_of_two_data_sets_come_in_different_orders():
    starts, of_video = np.arange(0, 33, 2), np.repeat([0, 1], 8)
    sources = Sources.of(starts, of_video, is_balanced=True, batch_size=0, balance_videos=True)
    rows = draw(lambda p: row_of_sources(p, 0, sources, starts), np.arange(64, dtype=np.int64))
    video = np.searchsorted(starts, rows, side="right") - 1
    one, other = video[video < 8], video[video >= 8] - 8
    for begin in range(0, 32, 8):
        assert sorted(one[begin : begin + 8]) == sorted(other[begin : begin + 8]) == list(range(8))
    assert one.tolist() != other.tolist()


@pytest.mark.parametrize("batch_size", [0, 6])
def test_in_a_data_set_each_round_of_its_frames_has_another_order(batch_size):
    rows, _, source = draw_sources(range(3 * 84), batch_size=batch_size)
    first, second = np.split(rows[source == 4], 2)
    assert sorted(first) == sorted(second) and first.tolist() != second.tolist()
