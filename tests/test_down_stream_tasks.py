import json

import numpy as np
import pytest

from data.cholec80 import PHASES, TOOLS
from data.errors import InputError
from data.index import load_index
from down_stream.tasks import TASKS, classes_of, open_task, phases, tools


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


def test_frames_without_a_label_are_left_out(index):
    half = index.take(np.arange(len(index)))
    half.phase[::2] = -1
    half.tools[::2, 1:] = -1  # one tool known is enough
    assert len(phases().labelled(half)) == len(index) // 2
    assert len(tools().labelled(half)) == len(index)
    half.tools[::2] = -1
    assert len(tools().labelled(half)) == len(index) // 2


def test_the_score_that_chooses_is_one_that_the_task_gives(index):
    """Predictions that are right score 1, those that are wrong less."""
    some = index.take(np.arange(len(index)))
    some.tools[:] = np.eye(7)[some.phase]
    for task in (phases(), tools()):
        labels = task.labels(some)
        right = np.eye(7)[labels] if labels.ndim == 1 else labels * 0.9
        assert task.score(task.table(some, right)) == pytest.approx(1)
        assert task.score(task.table(some, np.roll(right, 1, axis=1))) < 0.5


def test_labels_that_are_no_class_are_named(index):
    wrong = index.take(np.arange(len(index)))
    wrong.phase[5] = 7
    with pytest.raises(InputError, match="train_videos: label 7; right would be 0 to 6"):
        phases().check_labels(wrong, "train")
    wrong.tools[5, 2] = 2
    with pytest.raises(InputError, match="label 2; right would be 0 to 1"):
        tools().check_labels(wrong, "train")


def test_classes_come_from_the_data(tmp_path):
    roots = [tmp_path / name for name in ("one", "two")]
    for root in roots:
        root.mkdir()
        (root / "classes.json").write_text(json.dumps(["normal", "inflamed"]))
    assert classes_of(roots).classes == ("normal", "inflamed")
    (roots[1] / "classes.json").write_text(json.dumps(["normal"]))
    with pytest.raises(InputError, match="need the same"):
        classes_of(roots)
    for content in ("[1", '{"a": 1}'):
        (roots[0] / "classes.json").write_text(content)
        with pytest.raises(InputError, match=r"classes\.json"):
            classes_of(roots[:1])


def test_an_unknown_task_is_named():
    with pytest.raises(InputError, match=f"right would be {', '.join(TASKS)}"):
        open_task("phase", ())
