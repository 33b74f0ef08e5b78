"""Other spellings of a name are said wherever leakage is looked for, and never believed."""

import pytest

from data.splits.overlaps import identity, overlaps
from data.splits.spellings import alike, say_alike, say_alike_parts, spelling


@pytest.mark.parametrize(
    "name", ["Video 4", "video_04", "video4", "Vid 04", "video-04", "vid.4", "cholec80-video04"]
)
@pytest.mark.parametrize("public", ["video04", "VID04", "videos_VID04"])
def test_spellings_of_a_public_name_may_be_it(name, public):
    assert alike([name], [public]) == [(name, public)]
    assert alike([public], [name]) == [(public, name)]
    assert overlaps([name], [public]) == ([], []), "it is not known"


@pytest.mark.parametrize("name", ["VIDEO04", "Video04", "vid04", "Vid04"])
def test_case_alone_does_not_tell_operations_apart(name):
    assert identity(name) == identity("video04")
    assert alike([name], ["video04", "VID04"]) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("video 5", "video04"),
        ("video04", "video04"),
        ("our_video04", "video04"),
        ("case_1_11", "case_11_1"),
        ("op11", "op1_1"),
        ("--", "__"),
        ("Video 4", "tool_video_04"),
    ],
)
def test_other_names_are_not_alike(one, other):
    assert alike([one], [other]) == alike([other], [one]) == []


def test_names_of_nobody_are_compared_where_it_is_asked_for():
    names = ["Fall 07", "Fall_7", "Müller-3"]
    assert alike(names[:1], names) == [], "it is among them"
    assert alike(["fall7"], names) == [("fall7", "Fall 07")]
    assert alike(["fall7"], names, of_public=True) == []
    assert alike(["Video 4"], ["video04"], of_public=True) == [("Video 4", "video04")]
    assert spelling("Mu\u0308ller 3") == spelling("m\u00fcller-03")


def test_a_remark_is_one_line_however_many_there_are():
    pairs = alike([f"Video {n}" for n in range(1, 61)], [f"VID{n:02d}" for n in range(1, 61)])
    (line,) = say_alike(pairs, "videos in pre-training", "test others", of="test ")
    assert line == (
        "60 test videos may be one with videos in pre-training, spelt otherwise: "
        "'Video 1' and 'VID01', 'Video 2' and 'VID02', 'Video 3' and 'VID03' and 57 more; taken "
        "for different ones; where they are not, test others"
    )
    assert say_alike([], "videos", "nothing") == []
    parts = {"train": ["op 1", "op2"], "validation": ["op3"], "test": ["OP_01"]}
    (line,) = say_alike_parts(parts)
    assert line.startswith("1 test video may be one operation with train videos")
    assert "'OP_01' and 'op 1'" in line
