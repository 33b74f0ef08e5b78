"""The table of predictions: what is written is what is read; what is wrong is said in one line."""

import subprocess
import sys

import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.cholec80 import PHASES
from down_stream.metrics.predictions import (
    Predictions,
    read_predictions,
    spacing_remarks,
    write_predictions,
)
from tests.support.places import ROOT


def write(path, header, *rows):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_what_is_written_is_read(tmp_path):
    rng = np.random.default_rng(0)
    written = Predictions(
        video=np.array(["b", "a", "a, left"]),
        second=np.array([7, 3600, 0]),
        label=np.array([-1, 0, 2]),
        prediction=np.array([1, 2, 0]),
        probabilities=rng.dirichlet(np.ones(3), size=3).astype(np.float32),
        classes=("Incision", "Dissection", "Suture"),
    )
    write_predictions(tmp_path / "p.csv", written)
    read = read_predictions(tmp_path / "p.csv")
    for column in ("video", "second", "label", "prediction", "probabilities"):
        np.testing.assert_array_equal(getattr(read, column), getattr(written, column))
    assert read.classes == written.classes
    assert read.probabilities.dtype == np.float32


def test_names_ids_and_unknown_labels_are_read_in_any_order_of_columns(tmp_path):
    path = write(
        tmp_path / "p.csv",
        "\ufeffprediction,video,Cut,label,second,Sew",
        "Sew,v,0.25,Cut,0,0.75",
        "0,v,1,1,1,0",
        "1,v,0,,2,1",
        "1,v,0,-1,3,1",
    )
    read = read_predictions(path)
    assert read.classes == ("Cut", "Sew")
    assert read.label.tolist() == [0, 1, -1, -1]
    assert read.prediction.tolist() == [1, 0, 1, 1]
    assert read.probabilities[0].tolist() == [0.25, 0.75]


def test_a_table_without_probabilities_has_the_phases_of_cholec80(tmp_path):
    path = write(tmp_path / "p.csv", "video,second,label,prediction", "a,0,6,CleaningCoagulation")
    read = read_predictions(path)
    assert read.classes == PHASES
    assert read.prediction.tolist() == [5]
    assert np.isnan(read.probabilities).all()
    write_predictions(tmp_path / "again.csv", read)
    assert np.isnan(read_predictions(tmp_path / "again.csv").probabilities).all()


def test_frames_of_a_video_come_in_the_order_of_time(tmp_path):
    header = "video,second,label,prediction"
    path = write(tmp_path / "p.csv", header, "b,0,0,0", "a,9,1,2", "a,3,3,4")
    read = read_predictions(path)
    assert read.videos == ["a", "b"]
    second, label, prediction = read.of_video("a")
    assert (second.tolist(), label.tolist(), prediction.tolist()) == ([3, 9], [3, 1], [4, 2])


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("video,second,label", "a,0,1", "line 1: found video,second,label; .*prediction"),
        ("video,second,label,prediction,A,A", "a,0,1,1,0,1", "line 1: .*each once"),
        ("video,second,label,prediction", "a,0,1", "line 2: not as many values"),
        ("video,second,label,prediction", "a,0,1,1,0.5", "line 2: not as many values"),
        ("video,second,label,prediction", ",0,1,1", "line 2: no video name"),
        ("video,second,label,prediction", "a,-1,1,1", "line 2: second '-1'; expected a number"),
        ("video,second,label,prediction", "a,-1,1,1", "line 2: second '-1'"),
        (
            "video,second,label,prediction,A,B",
            "a,0,7,1,0,1",
            "line 2: label '7'; expected a number from 0",
        ),
        ("video,second,label,prediction", "a,0,1,-1", "line 2: prediction '-1'"),
        (
            "video,second,label,prediction,A,B",
            "a,0,1,1,0,x",
            "line 2: 'x' in column B; expected a probab",
        ),
        ("video,second,label,prediction,A,B", "a,0,1,1,0,25", "line 2: '25' in column B"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path, header, row, message):
    path = write(tmp_path / "p.csv", header, row)
    with pytest.raises(InputError, match=rf"p\.csv, {message}") as raised:
        read_predictions(path)
    assert "\n" not in str(raised.value)


