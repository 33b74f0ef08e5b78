"""What an annotator changed of a model's intervals, by each kind of edit, in each format."""

import json
import shutil

import pytest

from data.annotation_writers.intervals import Interval, VideoIntervals
from data.annotation_writers.writing import write_annotations
from data.annotations.corrections import (
    CORRECTED,
    Correction,
    compare,
    read_labelled_by,
    write_labelled_by,
)
from data.common.errors import InputError
from data.dataset.frame_index import load_index
from data.indexing.building import build_index
from tests.data.annotation_writers.test_writing import frames_of
from tests.support.places import ROOT

GOLDEN = ROOT / "tests" / "golden" / "label-studio"
SAID = [(0, 10, "a"), (10, 12, "b"), (12, 30, "a"), (30, 40, "c")]


@pytest.mark.parametrize(
    ("now", "group", "expected"),
    [
        (SAID, "phase", (40, 0, 0)),
        # A boundary was moved, and an end into nothing.
        ([(0, 8, "a"), (8, 12, "b"), (12, 30, "a"), (30, 37, "c")], "phase", (35, 5, 0)),
        # b was wrong: no boundary between labels that both stayed.
        ([(0, 30, "a"), (30, 40, "c")], "phase", (38, 0, 2)),
        # Another name, another interval in the middle of one.
        ([(0, 10, "a"), (10, 12, "d"), (12, 30, "a"), (30, 40, "c")], "phase", (38, 0, 2)),
        ([*SAID[:2], (12, 20, "a"), (20, 25, "b"), (25, 30, "a"), SAID[3]], "phase", (35, 0, 5)),
        ([(0, 10.03, "a"), (10.03, 12, "b"), *SAID[2:]], "phase", (39.97, 0, 0)),  # of a format
        ([], "phase", (0, 0, 40)),
        # Tools by themselves: one longer, one gone, one that the model did not see.
        ([(0, 11, "a"), (12, 30, "a"), (30, 40, "c"), (5, 9, "d")], "tools", (38, 1, 6)),
    ],
)
def test_seconds_are_kept_moved_or_changed(now, group, expected):
    found = compare(SAID, now, group, 40.0)
    assert (found.kept, found.moved, found.changed) == pytest.approx(expected)


def test_nothing_behind_the_end_counts():
    assert compare([(0, 50, "a")], [(0, 41, "a")], "phase", 40.0) == Correction(40, 0, 0)


def predicted(video, media=""):
    intervals = [Interval(0, 4, "Zugang", 0.9), Interval(4, 6, "Naht", 0.4)]
    intervals.append(Interval(6, 10, "Zugang", 0.7))
    return VideoIntervals(video, media, "phase", ("Zugang", "Naht"), tuple(intervals))


def prepared(tmp_path, form, edit, videos=("op1", "op2")):
    """The audit's counts and who labels are by, when `edit` has been at the files of a model."""
    root = tmp_path / "data"
    frames_of(root, videos, 10, fps=1.0)
    folder = root / "annotations"
    write_annotations(folder, form, [predicted(video) for video in videos])
    edit(folder)
    audit = build_index(root)
    return audit, {video: groups["phase"] for video, groups in read_labelled_by(root).items()}


def seconds(audit, video):
    return [audit.videos[video].get(name) for name in ("kept_s", "moved_s", "changed_s")]


@pytest.mark.parametrize("form", ["csv", "elan", "label-studio"])
def test_untouched_files_are_the_model_s(tmp_path, form):
    audit, authors = prepared(tmp_path, form, lambda folder: None)
    assert not audit.problems
    assert authors == {"op1": "model", "op2": "model"}
    assert "kept_s" not in audit.videos["op1"]


def replaced(name, *pairs):
    def edit(folder):
        text = (folder / name).read_text(encoding="utf-8")
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        (folder / name).write_text(text, encoding="utf-8")

    return edit


@pytest.mark.parametrize(
    ("form", "edit", "expected"),
    [
        # As spreadsheets save: semicolons, Windows line ends, other decimals.
        ("csv", replaced("op1.csv", (",", ";"), (";4;", ";3,0;"), ("\n", "\r\n")), [9, 1, 0]),
        ("csv", replaced("op1.csv", ("op1,4,6,Naht,0.400,1,model\n", "")), [8, 0, 2]),  # a row
        ("csv", replaced("op1.csv", (",model", ",Dr. X")), [10, 0, 0]),  # was right
        ("csv", replaced("op1.csv", ("1,model", "1,Dr. X")), [10, 0, 0]),  # in one row
        ("csv", replaced("op1.csv", ("Naht", "Clip")), [8, 0, 2]),
        ("elan", replaced("op1.eaf", ('TIME_VALUE="4000"', 'TIME_VALUE="3000"')), [9, 1, 0]),
        ("elan", replaced("op1.eaf", ('ANNOTATOR="model"', 'ANNOTATOR="X"')), [10, 0, 0]),
    ],
)
def test_a_video_that_somebody_has_touched_is_corrected(tmp_path, form, edit, expected):
    audit, authors = prepared(tmp_path, form, edit)
    assert authors == {"op1": "corrected", "op2": "model"}
    assert seconds(audit, "op1") == expected
    assert "moved_s" in audit.table()


