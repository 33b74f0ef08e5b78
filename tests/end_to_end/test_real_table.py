"""The tables of what features are worth on real data, from files as the probes write them."""

import csv
import json
import sys

import pytest

from tests.benchmarks import real_table


def row(auc, by=0.0, to="random"):
    interval, difference = [auc - 0.1, auc + 0.1], [by - 0.05, by + 0.05]
    return {
        **{"auc": auc, "seeds": [auc], "interval": interval},
        **{"difference_to": to, "by": by, "difference": difference},
    }


def of(rows, images=40, groups=10, seeds=(0, 1, 2)):
    return {"of": {"images": images, "groups": groups, "seeds": list(seeds)}, "rows": rows}


@pytest.fixture
def make(tmp_path, monkeypatch, capsys):
    """Makes the tables of {task: what its file holds}: (what is printed, lines of the CSV)."""

    def made(contents, *others):
        words = []
        for number, (task, content) in enumerate(contents.items()):
            file = tmp_path / f"of a task {number}.json"
            file.write_text(content if isinstance(content, str) else json.dumps(content))
            words.append(f"{task}={file}")
        output = tmp_path / "made" / "table"
        arguments = ["real_table", *words, *others, f"--output={output}"]
        monkeypatch.setattr(sys, "argv", arguments)
        real_table.main()
        printed = capsys.readouterr().out
        assert output.with_name("table.md").read_text() == printed
        with output.with_name("table.csv").open(newline="") as file:
            return printed, list(csv.DictReader(file))

    return made


def test_what_was_not_measured_is_an_empty_cell(make):
    rows = {
        "random": {"1.0": row(0.5)},
        "msn": {"1.0": row(0.75, 0.25), "0.1": row(0.625, 0.125)},
        "taught": {},
    }
    printed, found = make({"crops": of(rows)})
    assert [(one["features"], one["labels"], float(one["auc"])) for one in found] == [
        ("random", "1.0", 0.5),
        ("msn", "0.1", 0.625),
        ("msn", "1.0", 0.75),
    ]
    _, first, _, every, _, differences = printed.rstrip().split("\n\n")
    assert first == every
    assert every.splitlines() == [
        "| features | crops, 10 % of the labels | crops, all labels |",
        "|---|--:|--:|",
        "| random initialisation, CLS |  | 0.500 [0.400, 0.600] |",
        "| MSN from scratch, CLS | 0.625 [0.525, 0.725] | 0.750 [0.650, 0.850] |",
    ]
    assert differences.splitlines()[2:] == [
        "| MSN from scratch, CLS, to random initialisation, CLS "
        "| +0.125 [+0.075, +0.175] | +0.250 [+0.200, +0.300] |"
    ]


def test_features_of_one_task_alone_leave_the_other_tasks_cells_empty(make):
    rows = {"random": {"1.0": row(0.5)}}
    contents = {
        "crops": of(rows | {"msn": {"1.0": row(0.75)}}, seeds=(0,)),
        "whole frames": of(rows, groups=40),
    }
    printed, _ = make(contents)
    caption, alone, first, *_ = printed.split("\n\n")
    assert "crops: 40 images in 10 groups; whole frames: 40 images in 40 groups" in caption
    assert "mean of 1 or 3 seeds of folds" in caption
    assert alone.startswith("**whole frames: every image is a group of its own.**")
    assert first.splitlines()[-1] == "| MSN from scratch, CLS | 0.750 [0.650, 0.850] |  |"


def test_other_tasks_and_shares_have_all_tables_but_the_readmes(make):
    rows = {"a|b": {"0.5": row(0.5, to="a|b")}, "mine": {"0.5": row(0.75, 0.25, "a|b")}}
    printed, _ = make({"two hospitals": of(rows)})
    _, _, every, _, differences = printed.rstrip().split("\n\n")
    assert every.splitlines()[0] == "| features | two hospitals, 50 % of the labels |"
    assert every.splitlines()[2] == "| a\\|b | 0.500 [0.400, 0.600] |"
    assert differences.splitlines()[2:] == ["| mine, to a\\|b | +0.250 [+0.200, +0.300] |"]


WHOLE = of({"random": {"1.0": row(0.5)}})
LESS = of({"random": {"1.0": {"auc": 0.5}}})
TORN = of({"random": {"1.0": row(0.5) | {"interval": [0.4]}}})
WORDS = of({"random": {"all": row(0.5)}})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "JSONDecodeError("),
        ("[]", "TypeError("),
        (of([]), "AttributeError("),
        (of({}), "no scores in it"),
        (of({"random": {}}), "no scores in it"),
        ({"rows": WHOLE["rows"]}, "KeyError('of')"),
        (LESS, "KeyError('interval')"),
        (TORN, "ValueError("),
        (WORDS, "ValueError("),
    ],
)
def test_a_file_that_the_probes_have_not_written_is_named(make, capsys, tmp_path, content, said):
    with pytest.raises(SystemExit) as ended:
        make({"whole": WHOLE, "crops": content})
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: crops={tmp_path}/of a task 1.json: {said}"), error
    assert error.endswith("expected what grouped_probe --output writes\n")
    assert error.count("\n") == 1
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("crops", "crops: expected TASK=FILE.json"),
        ("whole=again.json", "whole: given twice; expected each task once"),
        ("crops=missing.json", "crops=missing.json: no such file or directory: missing.json"),
    ],
)
def test_what_is_given_wrong_is_said(make, capsys, word, said):
    with pytest.raises(SystemExit) as ended:
        make({"whole": WHOLE}, word)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: {said}\n"
