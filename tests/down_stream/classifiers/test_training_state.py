import os

import keras
import numpy as np
import pytest

from data.common.errors import InputError
from down_stream.classifiers.training_state import TrainingState
from msn.workdir.checkpoint_files import checkpoints


def small_state(score="val"):
    variable = keras.Variable(np.zeros(3, np.float32), name="kernel")
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build([variable])
    return TrainingState([variable], optimizer, score), variable, optimizer


def train(state, variable, optimizer, scores, directory=None):
    """One update an epoch, in a direction of its own."""
    for score in scores:
        gradient = np.roll([1.0, -2.0, 0.5], state.step).astype(np.float32)
        optimizer.apply([gradient], [variable])
        state.add(np.float32(0.1) * state.step, np.float32(0.5))
        state.finish_epoch({"loss": state.step, "val": score})
        if directory:
            state.save(directory)


def everything(state, variable, optimizer):
    values = [np.array(v) for v in (variable, *optimizer.variables)]
    best = state.best_epoch
    state.take_best()
    return [*values, np.array(variable), state.step, state.history, best]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_what_is_restored_goes_on_to_the_same_end(tmp_path):
    scores = [0.1, 0.9, 0.3, 0.2, 0.8]
    whole = small_state()
    train(*whole, scores)
    begun = small_state()
    train(*begun, scores[:3], tmp_path)
    later = small_state()
    later[0].restore(tmp_path)
    train(*later, scores[3:], tmp_path)
    ends = everything(*whole), everything(*later)
    assert ends[0][-1] == 1
    assert same(*ends)
    assert [path.name for path in checkpoints(tmp_path)] == [
        "step_00000004.safetensors",
        "step_00000005.safetensors",
    ]


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ((0.5, 0.4, 0.6, 0.55), 2),
        ((0.5, 0.7, 0.7), 1),  # the first of two that are equal
        ((np.nan, 0.2, 0.1), 1),
        ((np.nan, np.nan), 1),
    ],
)
def test_the_best_epoch_is_that_of_the_highest_score(scores, best):
    state, variable, optimizer = small_state()
    values = []
    for score in scores:
        train(state, variable, optimizer, [score])
        values.append(np.array(variable))
    assert state.best_epoch == best
    state.take_best()
    np.testing.assert_array_equal(np.array(variable), values[best])


def test_rows_that_earlier_starts_could_not_read_are_known(tmp_path):
    state, *_ = small_state()
    state.unreadable.update((7, 3))
    state.save(tmp_path)
    other, *_ = small_state()
    other.unreadable.add(5)
    other.restore(tmp_path)
    assert other.unreadable == {3, 5, 7}


def test_sums_of_an_epoch_are_restored_to_the_bit(tmp_path):
    state, *_ = small_state()
    for value in (0.1, 0.7, 1e-9):
        state.add(np.float32(value), np.float32(value / 3))
    state.save(tmp_path)
    other, *_ = small_state()
    other.restore(tmp_path)
    assert other.sums == state.sums
    assert other.step == 3
    assert other.best_epoch is None


def test_a_damaged_newest_file_falls_back_and_goes_with_the_next(tmp_path, caplog):
    begun = small_state()
    train(*begun, [0.1, 0.2, 0.3], tmp_path)
    before, newest = checkpoints(tmp_path)
    os.truncate(newest, 100)
    state, variable, optimizer = small_state()
    state.restore(tmp_path)
    assert state.step == 2
    assert "step_00000003.safetensors: damaged checkpoint" in caplog.text
    newest.rename(tmp_path / "step_00000009.safetensors")
    train(state, variable, optimizer, [0.3], tmp_path)
    assert checkpoints(tmp_path) == [before, newest]
    assert same(everything(*begun), everything(state, variable, optimizer))


def test_files_that_cannot_be_used_are_said_and_kept(tmp_path):
    train(*small_state(), [0.1, 0.2], tmp_path)
    for path in checkpoints(tmp_path):
        os.truncate(path, 100)
    with pytest.raises(InputError, match="none of 2 checkpoints can be used"):
        small_state()[0].restore(tmp_path)
    assert len(checkpoints(tmp_path)) == 2


def test_a_file_of_another_model_changes_nothing(tmp_path):
    train(*small_state(), [0.1], tmp_path)
    variable = keras.Variable(np.zeros((3, 2), np.float32))
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build([variable])
    with pytest.raises(InputError, match="none of 1 checkpoints"):
        TrainingState([variable], optimizer, "val").restore(tmp_path)
    assert not np.asarray(variable).any()


def test_without_a_score_the_last_epoch_is_the_best():
    state, variable, optimizer = small_state("another")
    train(state, variable, optimizer, [0.9, 0.1])
    last = np.array(variable)
    state.take_best()
    assert state.best_epoch == 1
    np.testing.assert_array_equal(variable, last)
