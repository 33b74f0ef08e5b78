import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from data.common.errors import InputError
from down_stream.metrics.classification import evaluate, frame_macro_f1
from down_stream.metrics.predictions import Predictions


def table(videos, label, probabilities, classes=("hyperplastic", "adenomatous")):
    probabilities = np.asarray(probabilities, np.float32)
    return Predictions(
        video=np.array(videos),
        second=np.arange(len(videos)),
        label=np.array(label),
        prediction=probabilities.argmax(axis=1),
        probabilities=probabilities,
        classes=classes,
    )


def drawn(sequences=12, frames=9, classes=2, seed=0):
    random = np.random.default_rng(seed)
    truth = np.arange(sequences) % classes
    label = np.repeat(truth, frames)
    logits = random.normal(size=(len(label), classes)) + 0.8 * np.eye(classes)[label]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    videos = np.repeat([f"polyp{i}" for i in range(sequences)], frames)
    names = tuple(f"class{i}" for i in range(classes))
    return table(videos, label, probabilities, names), truth


@pytest.mark.parametrize("classes", [2, 3])
def test_frame_scores_are_those_of_scikit_learn(classes):
    predictions, _ = drawn(classes=classes)
    given = "class1" if classes == 2 else None
    found = evaluate(predictions, draws=0, positive_class=given)["frame"]
    label, guess = predictions.label, predictions.prediction
    assert found["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(label, guess))
    assert found["balanced_accuracy"] == pytest.approx(
        sklearn_metrics.balanced_accuracy_score(label, guess)
    )
    assert found["f1"] == pytest.approx(sklearn_metrics.f1_score(label, guess, average="macro"))
    if classes == 2:
        recall = sklearn_metrics.recall_score
        assert found["sensitivity"] == pytest.approx(recall(label, guess, pos_label=1))
        assert found["specificity"] == pytest.approx(recall(label, guess, pos_label=0))
        expected = sklearn_metrics.roc_auc_score(label, predictions.probabilities[:, 1])
    else:
        assert "sensitivity" not in found
        expected = sklearn_metrics.roc_auc_score(
            label, predictions.probabilities, multi_class="ovr", average="macro"
        )
    assert found["auc"] == pytest.approx(expected)
    expected = sklearn_metrics.confusion_matrix(label, guess)  # rows are the truth
    assert expected.tolist() != expected.T.tolist()
    assert found["confusion"] == expected.tolist()
    score = frame_macro_f1(np.zeros(len(label)), label, predictions.probabilities)
    assert score == pytest.approx(found["f1"])
    assert ("The positive class is class1" in found["rule"]) == (classes == 2)


@pytest.mark.parametrize("positive", [0, 1])
def test_the_positive_class_is_one_of_two_whatever_their_order(positive):
    predictions, _ = drawn()
    found = evaluate(predictions, draws=20, positive_class=f"class{positive}")
    label, guess = predictions.label, predictions.prediction
    recalls = [sklearn_metrics.recall_score(label, guess, pos_label=k) for k in (0, 1)]
    assert recalls[0] != recalls[1]
    assert found["frame"]["sensitivity"] == pytest.approx(recalls[positive])
    assert found["frame"]["specificity"] == pytest.approx(recalls[1 - positive])
    for protocol in found.values():
        assert f"sensitivity is the recall of class{positive}, specificity" in protocol["rule"]
        assert set(protocol["interval"]) >= {"sensitivity", "specificity"}
    unknown = evaluate(predictions, draws=0)["frame"]
    assert "sensitivity" not in unknown and "positive is not known" in unknown["rule"]
    assert unknown["auc"] == found["frame"]["auc"]


def test_classes_of_one_frame_and_of_none():
    names = ("a", "b", "c", "d")
    label = [0, 0, 0, 1, 2]  # no frame of d, one of b and one of c
    chances = np.random.default_rng(3).dirichlet(np.ones(4), 5)
    found = evaluate(table(list("vwxyz"), label, chances, names), draws=0)["frame"]
    label, guess = np.array(label), chances.argmax(axis=1)
    recalls = [np.mean(guess[label == number] == number) for number in range(3)]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    areas = [sklearn_metrics.roc_auc_score(label == n, chances[:, n]) for n in range(3)]
    assert found["auc"] == pytest.approx(np.mean(areas))
    without = evaluate(table(list("vwxyz"), label, np.full((5, 4), np.nan), names), draws=0)
    assert without["frame"]["auc"] is None


def test_long_sequences_count_as_much_as_short_ones():
    """By sums b, of four frames, would be first."""
    chances = [0.4, *[0.3] * 4, 0.5]
    predictions = table(
        ["a", *"bbbb", "c"], [0, 0, 0, 0, 0, 1], [[1 - chance, chance] for chance in chances]
    )
    found = evaluate(predictions, draws=0)["sequence"]
    assert found["auc"] == 1
    assert found["confusion"] == [[2, 0], [1, 0]]  # at 0.5 the first class is predicted


def test_a_sequence_has_the_class_of_its_mean_probability():
    """Two of three frames say 0, but the third is sure of 1."""
    predictions = table(
        ["a", "a", "a", "b"], [1, 1, 1, 0], [[0.6, 0.4], [0.6, 0.4], [0.0, 1.0], [0.9, 0.1]]
    )
    found = evaluate(predictions, draws=0)
    assert found["frame"]["accuracy"] == 0.5
    assert found["sequence"]["accuracy"] == 1
    assert found["sequence"]["auc"] == 1
    assert found["sequence"]["sequences"] == 2


def test_order_of_the_rows_does_not_matter():
    predictions, _ = drawn()
    order = np.random.default_rng(1).permutation(len(predictions.video))
    columns = {
        name: getattr(predictions, name)[order]
        for name in ("video", "second", "label", "prediction", "probabilities")
    }
    shuffled = Predictions(**columns, classes=predictions.classes)
    for protocol in ("frame", "sequence"):
        one, other = (evaluate(each, draws=0)[protocol] for each in (predictions, shuffled))
        assert one["auc"] == pytest.approx(other["auc"])
        assert one["confusion"] == other["confusion"]


def test_intervals_draw_sequences_not_frames():
    """Frames of a sequence that are all alike carry no more information than one of them."""
    predictions, _ = drawn(frames=1, sequences=20)
    repeated = table(
        np.repeat(predictions.video, 50),
        np.repeat(predictions.label, 50),
        np.repeat(predictions.probabilities, 50, axis=0),
    )
    one, many = (evaluate(each, draws=300)["frame"] for each in (predictions, repeated))
    assert one["interval"]["accuracy"] == pytest.approx(many["interval"]["accuracy"])
    low, high = one["interval"]["accuracy"]
    assert low < one["accuracy"] < high


def test_what_is_undefined_is_none_and_unknown_labels_do_not_count():
    predictions = table(["a", "a", "b"], [1, 1, -1], [[0.2, 0.8], [0.6, 0.4], [0.5, 0.5]])
    found = evaluate(predictions)["frame"]
    assert found["accuracy"] == 0.5
    assert found["auc"] is None and found["specificity"] is None
    with pytest.raises(InputError, match="known label"):
        evaluate(table(["a"], [-1], [[0.5, 0.5]]))
