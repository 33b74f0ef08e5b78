"""What the challenge's script accepts around transitions, with its error and without."""

import numpy as np
import pytest

from down_stream.metrics.relaxed import accepted, video_scores


def hits(label, prediction, fixed, step=1):
    label, prediction = np.asarray(label), np.asarray(prediction)
    return accepted(step * np.arange(len(label)), label, prediction, fixed)


def change(at, frames=100, phases=(0, 1)):
    """A sequence of two phases that changes at frame `at`."""
    return np.where(np.arange(frames) < at, *phases)


@pytest.mark.parametrize("fixed", [False, True])
def test_a_late_change_is_accepted_for_ten_seconds(fixed):
    assert hits(change(50), change(60), fixed).all()
    np.testing.assert_array_equal(
        np.flatnonzero(~hits(change(50), change(65), fixed)), range(60, 65)
    )


def test_an_early_change_is_accepted_for_ten_seconds_once_the_error_is_mended():
    assert hits(change(50), change(40), fixed=True).all()
    missed = np.flatnonzero(~hits(change(50), change(35), fixed=True))
    np.testing.assert_array_equal(missed, range(35, 40))


def test_as_published_an_early_change_is_accepted_at_the_wrong_end():
    prediction = change(45)
    assert not hits(change(50), prediction, fixed=False)[45:50].any()
    # The last ten frames of the segment stand for its first ten: 45..49 for 5..9.
    prediction[3:8] = 6
    missed = np.flatnonzero(~hits(change(50), prediction, fixed=False))
    np.testing.assert_array_equal(missed, [3, 4, *range(45, 50)])


def test_only_the_last_phases_may_be_left_out():
    for phases, expected in (((1, 3), False), ((2, 4), False), ((3, 5), True), ((4, 6), True)):
        for early_or_late in (45, 55):
            guess = change(early_or_late, phases=phases)
            found = hits(change(50, phases=phases), guess, fixed=True)
            assert found.all() == expected, (phases, early_or_late)


def test_the_boundary_is_measured_in_seconds():
    found = hits(change(10, frames=20), change(15, frames=20), fixed=True, step=5)
    np.testing.assert_array_equal(np.flatnonzero(~found), [12, 13, 14])  # 10 and 11: 0 s, 5 s


def test_frames_of_unknown_phase_end_a_segment_and_do_not_count():
    label, prediction = change(50), change(40)
    label[44:50] = -1
    missed = np.flatnonzero(~hits(label, prediction, fixed=True))
    np.testing.assert_array_equal(missed, range(44, 50))
    assert video_scores(np.arange(100), label, prediction, fixed=True)["accuracy"] == 1


@pytest.mark.parametrize("fixed", [False, True])
def test_relaxed_accepts_all_that_is_right(fixed):
    rng = np.random.default_rng(0)
    label = np.sort(rng.integers(7, size=400))
    prediction = np.clip(label + rng.integers(-2, 3, size=400), 0, 6)
    found = hits(label, prediction, fixed)
    assert found[label == prediction].all()
    assert found.sum() > (label == prediction).sum()
    scores = video_scores(np.arange(400), label, prediction, fixed)
    for phase in range(7):
        both = ((label == phase) & (prediction == phase)).sum()
        assert scores["recall"][phase] >= both / (label == phase).sum()
        assert scores["precision"][phase] >= both / (prediction == phase).sum()


def test_scores_of_a_late_change():
    scores = video_scores(np.arange(100), change(50), change(55), fixed=True)
    # Frames 50..54 are hits of both phases.
    np.testing.assert_allclose(scores["recall"], [55 / 50, 1, *[np.nan] * 5])
    np.testing.assert_allclose(scores["precision"], [1, 50 / 45, *[np.nan] * 5])
    np.testing.assert_allclose(scores["jaccard"], [1, 1, *[np.nan] * 5])
