"""Scores against reference numbers, scikit-learn, hand-computed cases and what must hold of any."""

import dataclasses
import json

import numpy as np
import pytest
import sklearn.metrics

from data.common.errors import InputError
from data.dataset.cholec80 import PHASES
from down_stream.metrics import phases as phase_metrics
from down_stream.metrics.phases import evaluate
from down_stream.metrics.predictions import Predictions
from tests.support.forked_commands import call
from tests.support.places import GOLDEN

STRICT = ("precision", "recall", "f1", "jaccard")


def table(videos: dict[str, tuple[list[int], list[int]]], classes=PHASES) -> Predictions:
    """{video: (labels, predictions)}, one frame per second from 0, as one table."""
    lengths = [len(labels) for labels, _ in videos.values()]
    prediction = np.concatenate([np.asarray(p, int) for _, p in videos.values()])
    return Predictions(
        video=np.repeat(list(videos), lengths),
        second=np.concatenate([np.arange(n) for n in lengths]),
        label=np.concatenate([np.asarray(labels, int) for labels, _ in videos.values()]),
        prediction=prediction,
        probabilities=np.eye(len(classes), dtype=np.float32)[prediction],
        classes=tuple(classes),
    )


def take(predictions: Predictions, frames: np.ndarray) -> Predictions:
    columns = ("video", "second", "label", "prediction", "probabilities")
    return dataclasses.replace(predictions, **{c: getattr(predictions, c)[frames] for c in columns})


def noisy(videos=5, frames=300, seed=0) -> Predictions:
    """Videos whose phases come in order, four predictions out of five right."""
    rng = np.random.default_rng(seed)
    truth = [np.sort(rng.integers(len(PHASES), size=frames)) for _ in range(videos)]
    wrong = [rng.random(frames) < 0.2 for _ in range(videos)]
    guess = [np.where(w, rng.permutation(t), t) for t, w in zip(truth, wrong, strict=True)]
    return table({f"video{i:02d}": pair for i, pair in enumerate(zip(truth, guess, strict=True))})


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "phase-metrics.npz", allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def golden_results(golden):
    videos = {v: (golden[f"gt/{v}"], golden[f"pred/{v}"]) for v in golden["videos"].tolist()}
    return evaluate(table(videos, golden["phase_names"].tolist()), draws=20)


@pytest.mark.parametrize("protocol", ["video", "frame"])
def test_strict_protocols_equal_the_reference(golden, golden_results, protocol):
    names = [key.removeprefix(f"{protocol}/") for key in golden if key.startswith(f"{protocol}/")]
    assert len(names) >= 3
    for name in names:
        ours = 100 * golden_results[protocol][name]
        assert ours == pytest.approx(float(golden[f"{protocol}/{name}"]), abs=1e-6), name


@pytest.mark.parametrize("name", ["jaccard", "precision", "recall", "accuracy"])
def test_relaxed_protocol_equals_the_challenge_script(golden, golden_results, name):
    result = golden_results["relaxed"]
    rows = [result["per_video"][video][name] for video in golden["videos"].tolist()]
    np.testing.assert_allclose(100 * np.array(rows, float), golden[f"relaxed/{name}"], atol=1e-6)
    deviation = "std_accuracy" if name == "accuracy" else f"std_over_phases_{name}"
    assert 100 * result[name] == pytest.approx(float(golden[f"relaxed/mean_{name}"]), abs=1e-6)
    assert 100 * result["std"][name] == pytest.approx(
        float(golden[f"relaxed/{deviation}"]), abs=1e-6
    )


def test_per_phase_means_lead_to_the_reference_means(golden, golden_results):
    values = np.minimum(golden["relaxed/jaccard"] / 100, 1)
    for i, phase in enumerate(golden["phase_names"].tolist()):
        ours = golden_results["relaxed"]["per_phase"][phase]
        column = values[~np.isnan(values[:, i]), i]
        assert ours["videos"] == len(column)
        assert ours["jaccard"] == pytest.approx(column.mean())
        assert ours["std"]["jaccard"] == pytest.approx(column.std(ddof=1))


