import dataclasses
import json

import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.audit import Audit
from data.dataset.frame_index import load_index
from data.image_classes.class_folders import prepare_classes
from data.splits.parts import PARTS
from down_stream.compare import table
from down_stream.cross_validation import _warnings, draw_splits
from down_stream.experiment import experiment
from down_stream.metrics.phases import evaluate
from down_stream.metrics.predictions import read_predictions
from down_stream.tasks import open_task
from tests.support.small_phases import small_config

pytestmark = pytest.mark.usefixtures("eager")


def folds_of(workdir):
    return [read_predictions(path / "predictions.csv") for path in sorted(workdir.glob("fold*"))]


def test_every_video_is_tested_once_by_a_classifier_that_has_not_seen_it(small_dataset, tmp_path):
    """video04 is in no part, and stays apart."""
    changes = {"mode": "knn", "folds": 3, "temporal": "tecno", "tecno__epochs": 1}
    results = experiment(small_config(small_dataset, test_videos=(), **changes), tmp_path)
    assert sorted(results["videos"]["test"]) == ["video01", "video02", "video03"]
    for number, fold in enumerate(results["folds"], 1):
        own = json.loads((tmp_path / f"fold{number}" / "results.json").read_text())
        assert own["videos"]["test"] == fold["test"] and len(fold["test"]) == 1
        parts = [set(own["videos"][part]) for part in PARTS]
        assert len(set.union(*parts)) == sum(map(len, parts)) == 3 and all(parts)
        assert fold["score"] == own["metrics"]["video"]["f1"]
    joined = read_predictions(tmp_path / "predictions.csv")
    assert len(joined.video) == sum(len(fold.video) for fold in folds_of(tmp_path)) == 42
    assert evaluate(joined)["video"]["f1"] == pytest.approx(results["metrics"]["video"]["f1"])
    assert results["metrics"]["video"]["interval"]["f1"][0] is not None
    assert set(results["temporal"]) == {"tecno"}
    assert (tmp_path / "predictions_tecno.csv").is_file()
    assert "video03" in (tmp_path / "report.html").read_text()
    line = table([tmp_path, tmp_path / "fold1"]).splitlines()[1]
    assert line.startswith(tmp_path.name)


def test_more_folds_than_videos_are_refused(small_dataset, tmp_path):
    config = small_config(small_dataset, mode="knn", folds=5)
    with pytest.raises(InputError, match="folds is 5; expected 2 to 4, as many as there are v"):
        experiment(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def lesions(tmp_path_factory):
    """Sixty images of twenty sequences, a quarter of them of the rarer class."""
    place = tmp_path_factory.mktemp("lesions")
    rows = ["image,sequence"]
    for number in range(20):
        kind = "cancer" if number % 4 == 0 else "benign"
        (place / "images" / kind).mkdir(parents=True, exist_ok=True)
        for view in range(3):
            name = f"{kind}/{number}_{view}.png"
            image = np.full((16, 16, 3), 10 * number + view, np.uint8)
            assert cv2.imwrite(str(place / "images" / name), image)
            rows.append(f"{name},lesion{number}")
    (place / "groups.csv").write_text("\n".join(rows) + "\n")
    prepare_classes(place / "set", place / "images", place / "groups.csv", 0, Audit())
    return place / "set"


def test_folds_have_the_classes_in_like_shares_and_no_lesion_twice(lesions):
    index, task = load_index(lesions), open_task("classes", [lesions])
    splits = draw_splits(task, index, 5, seed=0)
    assert sorted(name for split in splits for name in split["test"]) == sorted(index.videos)
    label = {
        index.videos[video]: label for video, label in zip(index.video, index.label, strict=True)
    }
    for split in splits:
        parts = list(map(set, split.values()))
        assert len(set.union(*parts)) == sum(map(len, parts)) == 20
        for part, number in (("test", 1), ("validation", 1), ("train", 3)):
            rare = sum(label[name] == 1 for name in split[part])
            assert rare >= number, part
    others = draw_splits(task, index, 5, seed=1)
    assert [split["test"] for split in splits] != [split["test"] for split in others]
    assert splits == draw_splits(task, index, 5, seed=0)


def test_lesions_are_cross_validated(lesions, tmp_path, caplog):
    """Who cross-validates is not told to."""
    config = small_config(lesions, mode="logistic", folds=2, task="classes")
    for part in ("train", "validation", "test"):
        config[f"{part}_videos"] = ("splits.json",)
    results = experiment(config, tmp_path)
    assert results["frames"] == {"test": 60}
    assert results["metrics"]["sequence"]["interval"]["accuracy"][0] is not None
    (warning,) = [text for text in results["warnings"] if "chosen on" in text]
    assert warning.startswith("in 2 of 2 folds what is tested was chosen on 2 validation sequences")
    assert warning in (tmp_path / "report.html").read_text()
    assert "folds=5" not in caplog.text + warning


def test_videos_of_one_patient_by_their_names_stay_together(lesions):
    index, task = load_index(lesions), open_task("classes", [lesions])
    names = [f"Pat_{number // 4:03d}_part{number % 4}" for number in range(len(index.videos))]
    index = dataclasses.replace(index, videos=tuple(names))
    for split in draw_splits(task, index, 5, seed=0):
        patients = [{name[:7] for name in split[part]} for part in PARTS]
        assert sum(map(len, patients)) == 5
    with pytest.raises(InputError, match="expected 2 to 5, as many as there are patients"):
        draw_splits(task, index, 6, seed=0)


def test_an_operation_under_two_names_stays_together(lesions):
    index, task = load_index(lesions), open_task("classes", [lesions])
    names = [f"{'VID' if n % 2 else 'video'}{n // 2 + 1:02d}" for n in range(len(index.videos))]
    index = dataclasses.replace(index, videos=tuple(names))
    for split in draw_splits(task, index, 5, seed=0):
        operations = [{name[-2:] for name in split[part]} for part in PARTS]
        assert sum(map(len, operations)) == 10


def test_more_folds_than_a_class_has_sequences_are_drawn_all_the_same(lesions):
    """Of the rarer class there are five; stratified ones cannot be, or leave a fold empty."""
    index, task = load_index(lesions), open_task("classes", [lesions])
    for folds in (12, 20):
        splits = draw_splits(task, index, folds, seed=0)
        assert sorted(name for split in splits for name in split["test"]) == sorted(index.videos)
        assert all(split["test"] and split["train"] for split in splits)


def test_what_cannot_be_read_is_said_once_and_last():
    text = "test frames cannot be read and do not count"
    fold = {"unreadable_frames": {"test": 1}, "warnings": ["a", f"1 {text}"]}
    other = {"unreadable_frames": {"test": 0}, "warnings": ["1 train frames " + text[12:], "b"]}
    assert _warnings([fold, other]) == ["a", "b", "1 frames cannot be read and do not count"]
    assert _warnings([other]) == ["b"]


def test_on_how_few_it_was_chosen_is_said_once():
    few = "what is tested was chosen on {} validation {}, fewer than 30, by luck"
    folds = [
        {"unreadable_frames": {"test": 0}, "warnings": warnings}
        for warnings in (
            [few.format(1, "sequence"), "a"],
            [few.format(11, "sequences")],
            ["a"],
            [few.format(9, "sequences")],
        )
    ]
    assert _warnings(folds) == ["a", f"in 3 of 4 folds {few.format('1 to 11', 'sequences')}"]
    assert _warnings(folds[:1]) == ["a", f"in 1 of 1 folds {few.format(1, 'sequence')}"]
