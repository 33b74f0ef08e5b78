"""Patients that are known: what intervals draw, and what is said where one is in two parts."""

import csv
import shutil

import pytest

from data.dataset.frame_index import load_index
from down_stream.compare import table
from down_stream.experiment import experiment, run
from down_stream.features.labelled_splits import describe_patients, patients_of
from down_stream.metrics.phases import evaluate
from down_stream.metrics.predictions import read_predictions
from down_stream.report.wording import drawn_cases
from tests.support.small_phases import small_config

pytestmark = pytest.mark.usefixtures("eager")

OF = {"video01": "A", "video02": "A", "video03": "B", "video04": "B"}


def write_patients(root, patients, by="file"):
    with (root / "patients.csv").open("w", newline="") as file:
        rows = [("video", "patient", "by"), *((v, p, by) for v, p in patients.items())]
        csv.writer(file).writerows(rows)


@pytest.fixture
def root(small_dataset, tmp_path):
    root = shutil.copytree(small_dataset, tmp_path / "data")
    write_patients(root, OF)
    return root


def config_of(root, train, test, **changes):
    videos = {"train_videos": train, "validation_videos": (), "test_videos": test}
    return small_config(root, mode="knn", **videos, **changes)


def test_intervals_draw_patients_and_say_so(root, tmp_path):
    names = ("video02", "video03", "video04")
    results = run(config_of(root, ("video01",), names), tmp_path / "run")
    tested = read_predictions(tmp_path / "run" / "predictions.csv")
    of_patients, of_videos = (evaluate(tested, patients=known) for known in (OF, None))
    assert results["metrics"] == of_patients
    intervals = [each["video"]["interval"] for each in (of_patients, of_videos)]
    assert intervals[0] != intervals[1]
    assert len(set(results["patients"]["test"].values())) == 2
    assert "A" not in results["patients"]["test"].values(), "numbers, not what they are called"
    assert (
        "bootstrap over 2 patients, by patients.csv" in (tmp_path / "run/report.html").read_text()
    )


def test_a_video_of_nobody_known_is_counted_by_itself(root, tmp_path):
    write_patients(root, {v: p for v, p in OF.items() if v != "video02"})
    names = ("video02", "video03", "video04")
    results = run(config_of(root, ("video01",), names), tmp_path / "run")
    assert results["patients"]["unknown"] == ["video02"]
    said = "1 patient, by patients.csv, and 1 video whose patient is not known"
    assert said in (tmp_path / "run" / "report.html").read_text()
    assert f"intervals over {said}" in table([tmp_path / "run"]).splitlines()
    del results["patients"]["unknown"]  # as earlier versions wrote it
    assert drawn_cases(results) == "2 patients, by patients.csv"


def test_a_given_split_that_tears_a_patient_is_never_silent(root, tmp_path):
    results = run(config_of(root, ("video01", "video03"), ("video02", "video04")), tmp_path / "a")
    (said,) = [text for text in results["warnings"] if "patients" in text]
    assert said.startswith("video02 (video01), video04 (video03): in test, of patients who are in ")
    assert results["patients"]["in_two_parts"] == [said]
    assert said in (tmp_path / "a" / "report.html").read_text()
    run(config_of(root, ("video01", "video02"), ("video03", "video04")), tmp_path / "b")
    lines = table([tmp_path / "a", tmp_path / "b"]).splitlines()
    assert f"warning: a: {said}" in lines
    assert not any(line.startswith("warning: b: ") for line in lines)
    assert "intervals over 2 patients, by patients.csv" in lines


def test_folds_keep_given_patients_together(root, tmp_path):
    config = config_of(root, ("video01", "video02"), ("video03", "video04"), folds=2)
    results = experiment(config, tmp_path / "folds")
    assert sorted(fold["test"] for fold in results["folds"]) == [
        *(["video01", "video02"], ["video03", "video04"])
    ]
    assert len(set(results["patients"]["test"].values())) == 2
    joined = read_predictions(tmp_path / "folds" / "predictions.csv")
    assert results["metrics"]["video"] == evaluate(joined, patients=OF)["video"]


def test_folders_are_not_believed_where_they_leave_too_little(root):
    index = load_index(root)
    splits = {"train": index.select(["video01"]), "test": index.select(["video02", "video03"])}
    assert describe_patients(patients_of([root], splits), splits)["in_two_parts"]
    write_patients(root, OF, by="folders")
    found = describe_patients(patients_of([root], splits), splits)
    assert found == {"by": "", "test": {}, "unknown": [], "in_two_parts": []}