def test_a_table_that_was_typed_anew_is_corrected_too(tmp_path):
    def edit(folder):
        (folder / "op1.csv").write_text("Video;Start;End;Phase\nop1;0:00;0:10;Zugang\n")

    audit, authors = prepared(tmp_path, "csv", edit)
    assert authors["op1"] == "corrected"
    assert seconds(audit, "op1") == [8, 0, 2]


def test_label_studio_s_annotations_are_corrections_of_its_predictions(tmp_path):
    """As its server 1.23.2 exports: the prediction in the annotation, others by number alone."""

    def edit(folder):
        tasks = json.loads((folder / "label_studio.json").read_text(encoding="utf-8"))
        (prediction,) = tasks[0]["predictions"]
        result = json.loads(json.dumps(prediction["result"]))
        result[0]["value"]["ranges"][0]["end"] -= 30
        result[1]["value"]["ranges"][0]["start"] -= 30
        annotation = {"result": result, "was_cancelled": False, "prediction": prediction}
        tasks[0] |= {"id": 1, "annotations": [annotation], "predictions": [1]}
        tasks[1] |= {"id": 2, "annotations": [], "predictions": [2]}
        shutil.rmtree(folder)  # the export is all that comes back
        folder.mkdir()
        (folder / "export.json").write_text(json.dumps(tasks), encoding="utf-8")

    audit, authors = prepared(tmp_path, "label-studio", edit)
    assert authors == {"op1": "corrected"}
    assert seconds(audit, "op1") == [9, 1, 0]
    index = load_index(tmp_path / "data")
    assert (index.select(videos=("op2",)).phase == -1).all()  # nobody has submitted it


@pytest.mark.parametrize("is_said", [True, False])
def test_an_export_of_the_server_says_what_was_corrected(tmp_path, is_said):
    """tests/golden/label-studio/write_exports.py says what was done to each of the four."""

    def edit(folder):
        shutil.copy(GOLDEN / "predicted.json", folder / "export.json")
        (folder / "label_studio.json").unlink()
        if not is_said:
            (folder / "model_intervals.json").unlink()

    videos = ("op1", "op2", "op3", "op4")
    audit, authors = prepared(tmp_path, "label-studio", edit, videos)
    # The server keeps the prediction with each annotation, whoever has looked at it.
    assert authors == dict.fromkeys(("op1", "op2", "op4"), CORRECTED)
    assert seconds(audit, "op1") == [9, 1, 0]
    assert seconds(audit, "op2") == [10, 0, 0]
    assert not audit.problems
    index = load_index(tmp_path / "data")
    phases = {name: index.select([name]).phase.tolist() for name in videos}
    zugang, naht = (index.classes.phases.index(name) for name in ("Zugang", "Naht"))
    assert phases["op1"] == [zugang] * 3 + [naht] * 3 + [zugang] * 4
    assert phases["op2"] == [zugang] * 4 + [naht] * 2 + [zugang] * 4
    assert phases["op3"] == [-1] * 10  # nobody has submitted it
    assert phases["op4"] == [naht] * 10


def test_without_what_the_model_wrote_its_word_is_taken(tmp_path):
    audit, authors = prepared(
        tmp_path, "csv", lambda folder: (folder / "model_intervals.json").unlink()
    )
    assert authors == {"op1": "model", "op2": "model"}
    assert len(audit.problems) == 2
    assert "what it wrote is not known" in audit.problems[0]


def test_people_count_before_a_model(tmp_path):
    def edit(folder):
        (folder / "people").mkdir()
        text = "video,start,end,phase\nop1,0,10,Naht\n"
        (folder / "people" / "op1.csv").write_text(text)

    audit, authors = prepared(tmp_path, "csv", edit)
    assert not audit.problems
    assert authors == {"op2": "model"}  # op1 is a human's
    index = load_index(tmp_path / "data")
    names = {index.classes.phases[k] for k in index.select(videos=("op1",)).phase}
    assert names == {"Naht"}


def test_who_labels_are_by_is_forgotten_with_them(tmp_path):
    assert read_labelled_by(tmp_path) == {}  # as of data sets of earlier versions
    write_labelled_by(tmp_path, {"a": {"phase": "model", "tools": "human"}, "b": {}})
    assert read_labelled_by(tmp_path) == {"a": {"phase": "model"}}
    (tmp_path / "labelled_by.json").write_text("[")
    with pytest.raises(InputError, match="damaged"):
        read_labelled_by(tmp_path)
    write_labelled_by(tmp_path, {"a": {"phase": "human"}})
    assert not (tmp_path / "labelled_by.json").exists()
