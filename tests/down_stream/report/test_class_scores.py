"""The scores that bars are drawn of."""

import pytest

from data.dataset.cholec80 import PHASES
from down_stream.metrics import phases as phase_metrics
from down_stream.report import class_scores
from tests.support.small_reports import predictions_of


def test_scores_of_classes_are_those_of_the_protocols():
    predictions = predictions_of()
    of_phase = phase_metrics.evaluate(predictions)["phase"]["per_phase"]
    found = class_scores.of_predictions(predictions, pooled=False)
    pooled = class_scores.of_predictions(predictions, pooled=True)
    recall = (predictions.prediction == 2)[predictions.label == 2].mean()
    assert pooled[PHASES[2]]["Recall"][0] == pytest.approx(recall)
    for name in PHASES:
        value, low, high = found[name]["F1"]
        assert value == pytest.approx(of_phase[name]["f1"])
        assert low <= value <= high
