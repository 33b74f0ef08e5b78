import json
import re
from dataclasses import replace

import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.cholec80 import PHASES, TOOLS
from data.dataset.classes import CHOLEC80
from data.dataset.frame_index import load_index
from down_stream import experiment, tasks
from down_stream.compare import table
from down_stream.metrics import classification
from down_stream.tasks import image_classes, multi_label_group, open_task
from down_stream.tasks import phases as phases_of
from tests.support.small_phases import small_config


def phases():
    return phases_of(CHOLEC80)


def tools():
    return multi_label_group("tools", CHOLEC80)


@pytest.fixture(scope="module")
def index(small_dataset):
    return load_index(small_dataset)


def test_phases_are_one_of_seven_and_tools_any_of_seven(index):
    assert phases().classes == PHASES and tools().classes == TOOLS
    assert phases().present(index) == set(range(7))
    assert tools().present(index) == {0}  # a grasper all the time, nothing else
    probabilities = np.full((len(index), 7), 0.3)
    probabilities[:, 2] = 0.6
    assert set(phases().table(index, probabilities).prediction.tolist()) == {2}
    table = tools().table(index, probabilities)
    np.testing.assert_array_equal(table.prediction, probabilities >= 0.5)
    np.testing.assert_array_equal(table.label, index.tools)


def test_labels_that_are_no_class_are_refused(index):
    some = index.take(np.arange(9))
    for label, is_class in ((-1, True), (0, True), (6, True), (7, False), (-2, False)):
        some.phase[4] = label
        if is_class:
            phases().check_labels(some, "test")
        else:
            with pytest.raises(InputError, match=f"test_videos: label {label}; expected 0 to 6"):
                phases().check_labels(some, "test")
    some.tools[3, 1] = 2
    with pytest.raises(InputError, match="label 2; expected 0 to 1"):
        tools().check_labels(some, "test")
    some.tools[3, 1] = 1
    tools().check_labels(some, "test")
    assert tools().present(some) == {0, 1}


def test_frames_without_a_label_are_left_out(index):
    half = index.take(np.arange(len(index)))
    half.phase[::2] = -1
    half.tools[::2, 1:] = -1  # one tool known is enough
    assert len(phases().labelled(half)) == len(index) // 2
    assert len(tools().labelled(half)) == len(index)
    half.tools[::2] = -1
    assert len(tools().labelled(half)) == len(index) // 2


def test_the_score_that_chooses_is_the_one_of_the_evaluation(index):
    some = index.take(np.arange(len(index)))
    some.tools[:] = np.eye(7)[some.phase]
    some.label[:] = some.phase
    some.phase[:3], some.label[:3], some.tools[4:6, 2] = -1, -1, -1
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), len(some))
    classes = replace(phases(), labels=lambda index: index.label, evaluate=classification.evaluate)
    classes = replace(classes, chosen_by=("frame", "f1"), score=classification.frame_macro_f1)
    for task in (phases(), tools(), classes):
        protocol, name = task.chosen_by
        expected = task.evaluate(task.table(some, probabilities), draws=0)[protocol][name]
        assert task.scorer(some)(probabilities) == pytest.approx(expected)
        right = np.eye(7)[task.labels(some)] if task.name == "phases" else some.tools * 0.9
        assert task.scorer(some)(right) == pytest.approx(1)


def test_labels_that_are_no_class_are_named(index):
    wrong = index.take(np.arange(len(index)))
    wrong.phase[5] = 7
    with pytest.raises(InputError, match="train_videos: label 7; expected 0 to 6"):
        phases().check_labels(wrong, "train")
    wrong.tools[5, 2] = 2
    with pytest.raises(InputError, match="label 2; expected 0 to 1"):
        tools().check_labels(wrong, "train")


