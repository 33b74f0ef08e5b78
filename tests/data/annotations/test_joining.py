"""From annotations as people have them to the labels of frames, through the whole index."""

import json

import cv2
import numpy as np
import pytest

from data.annotations.opening import copy_annotations
from data.common.errors import InputError
from data.dataset.frame_index import load_index
from data.indexing.building import build_index

IMAGE = np.full((24, 32, 3), 90, np.uint8)


def write_frames(root, video, count, fps=1.0):
    folder = root / "frames" / video
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, count + 1):
        cv2.imwrite(str(folder / f"{video}_{number:06d}.jpg"), IMAGE)
    log = {"fps": fps, "videos": {}}
    (root / "frames" / "extraction.json").write_text(json.dumps(log))


def annotate(root, text, name="phases.csv"):
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / name).write_text(text)


def phases_of(root, video):
    index = load_index(root).select([video])
    return [index.classes.phases[k] if k >= 0 else None for k in index.phase]


def test_a_table_of_intervals_at_five_frames_a_second(tmp_path):
    write_frames(tmp_path, "op1", 20, fps=5.0)
    write_frames(tmp_path, "op2", 10, fps=5.0)
    annotate(tmp_path, "video,start,end,phase\nop1.mp4,0,2.4,A\nop1.mp4,2.4,4,B\nop2,0,2,B\n")
    audit = build_index(tmp_path)
    assert audit.problems == []
    assert phases_of(tmp_path, "op1") == ["A"] * 12 + ["B"] * 8
    assert phases_of(tmp_path, "op2") == ["B"] * 10
    assert audit.videos["op1"] == {"frames": 20, "labelled": 20, "phase_rows": 2}
    classes = json.loads((tmp_path / "classes.json").read_text())
    assert (classes["phases"], classes["fps"]) == (["A", "B"], 5.0)


def test_ids_stay_when_another_video_comes_first(tmp_path):
    write_frames(tmp_path, "op2", 4)
    annotate(tmp_path, "video,start,phase\nop2,0:00,B\nop2,0:02,A\n")
    build_index(tmp_path)
    write_frames(tmp_path, "op1", 4)
    annotate(tmp_path, "video,start,phase\nop1,0:00,C\nop1,0:02,A\n", "more.csv")
    build_index(tmp_path)
    assert load_index(tmp_path).classes.phases == ("B", "A", "C")
    assert phases_of(tmp_path, "op2") == ["B", "B", "A", "A"]
    assert phases_of(tmp_path, "op1") == ["C", "C", "A", "A"]


@pytest.mark.parametrize(("fps", "shown"), [(1, "1 a second"), (30, "29.97 or 30 a second")])
def test_a_rate_that_is_not_25_is_no_label_but_a_problem(tmp_path, fps, shown):
    seconds = 40
    write_frames(tmp_path, "op1", seconds)
    rows = "".join(f"{frame}\t{'AB'[frame >= 20 * fps]}\n" for frame in range(seconds * fps))
    (tmp_path / "phase_annotations").mkdir()
    (tmp_path / "phase_annotations" / "op1-phase.txt").write_text("Frame\tPhase\n" + rows)
    audit = build_index(tmp_path)
    assert "op1-phase.txt: phase of op1: with 25 a second it would end" in audit.problems[0]
    assert shown in audit.problems[0]
    assert (load_index(tmp_path).phase == -1).all()
    audit = build_index(tmp_path, annotation_fps=fps)
    assert audit.problems == []
    assert phases_of(tmp_path, "op1") == ["A"] * 20 + ["B"] * 20
    assert build_index(tmp_path).problems == [], "what was said is remembered"
    assert phases_of(tmp_path, "op1") == ["A"] * 20 + ["B"] * 20


def test_spellings_are_merged_by_the_map_in_the_dataset(tmp_path):
    write_frames(tmp_path, "op1", 4)
    annotate(tmp_path, "video,start,phase\nop1,0:00,Naht\nop1,0:02,naht\n")
    audit = build_index(tmp_path)
    assert "'naht' is spelled like 'Naht'" in audit.problems[0]
    assert phases_of(tmp_path, "op1") == ["Naht", "Naht", None, None]
    (tmp_path / "phase_map.csv").write_text("from,to\nnaht,Naht\n")
    assert build_index(tmp_path).problems == []
    assert phases_of(tmp_path, "op1") == ["Naht"] * 4


