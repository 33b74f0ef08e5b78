"""The table that sets experiments side by side."""

import json
import subprocess
import sys

import pytest

from data.common.errors import InputError
from down_stream.compare import table
from down_stream.report.wording import duration
from tests.support.places import ROOT


def write(folder, name, seconds, accuracy, f1, **changes):
    folder.mkdir()
    scores = {"accuracy": accuracy, "f1": f1}
    results = {"name": name, "seconds": seconds, "metrics": {"video": scores, "frame": {}}}
    results |= {"chosen_by": ["video", "f1"], "temporal": {}} | changes
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def test_table_is_aligned_and_in_the_order_given(tmp_path):
    long = write(tmp_path / "b", "a fine-tuned encoder", 83.2, 0.86941, 0.8)
    short = write(tmp_path / "a", "probe", 9.44, 1.0, None)
    assert table([long, str(short)]).splitlines() == [
        "name                  test accuracy  macro-F1        time",
        "a fine-tuned encoder         86.9 %    80.0 %  1 min 23 s",
        "probe                       100.0 %         -       9.4 s",
    ]


def test_a_temporal_model_has_a_line_of_its_own(tmp_path):
    temporal = {"tecno": {"metrics": {"video": {"accuracy": 0.75, "f1": 0.5}}}}
    probe = write(tmp_path / "a", "probe", 9.44, 0.5, 0.25, temporal=temporal)
    assert table([probe]).splitlines()[1:] == [
        "probe                 50.0 %    25.0 %  9.4 s",
        "probe + tecno         75.0 %    50.0 %  9.4 s",
    ]


def test_tasks_that_are_measured_otherwise_are_not_mixed(tmp_path):
    metrics = {"tool": {"average_precision": 0.5}}
    tools = write(
        tmp_path / "t", "t", 1, 0, 0, metrics=metrics, chosen_by=["tool", "average_precision"]
    )
    assert table([tools]).splitlines()[1].split() == ["t", "-", "50.0", "%", "1.0", "s"]
    with pytest.raises(InputError, match="mAP and macro-F1"):
        table([tools, write(tmp_path / "p", "p", 1, 0, 0)])


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
        ('{"name": "x", "seconds": 1}', r"KeyError: 'chosen_by'\); down_stream/main\.py"),
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
    return subprocess.run(
        [sys.executable, "-m", "down_stream.compare", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


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