def test_classes_come_from_the_data_and_are_joined_by_name(tmp_path):
    roots = [tmp_path / name for name in ("one", "two")]
    for root in roots:
        root.mkdir()
        (root / "classes.json").write_text(json.dumps(["normal", "inflamed"]))
    assert open_task("classes", roots).classes == ("normal", "inflamed")
    (roots[1] / "classes.json").write_text(json.dumps(["scar", "normal"]))
    assert open_task("classes", roots).classes == ("normal", "inflamed", "scar")
    with pytest.raises(
        InputError, match=r"task=phases: .*one/classes\.json.* has classes of images"
    ):
        open_task("phases", roots)
    for content in ("[1", '{"a": 1}', '"one"', '["a", "a"]', '{"phases": "ab"}', '{"fps": 0}'):
        (roots[0] / "classes.json").write_text(content)
        with pytest.raises(InputError, match=r"one/classes\.json: "):
            open_task("classes", roots[:1])


def test_phases_that_nobody_has_annotated_are_missed(tmp_path):
    (tmp_path / "classes.json").write_text(json.dumps({"phases": []}))
    with pytest.raises(InputError, match=r"task=phases: no phases in .*classes\.json; annotate"):
        open_task("phases", (tmp_path,))


def test_any_multi_label_group_is_a_task(tmp_path):
    groups = {"tools": ["Hook"], "cvs": ["two structures", "cystic plate"]}
    (tmp_path / "classes.json").write_text(json.dumps({"multi_label": groups}))
    assert open_task("cvs", (tmp_path,)).classes == ("two structures", "cystic plate")
    assert open_task("cvs", (tmp_path,)).multi_label
    with pytest.raises(InputError, match="'verbs'; expected classes, cvs, phases, tools"):
        open_task("verbs", (tmp_path,))


def test_an_unknown_task_is_named(tmp_path):
    with pytest.raises(InputError, match="task is 'phase'; expected classes, phases, tools"):
        open_task("phase", (tmp_path,))
    with pytest.raises(InputError, match=r"data\.root is empty"):
        open_task("phases", ())


@pytest.mark.usefixtures("eager")
def test_a_task_of_ones_own_needs_no_more_than_its_description(
    small_dataset, tmp_path, monkeypatch
):
    """One label a frame, scored as classes are, of videos."""
    late = replace(
        image_classes(replace(CHOLEC80, classes=("early", "late")), positive_class="late"),
        name="half",
        labels=lambda index: (index.phase > 3).astype(np.int64),
        unit="video",
    )
    monkeypatch.setattr(tasks, "open_task", lambda *_, **__: late)
    results = experiment.run(small_config(small_dataset, mode="logistic"), tmp_path / "run")
    assert (results["task"], results["unit"], results["positive_class"]) == (
        "half",
        "video",
        "late",
    )
    text = re.sub("<[^>]*>", " ", (tmp_path / "run" / "report.html").read_text())
    assert "Confusion matrix" in text and "On the test videos" in text
    assert "bootstrap over 1 video" in text
    assert "intervals over 1 video" in table([tmp_path / "run"])


@pytest.mark.usefixtures("eager")
def test_a_task_with_a_protocol_of_its_own_keeps_its_results(
    small_dataset, tmp_path, monkeypatch, caplog
):
    """Its report has what all have, and says what is missing; so does a comparison."""
    classes = image_classes(replace(CHOLEC80, classes=("early", "late")), positive_class="late")

    def evaluate(*arguments, **named):
        scores = {"quality_index": 0.5, "accuracy": 0.5, "interval": {}}
        return {"grasp": {"rule": "As surgeons grade it."} | scores}

    own = replace(
        classes,
        name="half",
        labels=lambda index: (index.phase > 3).astype(np.int64),
        evaluate=evaluate,
        chosen_by=("grasp", "quality_index"),
        unit="video",
    )
    monkeypatch.setattr(tasks, "open_task", lambda *_, **__: own)
    runs = [tmp_path / "run", tmp_path / "other"]
    for run in runs:
        experiment.run(small_config(small_dataset, mode="logistic"), run)
        assert (run / "results.json").is_file()
    text = re.sub("<[^>]*>", " ", (tmp_path / "run" / "report.html").read_text())
    assert "Quality index" in text
    assert "report: no pictures of the protocol 'grasp' of the task half; expected" in caplog.text
    lines = table(runs)
    assert "quality index" in lines
    assert "nothing is drawn for the protocol grasp; expected video, frame, tool" in lines
