"""Exports that Label Studio has written (tests/golden/label-studio), and others of their kind.

Results are as its editor serialises them (github.com/HumanSignal/label-studio,
web/libs/editor/src/regions/TimelineRegion.js) and as the tests of its YOLO backend have them.
"""

import json
import shutil

import numpy as np
import pytest

from data.annotation_formats.label_studio import (
    find_instead,
    open_label_studio,
    read_label_studio,
    task_videos,
)
from data.common.errors import InputError
from data.dataset.audit import Audit
from data.dataset.frame_index import load_index
from data.indexing.building import build_index
from tests.data.indexing.test_building import write_frames
from tests.support.places import GOLDEN

EXPORTS = GOLDEN / "label-studio"


def region(start, end, label, control="phase"):
    return {
        "id": f"{control}_{start}",
        "type": "timelinelabels",
        "value": {"ranges": [{"start": start, "end": end}], "timelinelabels": [label]},
        "origin": "manual",
        "to_name": "video",
        "from_name": control,
    }


def sound(start, end, label, control="phase"):
    return {
        "original_length": 98.72,
        "id": f"{control}_{start}",
        "type": "labels",
        "value": {"start": start, "end": end, "channel": 0, "labels": [label]},
        "origin": "manual",
        "to_name": "audio",
        "from_name": control,
    }


def task(results, video="/data/upload/3/1a2b3c4d-op_1.mp4", number=7, **other):
    annotation = {
        "id": 11,
        "completed_by": 1,
        "result": results,
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2024-05-03T10:12:30.000000Z",
        "lead_time": 61.2,
    }
    return {
        "id": number,
        "annotations": [annotation],
        "file_upload": video.rpartition("/")[2],
        "drafts": [],
        "predictions": [],
        "data": {"video": video},
        "meta": {},
        "project": 3,
        **other,
    }


def write(path, *tasks):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(tasks), ensure_ascii=False, indent=2), encoding="utf-8")
    return path


def read(path):
    audit = Audit()
    (only,) = open_label_studio(path)
    return read_label_studio(path, only, audit), audit


def test_ranges_are_frames_from_1_and_include_the_last(tmp_path):
    results = [region(1, 24, "Zugang"), region(25, 72, "Naht"), region(10, 10, "Clip", "tools")]
    (phases, tools), audit = read(write(tmp_path / "a.json", task(results)))
    assert (phases.group, phases.names, tools.group) == ("phase", ("Zugang", "Naht"), "tools")
    frames = np.array([0, 8, 9, 10, 23, 24, 71, 72])
    assert phases.at(frames / 24, 24).tolist() == [0, 0, 0, 0, 0, 1, 1, -1]
    assert tools.at(frames / 24, 24)[:, 0].tolist() == [0, 0, 1, 0, 0, 0, 0, 0]
    assert (phases.fps, phases.likely_fps) == (None, None)
    assert audit.problems == audit.remarks == []


def test_regions_of_sound_are_in_seconds(tmp_path):
    results = [sound(0, 1.5, "Zugang"), sound(1.5, 4.25, "Naht")]
    (phases,), _ = read(write(tmp_path / "a.json", task(results)))
    assert phases.fps == 1.0
    assert phases.at(np.array([1.4, 1.5, 4.2, 4.3]), 1.0).tolist() == [0, 1, 1, -1]


def test_cancelled_annotations_are_not_used_and_annotators_may_disagree(tmp_path):
    one = task([region(1, 24, "Zugang")])
    other = task([region(1, 24, "Naht")])["annotations"][0]
    one["annotations"] += [other, {**other, "was_cancelled": True}]
    found, _ = read(write(tmp_path / "a.json", one))
    assert [labels.names for labels in found] == [("Zugang",), ("Naht",)]


@pytest.mark.parametrize(
    ("video", "name"),
    [
        ("/data/upload/3/1a2b3c4d-op1.mp4", "/data/upload/3/op1.mp4"),
        ("/data/local-files/?d=theatre%202/op1.mp4", "theatre 2/op1.mp4"),
        ("s3://bucket/videos/op1.mp4", "/videos/op1.mp4"),
    ],
)
def test_the_ways_in_which_a_task_calls_its_video(video, name):
    assert name in task_videos(task([], video))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"video": "a.mp4", "phase": []}]', r"expected Label Studio's export in its format JSON"),
        ('{"a": 1}', "JSON of something else"),
        ('[{"data": {}, "annotations": [{"result": [1]}]}]', "JSON of something else"),
        ("[1]", "JSON of something else"),
        ("[{", "damaged"),
        ("[" * 100_000, "damaged"),
    ],
)
def test_other_files_raise(tmp_path, content, message):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        open_label_studio(path)