def test_strict_scores_agree_with_scikit_learn():
    predictions = noisy()
    predictions.label[predictions.label == 4] = 3  # a phase that is predicted, but nowhere true
    results = evaluate(predictions, draws=2)
    functions = {name: getattr(sklearn.metrics, f"{name}_score") for name in STRICT}
    for video, row in results["video"]["per_video"].items():
        _, label, prediction = predictions.of_video(video)
        for name, function in functions.items():
            theirs = function(label, prediction, average="macro", zero_division=0)
            assert row[name] == pytest.approx(theirs), (video, name)
    for name, function in functions.items():
        theirs = function(
            predictions.label, predictions.prediction, average="macro", zero_division=0
        )
        assert results["frame"][f"macro_{name}"] == pytest.approx(theirs), name
    theirs = sklearn.metrics.f1_score(
        predictions.label, predictions.prediction, average="weighted", zero_division=0
    )
    assert results["frame"]["weighted_f1"] == pytest.approx(theirs)
    theirs = sklearn.metrics.confusion_matrix(predictions.label, predictions.prediction)
    np.testing.assert_array_equal(results["frame"]["confusion"], theirs)


def test_small_case_computed_by_hand():
    results = evaluate(table({"a": ([0, 0, 0, 1], [0, 0, 1, 1]), "b": ([0, 1], [0, 1])}), draws=2)
    row = results["video"]["per_video"]["a"]
    assert row["accuracy"] == 3 / 4
    assert row["precision"] == pytest.approx((1 + 1 / 2) / 2)
    assert row["recall"] == pytest.approx((2 / 3 + 1) / 2)
    assert row["f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert row["jaccard"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert row["edit"] == 1
    assert results["video"]["accuracy"] == (3 / 4 + 1) / 2
    assert results["video"]["std"]["accuracy"] == pytest.approx(np.std([0.75, 1], ddof=1))
    assert results["frame"]["accuracy"] == 5 / 6
    assert results["phase"]["per_phase"][PHASES[0]]["recall"] == pytest.approx((2 / 3 + 1) / 2)
    assert results["phase"]["per_phase"][PHASES[2]]["recall"] is None


def test_a_perfect_prediction_scores_one_in_every_protocol():
    predictions = noisy()
    perfect = dataclasses.replace(predictions, prediction=predictions.label)
    for protocol, result in evaluate(perfect, draws=10).items():
        for score, interval in result["interval"].items():
            assert result[score] == pytest.approx(1), (protocol, score)
            assert interval == pytest.approx([1, 1]), (protocol, score)


def test_a_prediction_that_is_always_wrong_scores_nought():
    wrong = table({"a": (np.repeat([0, 3], 30), np.full(60, 6))})  # too far off for any boundary
    for protocol, result in evaluate(wrong).items():
        for score in result["interval"]:
            # The challenge does not define the precision of a phase without predictions and hits.
            undefined = score == "precision" and protocol.startswith("relaxed")
            assert result[score] == (None if undefined else 0), (protocol, score)


def test_the_order_of_the_rows_changes_nothing():
    predictions = noisy()
    order = np.random.default_rng(1).permutation(len(predictions.second))
    assert evaluate(take(predictions, order)) == evaluate(predictions)


def test_exchanging_videos_changes_no_score():
    predictions = noisy()
    names = np.unique(predictions.video)
    other = dict(zip(names, names[::-1], strict=True))
    renamed = dataclasses.replace(
        predictions, video=np.array([other[name] for name in predictions.video])
    )
    assert not np.array_equal(renamed.video, predictions.video)
    ours, theirs = evaluate(predictions, draws=2), evaluate(renamed, draws=2)
    for protocol, result in ours.items():
        for score in result["interval"]:
            assert result[score] == pytest.approx(theirs[protocol][score]), (protocol, score)


def test_exchanging_truth_and_prediction_exchanges_precision_and_recall():
    predictions = noisy()
    swapped = dataclasses.replace(
        predictions, label=predictions.prediction, prediction=predictions.label
    )
    for protocol in ("video", "phase"):
        ours, theirs = evaluate(predictions)[protocol], evaluate(swapped)[protocol]
        for score in ("f1", "jaccard"):
            assert ours[score] == pytest.approx(theirs[score])
        assert ours["precision"] == pytest.approx(theirs["recall"])
        assert ours["precision"] != pytest.approx(theirs["precision"])


def test_a_phase_that_is_nowhere_does_not_count():
    labels = [0] * 5 + [1] * 5
    results = evaluate(table({"a": (labels, [0] * 4 + [1] * 6)}))
    f1 = (8 / 9 + 10 / 11) / 2  # of two phases, not of seven
    assert results["video"]["f1"] == pytest.approx(f1)
    assert results["phase"]["f1"] == pytest.approx(f1)
    assert results["frame"]["macro_f1"] == pytest.approx(f1)


def test_a_phase_that_is_only_predicted_counts_but_for_the_challenge():
    labels = [0] * 50
    results = evaluate(table({"a": (labels, [0] * 40 + [5] * 10)}))
    for protocol in ("video", "phase"):
        assert results[protocol]["recall"] == pytest.approx((40 / 50 + 0) / 2)
    assert results["relaxed"]["recall"] == pytest.approx(40 / 50)
    assert results["relaxed"]["per_video"]["a"]["recall"][1:] == [None] * 6


def test_frames_of_unknown_phase_do_not_count():
    predictions = noisy(videos=3)
    known = evaluate(predictions)
    unknown = table({"video00": ([-1] * 20, [2] * 20), "video99": ([-1] * 9, [1] * 9)})
    unknown.second[:20] += 1000
    both = Predictions(
        *(
            np.concatenate([getattr(predictions, c), getattr(unknown, c)])
            for c in ("video", "second", "label", "prediction", "probabilities")
        )
    )
    results = evaluate(both)
    assert results["frame"].pop("unknown_frames") == 29
    assert known["frame"].pop("unknown_frames") == 0
    assert results == known


def test_predictions_without_any_label_are_refused():
    with pytest.raises(InputError, match="no frame has a known label"):
        evaluate(table({"a": ([-1, -1], [0, 1])}))


def test_other_phases_have_no_relaxed_protocols():
    results = evaluate(table({"a": ([0, 1], [0, 1])}, classes=("Incision", "Suture")))
    assert list(results) == ["video", "frame", "phase"]


def levenshtein(a, b):
    if not a or not b:
        return len(a) + len(b)
    return min(
        levenshtein(a[1:], b) + 1,
        levenshtein(a, b[1:]) + 1,
        levenshtein(a[1:], b[1:]) + (a[0] != b[0]),
    )


def test_edit_score_is_one_minus_the_normalised_distance_of_the_segments():
    rng = np.random.default_rng(0)
    scores = set()
    for _ in range(30):
        a, b = ([int(rng.integers(3))] for _ in range(2))
        for sequence in (a, b):  # no phase twice in a row: one entry is one segment
            for _ in range(rng.integers(6)):
                sequence.append(int((sequence[-1] + rng.integers(1, 3)) % 3))
        frames = 60  # divisible by every number of segments
        label, prediction = (np.repeat(s, frames // len(s)) for s in (a, b))
        expected = 1 - levenshtein(a, b) / max(len(a), len(b))
        assert phase_metrics.edit_score(label, prediction) == pytest.approx(expected), (a, b)
        scores.add(expected)
    assert len(scores) > 5


def test_intervals_are_drawn_over_videos_from_the_seed():
    right, wrong = ([0] * 40, [0] * 40), ([0] * 40, [4] * 40)
    results = evaluate(table({"a": right, "b": wrong}))
    # Both videos right, or both wrong: a quarter of the draws each.
    assert results["video"]["interval"]["accuracy"] == [0, 1]
    assert results["frame"]["interval"]["accuracy"] == [0, 1]
    predictions = noisy()
    first, again, other = (evaluate(predictions, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first["video"]["interval"] != other["video"]["interval"]
    for protocol, result in first.items():
        for score, (low, high) in result["interval"].items():
            assert low < result[score] < high, (protocol, score)


def test_one_video_has_no_deviation_and_no_interval():
    results = evaluate(noisy(videos=1))
    assert results["video"]["std"]["accuracy"] is None
    assert results["video"]["interval"]["accuracy"] == [None, None]
    assert results["video"]["accuracy"] > 0.5


def test_results_are_valid_json_and_state_their_rule():
    results = evaluate(table({"a": ([0, 0, 2], [0, 5, 5])}))
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    assert all("phase" in result["rule"] for result in results.values())
    assert results["relaxed"]["rule"] != results["relaxed_fixed"]["rule"]


def run(*arguments):
    return call("-m", "down_stream.metrics", *arguments)


def test_command_scores_a_file(tmp_path):
    predictions = noisy(videos=2)
    phase_metrics.write_predictions(tmp_path / "predictions.csv", predictions)
    output = tmp_path / "results.json"
    done = run(str(tmp_path / "predictions.csv"), f"--output={output}")
    assert done.returncode == 0, done.stderr
    results = evaluate(predictions)
    assert json.loads(output.read_text()) == results
    assert f"{100 * results['video']['f1']:.2f}" in done.stdout


def test_command_refuses_in_one_line(tmp_path):
    done = run(str(tmp_path / "missing.csv"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "missing.csv: no such file" in done.stderr
