import pytest

from data.annotations.opening import match_video

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
