"""Labels that contradict what frames look like: how they are ranked, and the command."""

import csv
import shutil

import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.frame_index import load_index
from down_stream.comparison.colours import write_colours
from down_stream.suspicious.folds import out_of_fold, with_neighbours
from down_stream.suspicious.ranking import (
    confident_joint,
    confident_thresholds,
    largest_sum,
    rank,
)
from down_stream.suspicious.rehearsal import alter, found_share
from tests.support.documented import run_command
from tests.support.small_reports import Page


def procedures(videos=30, seed=0, noise=2.0):
    """Features float32 [n, 16] of phases in order, their videos and labels."""
    random = np.random.default_rng(seed)
    means = random.normal(size=(6, 16))
    lengths = random.integers(6, 30, (videos, 6))
    labels = np.concatenate([np.repeat(np.arange(6), of) for of in lengths])
    video = np.repeat(np.arange(videos), lengths.sum(axis=1))
    features = means[labels] + noise * random.normal(size=(len(labels), 16))
    return features.astype(np.float32), video, labels


def test_what_was_altered_comes_first():
    """Of 180 intervals nine are altered; the first tenth of the list has at least 70 % of them."""
    features, video, labels = procedures()
    second = np.arange(len(labels), dtype=float)
    features = with_neighbours(features, video, second, 3.0)
    shares = []
    for seed in range(3):
        changed, altered = alter(video, labels, 6, 0.05, seed)
        assert len(altered) == 9
        probabilities = out_of_fold(features, changed, video, 6, 5, seed)
        shares.append(found_share(rank(probabilities, video, changed), altered))
    print("found:", [f"{share:.0%}" for share in shares])
    assert np.mean(shares) >= 0.7
    assert found_share(rank(probabilities, video, labels)[::-1], altered) < 0.3


def test_a_moved_boundary_and_a_wrong_name_are_proposed_back():
    truth = np.repeat([0, 1, 2], [10, 10, 10])
    video = np.zeros(30, int)
    sure = np.full((30, 3), 0.05)
    sure[np.arange(30), truth] = 0.9
    said = np.repeat([0, 1, 2], [10, 13, 7])
    (first, *_) = rank(sure, video, said)
    assert (first.first, first.behind, first.annotated, first.proposed) == (20, 23, 1, 2)
    assert first.interval == (10, 23)
    said = np.repeat([0, 1, 0], [10, 10, 10])
    (first, *others) = rank(sure, video, said)
    assert (first.first, first.behind, first.annotated, first.proposed) == (20, 30, 0, 2)
    assert first.score > 0 > others[0].score
    assert [one.score > 0 for one in rank(sure, video, truth)] == [False] * 3


def test_a_frame_alone_in_an_interval_is_worth_less_than_one_at_its_end():
    likely = np.tile([0.9, 0.1], (40, 1))
    likely[20:] = likely[20:, ::-1]
    labels = np.repeat([0, 1], 20)
    inside, at_end = likely.copy(), likely.copy()
    inside[10] = at_end[19] = [0.1, 0.9]
    scores = [rank(each, np.zeros(40, int), labels)[0].score for each in (inside, at_end)]
    assert scores[0] < scores[1]


def test_the_confident_joint_is_counted_as_the_paper_does():
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.1, 0.9], [0.45, 0.55]])
    labels = np.array([0, 0, 0, 1, 1])
    np.testing.assert_allclose(confident_thresholds(probabilities, labels), [0.6, 0.725])
    # The last frame is confidently of neither.
    assert confident_joint(probabilities, labels).tolist() == [[2, 1], [0, 1]]


def test_the_part_with_the_largest_sum():
    assert largest_sum([-1, 2, -1, 3, -5, 1]) == (4, 1, 4)
    assert largest_sum([-3, -1, -2]) == (-1, 1, 2)


def test_nobody_is_asked_about_a_video_that_it_has_learnt():
    """Features that tell the video alone, and labels by video: what is learnt is of no use."""
    random = np.random.default_rng(0)
    video = np.repeat(np.arange(10), 20)
    labels = np.repeat(random.permutation([0, 1] * 5), 20)
    features = np.eye(10, dtype=np.float32)[video]
    found = out_of_fold(features, labels, video, 2, 5, 0)
    right = found[np.arange(200), labels]
    assert right.max() < 0.7
    with pytest.raises(InputError, match="labels of one video or patient; expected two or more"):
        out_of_fold(features, labels, np.zeros(200, int), 2, 5, 0)


def test_neighbours_are_of_the_same_video_and_near():
    features = np.arange(6, dtype=np.float32)[:, None]
    video, second = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 5, 0, 1, 2.0])
    found = with_neighbours(features, video, second, 1.0)
    np.testing.assert_allclose(found[:, 1], [0.5, 0.5, 2, 3.5, 4, 4.5])


@pytest.fixture
def place(small_dataset, tmp_path, monkeypatch):
    shutil.copytree(small_dataset, tmp_path / "data" / "cholec80")
    write_colours(load_index([tmp_path / "data" / "cholec80"]), tmp_path / "c.parquet", 8)
    monkeypatch.chdir(tmp_path)
    return tmp_path


COMMAND = "python -m down_stream.suspicious --encoder=c.parquet --data_rootdir=data"


def test_the_command_writes_list_and_page(place, monkeypatch, capsys):
    assert run_command([*COMMAND.split(), "--folds=4"], monkeypatch) == 0
    with (place / "suspicious.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["video", "start", "end", "annotated", "proposed", "score"]
    assert len(rows) == 4 * 7  # one for each annotated interval
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= float(row["start"]) < float(row["end"]) <= 14 for row in rows)
    page = (place / "suspicious.html").read_text()
    assert not Page(page).unreachable()
    assert "Look at these" in page
    assert "<script" not in page
    assert page.count("<h3>") <= sum(score > 0 for score in scores)
    assert f"{len(rows)} intervals" in capsys.readouterr().out


def test_a_rehearsal_writes_nothing(place, monkeypatch, capsys):
    words = [*COMMAND.split(), "--rehearse=0.1"]
    assert run_command(words, monkeypatch) == 0
    assert "of 3 altered intervals in the first 10% of" in capsys.readouterr().out
    assert not list(place.glob("suspicious.*"))


def test_wrong_input_is_one_line(place, monkeypatch):
    with pytest.raises(InputError, match=r"expected a name that ends in \.csv"):
        run_command([*COMMAND.split(), "--output=a.txt"], monkeypatch)
    shutil.rmtree(place / "data" / "cholec80")
    with pytest.raises(InputError, match="cholec80"):
        run_command(COMMAND.split(), monkeypatch)
