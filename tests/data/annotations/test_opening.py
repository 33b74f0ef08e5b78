import pytest

from data.annotations.opening import FOLDER, find_annotations, match_video
from data.dataset.audit import Audit
from data.extraction.extracting import extract_frames
from tests.support.small_videos import write_video

VIDEOS = {
    "op1",
    "op 2",
    "case 1_left",
    "left",
    "P\u00e4tient",
    "op 4 (1), \u00f6",
    "a+b",
    "a-b",
    "ab!",
}


@pytest.mark.parametrize(
    ("name", "video"),
    [
        ("op1", "op1"),
        ("op1.mp4", "op1"),
        ("op1-phase", "op1"),
        ("op 2", "op 2"),
        ("op_2.mp4", "op 2"),
        ("/recordings/op1.mp4", "op1"),
        ("D:\\recordings\\case 1\\left.mp4", "case 1_left"),
        ("recordings/case 2/left.mp4", "left"),
        ("Pa\u0308tient.mp4", "P\u00e4tient"),
        ("OP1.MP4", "op1"),
        ("op_4_1_o\u0308.mp4", "op 4 (1), \u00f6"),
        ("ab.mp4", None),  # a+b or ab!
        ("a-b.mp4", "a-b"),
        ("op3", None),
        ("", None),
    ],
)
def test_what_annotations_call_a_video(name, video):
    assert match_video(name, VIDEOS) == video


@pytest.mark.parametrize(
    ("paths", "is_clear"),
    [
        (("case 1/left.mp4", "case 2/left.mp4"), False),
        (("D:\\case 1\\left.mp4", "/r/Case 1/left.mp4", "left.mp4"), True),
        (("case 3/right.mp4", "case 4/right.mp4"), True),  # named by their folders
    ],
)
def test_rows_of_two_files_that_could_be_one_video_are_not_used(tmp_path, paths, is_clear):
    rows = [f"{path},{number},{number + 1},A" for number, path in enumerate(paths)]
    table = tmp_path / FOLDER / "all.csv"
    table.parent.mkdir()
    table.write_text("\n".join(["video,start,end,phase", *rows]))
    audit = Audit()
    found = find_annotations(tmp_path, ["left", "case 3_right", "case 4_right"], audit)
    assert bool(found) == is_clear
    assert len(audit.problems) == (not is_clear), audit.problems
    assert is_clear or "case 1/left.mp4, case 2/left.mp4 could all be left" in audit.problems[0]


@pytest.mark.parametrize(
    ("called", "is_used"),
    [
        ("case 1/left.mp4", True),
        ("videos\\Case_1\\left", True),
        ("left", True),
        ("case 2/left.mp4", False),
        ("/mnt/elsewhere/left.mp4", True),
        ("D:\\studies\\left.mp4", True),
        ("../case 2/left.mp4", True),
    ],
)
def test_a_row_of_another_folder_is_of_another_video(tmp_path, called, is_used):
    """The video of case 2 is not there; that of case 1 has its name."""
    video = write_video(tmp_path / "case 1" / "left.mp4", frames=100)
    extract_frames([video], tmp_path / "data" / "frames")
    table = tmp_path / "data" / FOLDER / "all.csv"
    table.parent.mkdir()
    table.write_text(f"video,start,end,phase\n{called},0,2,A\n")
    audit = Audit()
    assert bool(find_annotations(tmp_path / "data", ["left"], audit)) == is_used
    assert len(audit.problems) == (not is_used)
    assert is_used or "left is of another folder" in audit.problems[0]
    assert "case 1" not in (tmp_path / "data/frames/extraction.json").read_text()