def test_damaged_ranges_raise(tmp_path):
    with pytest.raises(InputError, match="task 7: damaged"):
        read(write(tmp_path / "a.json", task([region(None, 3, "a")])))


def test_what_tasks_have_instead_of_a_timeline():
    rectangle = {"type": "videorectangle", "from_name": "box", "value": {"sequence": []}}
    choice = {"type": "choices", "from_name": "quality", "value": {"choices": ["poor"]}}
    assert find_instead(task([rectangle, choice, choice])) == "videorectangle, choices"
    assert find_instead(task([rectangle, region(1, 2, "a")])) == ""
    assert find_instead(task([], annotations=[])) == "nothing"
    assert find_instead(task([], annotations=[], drafts=[3])) == "a draft"
    (annotation,) = task([region(1, 2, "a")])["annotations"]
    skipped = task([], annotations=[{**annotation, "was_cancelled": True}])
    assert find_instead(skipped) == "nothing"


def test_the_rate_must_be_said_and_then_labels_are_joined(tmp_path):
    results = [region(1, 48, "Zugang"), region(49, 120, "Naht")]
    export = tmp_path / "annotations" / "project-3-at-2024-05-03.txt"  # known by what is in it
    unknown = task([region(1, 9, "Naht")], "/data/upload/3/9e8d7c6b-op9.mp4", 8)
    write(export, task(results), unknown)
    write_frames(tmp_path, "op 1", range(1, 6))
    audit = build_index(tmp_path)
    assert "24 or 25 would end with the video; expected --annotation_fps" in audit.problems[0]
    assert any("task 8: there are no frames of " in remark for remark in audit.remarks)
    assert (load_index(tmp_path).phase == -1).all()

    audit = build_index(tmp_path, annotation_fps=24)
    index = load_index(tmp_path)
    assert audit.problems == []
    assert index.phase.tolist() == [0, 0, 1, 1, 1]
    assert index.classes.phases == ("Zugang", "Naht")


def index_export(root, name, videos):
    (root / "annotations").mkdir()
    shutil.copy(EXPORTS / name, root / "annotations")
    for video in videos:
        write_frames(root, video, range(1, 5))
    audit = build_index(root, annotation_fps=25)
    return load_index(root), audit, root / "annotations" / name


def test_an_export_of_the_server_is_joined_to_its_videos(tmp_path):
    """Uploaded files under the names that it gave them, and one that it only knows by its path."""
    videos = ["Galle 1", "op 2 (left)", "theatre 2_op4", "\u00d6peration_3", "theatre 2_op6"]
    index, audit, file = index_export(tmp_path, "timeline.json", videos)
    assert audit.problems == []
    (upload,) = json.loads(file.read_text())[2]["data"].values()
    assert set(audit.remarks) == {
        f"{file.parent}: nothing about theatre 2_op6",
        f"{file}: no labels on a timeline, but task 5: choices; task 6: a draft; not used",
        f"{file}: read as Label Studio",
        f"{file}: task 3: {upload} is taken for op 2 (left)",
    }
    assert index.classes.phases == ("Zugang", "Pr\u00e4paration", "Naht")
    assert index.classes.multi_label == {"tools": ("Schere", "Clip")}
    found = {v: index.phase[index.video == n].tolist() for n, v in enumerate(index.videos)}
    assert found == {
        "Galle 1": [0, 1, 1, 2],
        "op 2 (left)": [1, 1, 2, 2],
        "theatre 2_op4": [0, 0, 2, 2],
        "theatre 2_op6": [-1, -1, -1, -1],
        "\u00d6peration_3": [0, 0, 0, 0],
    }
    is_galle = index.video == index.videos.index("Galle 1")
    assert index.presence["tools"][is_galle].tolist() == [[0, 0], [0, 0], [1, 1], [0, 0]]


def test_an_export_of_labels_on_sound_is_joined(tmp_path):
    index, audit, _ = index_export(tmp_path, "sound.json", ["op1"])
    assert audit.problems == []
    assert index.classes.phases == ("Zugang", "Naht")
    assert index.phase.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("boxes.json", "no labels on a timeline, but task 7: videorectangle, choices; expected "),
        ("timeline_min.json", "Label Studio's JSON_MIN; expected Label Studio's export in its "),
    ],
)
def test_exports_without_labels_that_can_be_read_are_a_problem(tmp_path, name, message):
    _, audit, file = index_export(tmp_path, name, ["Galle 1"])
    (problem,) = audit.problems
    assert problem.startswith(f"{file}: {message}")