def test_files_that_contradict_one_another_leave_no_label(tmp_path):
    write_frames(tmp_path, "op1", 4)
    annotate(tmp_path, "video,start,phase\nop1,0:00,A\nop1,0:02,B\n", "a.csv")
    annotate(tmp_path, "video,start,phase\nop1,0:00,A\nop1,0:03,B\n", "b.csv")
    audit = build_index(tmp_path)
    assert "b.csv: frames that have another phase in another file: 1" in audit.problems[0]
    assert phases_of(tmp_path, "op1") == ["A", "A", None, "B"]


def test_a_table_a_video_is_known_by_its_name(tmp_path):
    write_frames(tmp_path, "op1", 3)
    given = tmp_path / "given"
    given.mkdir()
    (given / "op1_phases.csv").write_text("second;phase\n0;A\n1;A\n2;B\n")
    (given / "op7.csv").write_text("second;phase\n0;A\n1;A\n")
    (given / "notes.docx").write_text("?")
    copy_annotations(given, tmp_path, [])
    audit = build_index(tmp_path)
    assert phases_of(tmp_path, "op1") == ["A", "A", "B"]
    assert any("no frames of op7" in remark for remark in audit.remarks)
    assert any("notes.docx: no annotations" in problem for problem in audit.problems)
    copy_annotations(given / "op1_phases.csv", tmp_path, [])
    assert [file.name for file in (tmp_path / "annotations").iterdir()] == ["op1_phases.csv"]


def test_groups_of_labels_are_columns_of_the_index(tmp_path):
    write_frames(tmp_path, "op1", 3)
    text = "video,second,phase,Hook,cvs/plate\nop1,0,A,1,0\nop1,1,A,0,1\nop1,2,B,1,\n"
    annotate(tmp_path, text)
    build_index(tmp_path)
    index = load_index(tmp_path)
    assert index.classes.multi_label["tools"][2] == "Hook", "a tool of Cholec80 has its place"
    assert index.tools[:, 2].tolist() == [1, 0, 1]
    assert (index.tools[:, [0, 1, 3, 4, 5, 6]] == -1).all()
    assert index.presence["cvs"][:, 0].tolist() == [0, 1, -1]


def test_a_file_that_fits_no_video_is_a_problem(tmp_path):
    write_frames(tmp_path, "op1", 3)
    annotate(tmp_path, "start,phase\n0:00,A\n0:02,B\n", "all.csv")
    audit = build_index(tmp_path)
    assert "annotations: about all; expected videos of this dataset, as op1," in audit.problems[0]


def test_names_of_videos_may_differ_in_case_and_that_is_said(tmp_path):
    write_frames(tmp_path, "op1", 3)
    annotate(tmp_path, "video,start,end,phase\nOP1.MP4,0:00,0:30,A\n")
    audit = build_index(tmp_path)
    assert phases_of(tmp_path, "op1") == ["A"] * 3
    assert any("OP1.MP4 is taken for op1" in remark for remark in audit.remarks)
    assert any("phase of op1 goes on to 30 s, the video to 3 s" in r for r in audit.remarks)


def test_a_tool_that_a_video_never_has_is_absent_there_not_unknown(tmp_path):
    for video in ("op1", "op2", "op3"):
        write_frames(tmp_path, video, 3)
    annotate(tmp_path, "video,start,end,cvs\nop1,0,2,plate\nop2,1,3,duct\n")
    audit = build_index(tmp_path)
    index = load_index(tmp_path)
    assert index.classes.multi_label == {"cvs": ("plate", "duct")}
    assert index.presence["cvs"].tolist() == [
        *([1, 0], [1, 0], [0, 0]),
        *([0, 0], [0, 1], [0, 1]),
        *[[-1, -1]] * 3,  # nobody has looked at it
    ]
    assert audit.videos["op1"]["cvs_rows"] == 1


def test_too_many_names_leave_no_dataset_that_cannot_be_mended(tmp_path):
    write_frames(tmp_path, "op1", 30)
    columns = [f"t{k}" for k in range(200)]
    head = ",".join(["frame", *columns])
    annotate(tmp_path, f"{head}\n0,{','.join('1' * 200)}\n", "op1.csv")
    with pytest.raises(
        InputError, match="200 tools: t0, t1, t2 and 197 more; expected at most 127"
    ):
        build_index(tmp_path)
    annotate(tmp_path, "frame,t0,t1\n0,1,0\n25,1,1\n", "op1.csv")
    build_index(tmp_path, annotation_fps=25.0)
    assert load_index(tmp_path).classes.multi_label["tools"] == ("t0", "t1")
