import csv
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from data.common.errors import InputError
from down_stream.metrics.multi_label import (
    MultiLabelPredictions,
    evaluate,
    read_predictions,
    write_predictions,
)


def drawn(videos=5, frames=30, seed=0):
    random = np.random.default_rng(seed)
    label = (random.uniform(size=(videos * frames, 3)) < (0.5, 0.2, 0.05)).astype(np.int8)
    noise = random.normal(scale=0.4, size=label.shape)
    return MultiLabelPredictions(
        video=np.repeat([f"video{i}" for i in range(videos)], frames),
        second=np.tile(np.arange(frames), videos),
        label=label,
        probabilities=np.clip(label * 0.5 + 0.25 + noise, 0, 1).astype(np.float32),
        classes=("Grasper", "Hook", "Clipper"),
    )


def test_average_precision_is_that_of_scikit_learn_per_tool_and_as_a_mean():
    predictions = drawn()
    found = evaluate(predictions, draws=0)["tool"]
    expected = [
        average_precision_score(predictions.label[:, i], predictions.probabilities[:, i])
        for i in range(3)
    ]
    per_class = [found["per_class"][name]["average_precision"] for name in predictions.classes]
    np.testing.assert_allclose(per_class, expected)
    assert found["average_precision"] == pytest.approx(np.mean(expected))


def test_unknown_labels_and_tools_that_never_occur_do_not_count():
    predictions = drawn()
    predictions.label[:, 2] = 0
    predictions.label[:10, 0] = -1
    found = evaluate(predictions, draws=0)["tool"]
    assert found["per_class"]["Clipper"]["average_precision"] is None
    expected = average_precision_score(predictions.label[10:, 0], predictions.probabilities[10:, 0])
    assert found["per_class"]["Grasper"]["average_precision"] == pytest.approx(expected)
    predictions.label[:] = -1
    with pytest.raises(InputError, match="known label"):
        evaluate(predictions)


def test_the_mean_over_videos_weighs_them_equally():
    predictions = drawn()
    found = evaluate(predictions, draws=50)
    per_video = found["video"]["per_video"]
    assert list(per_video) == predictions.videos
    mean = np.mean([scores["average_precision"] for scores in per_video.values()])
    assert found["video"]["average_precision"] == pytest.approx(mean)
    low, high = found["tool"]["interval"]["average_precision"]
    assert low < found["tool"]["average_precision"] < high


def test_the_table_has_label_and_probability_of_each_tool(tmp_path):
    predictions = drawn(videos=1, frames=4)
    write_predictions(tmp_path / "predictions.csv", predictions)
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["Hook_label"]) for row in rows] == predictions.label[:, 1].tolist()
    read = np.array([float(row["Hook"]) for row in rows], np.float32)
    np.testing.assert_array_equal(read, predictions.probabilities[:, 1])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_table_that_a_spreadsheet_has_saved_is_read(tmp_path, encoding, caplog):
    path = tmp_path / "predictions.csv"
    written = replace(drawn(videos=1), classes=("Gr\xe4sper", "Hook", "Clipper"))
    write_predictions(path, written)
    path.write_bytes((path.read_text(encoding="utf-8") + "\n").encode(encoding))
    found = read_predictions(path)
    assert found.classes == written.classes
    np.testing.assert_array_equal(found.label, written.label)
    assert ("read as Windows-1252" in caplog.text) == (encoding == "cp1252")
    path.write_bytes(b"video,second\n\0")
    with pytest.raises(InputError, match="expected text"):
        read_predictions(path)
