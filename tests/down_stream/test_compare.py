"""The table that sets experiments side by side."""

import json
import re

import pytest

from data.common.errors import InputError
from down_stream.compare import table
from down_stream.metrics import phases
from down_stream.metrics.draws import paired_difference
from down_stream.metrics.predictions import read_predictions, write_predictions
from down_stream.report.wording import duration
from tests.support.forked_commands import call
from tests.support.small_reports import predictions_of


def write(folder, name, seconds, accuracy, f1, **changes):
    """Results alone, as an earlier version wrote them: no predictions, no network."""
    folder.mkdir()
    scores = {"accuracy": accuracy, "f1": f1}
    results = {"name": name, "seconds": seconds, "metrics": {"video": scores, "frame": {}}}
    results |= {"chosen_by": ["video", "f1"], "temporal": {}} | changes
    (folder / "results.json").write_text(json.dumps(results))
    return folder


NETWORK = {"image_size": 224, "patch_size": 16, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


def write_run(folder, name, seed, **changes):
    """Results and predictions of an experiment on three videos."""
    tested = predictions_of(videos=("video01", "video02", "video03"), seed=seed)
    scores = phases.evaluate(tested)
    facts = {"task": "phases", "mode": "probe", "features": "cls", "network": NETWORK}
    facts |= {"videos": {"train": ["a"], "test": tested.videos}, "frames": {"test": 300}}
    facts |= {"config": {"data": {"root": ["data/ours"]}}, "metrics": scores} | changes
    write(folder, name, 9.4, 0, 0, **facts)
    write_predictions(folder / "predictions.csv", tested)
    return folder


def test_table_is_aligned_and_in_the_order_given(tmp_path):
    first = write_run(tmp_path / "b", "a fine-tuned encoder", 0)
    second = write_run(tmp_path / "a", "probe", 1)
    header, *lines = table([first, str(second)]).splitlines()
    assert header.split("  ")[0] == "name" and header.split()[-1] == "time"
    assert "to a fine-tuned encoder" in header
    assert len(lines) == 2 and len({len(line) for line in (header, *lines)}) == 1
    interval = json.loads((second / "results.json").read_text())["metrics"]["video"]["interval"]
    low, high = (f"{100 * value:.1f}" for value in interval["f1"])
    assert f" % [{low}, {high}]" in lines[1]
    difference, bounds = paired_difference(
        "video", "f1", *(read_predictions(run / "predictions.csv") for run in (second, first))
    )
    low, high = (f"{100 * value:+.1f}" for value in bounds)
    assert f"{100 * difference:+.1f} [{low}, {high}]  9.4 s" in lines[1]


def test_differences_draw_the_patients_of_the_test_videos(tmp_path):
    known = {"video01": 0, "video02": 0, "video03": 1}
    patients = {"by": "file", "test": known, "in_two_parts": ["video02 (a): in test, of ..."]}
    first = write_run(tmp_path / "a", "a", 0, patients=patients)
    second = write_run(tmp_path / "b", "b", 1)
    lines = table([first, second]).splitlines()
    tables = [read_predictions(run / "predictions.csv") for run in (second, first)]
    _, (low, high) = paired_difference("video", "f1", *tables, patients=known)
    assert f"[{100 * low:+.1f}, {100 * high:+.1f}]" in lines[2]
    assert paired_difference("video", "f1", *tables)[1] != [low, high]
    assert "intervals over 2 patients, by patients.csv" in lines
    assert "warning: a: video02 (a): in test, of ..." in lines
    of_one = {"patients": patients | {"test": dict.fromkeys(known, 0)}}
    write_run(tmp_path / "c", "c", 0, **of_one)
    assert "b to c: one test video or patient" in table([tmp_path / "c", second])


def test_one_run_has_nothing_to_be_compared_with(tmp_path):
    lines = table([write(tmp_path / "a", "probe", 9.44, 1.0, None)]).splitlines()
    assert lines == [
        "name   test accuracy  macro-F1   time",
        "probe        100.0 %         -  9.4 s",
    ]


def test_a_temporal_model_has_a_line_of_its_own(tmp_path):
    temporal = {"tecno": {"metrics": {"video": {"accuracy": 0.75, "f1": 0.5}}}}
    probe = write_run(tmp_path / "a", "probe", 0, temporal=temporal)
    better = predictions_of(videos=("video01", "video02", "video03"), seed=2)
    write_predictions(probe / "predictions_tecno.csv", better)
    lines = table([probe]).splitlines()
    assert len(lines) == 3 and lines[2].startswith("probe + tecno  ")
    assert re.search(r"75\.0 % +50\.0 % +[+-]\d", lines[2])


def test_tasks_that_are_measured_otherwise_are_not_mixed(tmp_path):
    metrics = {"tool": {"average_precision": 0.5}}
    tools = write(
        tmp_path / "t", "t", 1, 0, 0, metrics=metrics, chosen_by=["tool", "average_precision"]
    )
    assert table([tools]).splitlines()[1].split() == ["t", "-", "50.0", "%", "1.0", "s"]
    with pytest.raises(InputError, match="mAP and macro-F1"):
        table([tools, write(tmp_path / "p", "p", 1, 0, 0)])


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"network": NETWORK | {"image_size": 64}}, "image size (64, not 224)"),
        ({"network": NETWORK | {"patch_size": 8}}, "patch (8, not 16)"),
        (
            {"network": NETWORK | {"mean": [0.1, 0.2, 0.3]}},
            "preprocessing, mean (0.1 0.2 0.3, not 0.5 0.5 0.5)",
        ),
        ({"features": "mean"}, "features (mean, not cls)"),
        ({"mode": "finetune"}, "mode (finetune, not probe)"),
        ({"task": "tools"}, "task (tools, not phases)"),
        ({"config": {"data": {"root": ["data/theirs"]}}}, "data (data/theirs, not data/ours)"),
        ({"videos": {"train": ["b", "c"]}}, "train videos (2, not 1, 0 in both)"),
        ({"frames": {"test": 299}}, "test frames (299, not 300)"),
    ],
)
def test_what_differs_is_said(tmp_path, changes, said):
    first = write_run(tmp_path / "a", "probe", 0)
    other = write_run(tmp_path / "b", "random", 1, **changes)
    lines = table([first, other]).splitlines()
    assert lines[3:] == [f"warning: random differs from probe in {said}"]
    assert "warning" not in table([first, write_run(tmp_path / "c", "same", 2)])