def test_a_frame_given_twice_is_refused(tmp_path):
    path = write(
        tmp_path / "p.csv", "video,second,label,prediction", "a,0,1,1", "b,0,1,1", "a,0,2,2"
    )
    with pytest.raises(InputError, match="line 4: second 0 of a again"):
        read_predictions(path)


def test_files_that_are_no_tables_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"missing\.csv: no such file"):
        read_predictions(tmp_path / "missing.csv")
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    with pytest.raises(InputError, match=r"picture\.csv:2: holds the byte 26"):
        read_predictions(tmp_path / "picture.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match="line 1: found nothing"):
        read_predictions(tmp_path / "empty.csv")
    with pytest.raises(InputError, match="no rows"):
        read_predictions(write(tmp_path / "header.csv", "video,second,label,prediction"))


def test_arrays_must_fit_together():
    columns = {name: np.zeros(3, int) for name in ("video", "second", "label", "prediction")}
    with pytest.raises(ValueError, match=r"probabilities: shape \(3, 2\), not \(3, 7\)"):
        Predictions(**columns, probabilities=np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"second: shape \(2,\), not \(3,\)"):
        Predictions(**columns | {"second": np.zeros(2, int)}, probabilities=np.zeros((3, 7)))


def test_phases_without_probabilities_are_those_in_the_rows(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("video,second,label,prediction\na,0,Zugang,Zugang\na,0.2,,Naht\n")
    table = read_predictions(path)
    assert table.classes == ("Zugang", "Naht")
    assert table.second.tolist() == [0, 0.2]
    assert table.label.tolist() == [0, -1]
    path.write_text("video,second,label,prediction\na,0,8,1\n")
    assert read_predictions(path).classes == tuple("012345678")
    path.write_text("video,second,label,prediction\na,0,Lunch,1\n")
    with pytest.raises(InputError, match="'Lunch' and 1; expected names or numbers"):
        read_predictions(path)


@pytest.mark.parametrize(
    "step, rows, said",
    [
        (1, 100, []),
        (0.5, 100, []),
        (5, 100, []),
        (25, 100, ["rows are 25 s apart in 1 videos"]),
        (1, 50000, ["1 videos last for hours, as a for 13.9"]),
        (1000, 100, ["rows are 1000 s apart in 1 videos"]),
        (
            1 / 60,
            3000,
            ["rows are 0.0167 s apart in 1 videos, as in a; if `second` counts minutes"],
        ),
        (1 / 120, 3000, ["rows are 0.00833 s apart in 1 videos"]),
        (1 / 3600, 3000, ["rows are 0.000278 s apart in 1 videos"]),
        (1 / 25, 3000, []),
        (1 / 60, 60 * 300, []),  # at 60 frames a second, for five minutes
    ],
)
def test_seconds_that_count_frames_are_said(step, rows, said):
    table = Predictions(
        video=np.array(["a"] * rows),
        second=np.arange(rows) * step,
        label=np.zeros(rows, int),
        prediction=np.zeros(rows, int),
        probabilities=np.zeros((rows, 7), np.float32),
    )
    found = spacing_remarks(table)
    assert len(found) == len(said)
    assert all(line.startswith(text) for line, text in zip(found, said, strict=True))


@pytest.mark.parametrize(("unit", "is_said"), [(1, False), (25, True)])
def test_the_command_says_that_seconds_look_like_frames(tmp_path, unit, is_said):
    rows = [f"a,{unit * n},{n // 40},{(n + 5) // 40}" for n in range(120)]
    path = write(tmp_path / "p.csv", "video,second,label,prediction", *rows)
    command = [sys.executable, "-m", "down_stream.metrics", path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    remarks = [line for line in done.stdout.splitlines() if line.startswith("remark")]
    assert len(remarks) == is_said
    if is_said:
        assert remarks[0].startswith(
            "remark: rows are 25 s apart in 1 videos, as in a; if `second`"
        )
        assert remarks[0].endswith("divide it by the frame rate, for the relaxed scores")