def test_other_protocols_have_no_difference(tmp_path):
    metrics = {"frame": {"accuracy": 0.5, "f1": 0.5}}
    changes = {"task": "classes", "chosen_by": ["frame", "f1"], "metrics": metrics}
    runs = [write_run(tmp_path / "a", "a", 0), write_run(tmp_path / "b", "b", 0, **changes)]
    assert table(runs).splitlines()[3:] == [
        "no interval for b to a: the protocols are not the same",
        "warning: b differs from a in task (classes, not phases), "
        "protocol (frame f1, not video f1)",
    ]


def test_no_difference_where_the_test_videos_are_others(tmp_path):
    first, other = (write_run(tmp_path / name, name, 0) for name in "ab")
    write_predictions(other / "predictions.csv", predictions_of(videos=("video01", "video09")))
    assert "no interval for b to a: the test videos are not the same" in table([first, other])


def test_runs_of_an_earlier_version_are_not_called_alike(tmp_path):
    runs = [write(tmp_path / "a", "probe", 1, 0.5, 0.5), write_run(tmp_path / "b", "new", 0)]
    lines = table(runs).splitlines()
    assert "no interval for new to probe: " in lines[3] and "no such file" in lines[3]
    assert lines[-1].startswith("warning: probe: an earlier version did not note image size")


def test_durations_read_well():
    assert duration(0.04) == "0.0 s"
    assert duration(59.96) == "1 min 0 s"
    assert duration(3599.6) == "1 h 0 min"
    assert duration(7500) == "2 h 5 min"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"results\.json: not the results of an experiment \(JSONDecodeError"),
        ("[]", r"results\.json: not the results of an experiment \(TypeError"),
        ('{"name": "x", "seconds": 1}', r"KeyError: 'metrics'\); down_stream/main\.py"),
        (
            '{"chosen_by": ["video", "f1"], "name": "x", "seconds": null, "temporal": {}, '
            '"metrics": 1}',
            "TypeError",
        ),
    ],
)
def test_files_of_other_kinds_are_refused(tmp_path, content, message):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(InputError, match=message):
        table([tmp_path])


def run(*arguments):
    return call("-m", "down_stream.compare", *arguments)


def test_command_prints_the_table(tmp_path):
    folder = write(tmp_path / "run", "probe", 12, 0.5, 0.25)
    done = run(folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, table([folder]) + "\n", "")


def test_command_refuses_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments, reason in (
        ([tmp_path / "missing"], "missing: no such folder"),
        ([tmp_path / "empty"], "empty: no results.json in it"),
        ([], "required: RUN_DIR ..."),
    ):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert len(done.stderr.splitlines()) == 1
        assert reason in done.stderr
