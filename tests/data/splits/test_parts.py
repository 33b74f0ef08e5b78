import pytest

from data.common.errors import InputError
from data.splits.parts import check_disjoint, expand

VIDEOS = ("op1", "op10", "op2", "test-1")


def test_patterns_become_names_in_natural_order():
    assert expand(("op*",), VIDEOS) == ("op1", "op2", "op10")
    assert expand(("op1?", "test-[12]"), VIDEOS) == ("op10", "test-1")


def test_names_stay_as_they_are_and_none_comes_twice():
    assert expand(("op2", "op7", "op*"), VIDEOS) == ("op2", "op7", "op1", "op10")
    assert expand(("none*",), VIDEOS) == ()


def test_the_name_of_a_video_is_no_pattern():
    assert expand(("p[1]", "p*"), ("p1", "p[1]")) == ("p[1]", "p1")


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (("op1", "op2"), ("op2",), "op2 is in train and in test"),
        (("video68",), ("VID68",), "video68, which is VID68, is in train and in test"),
    ],
)
def test_a_recording_in_two_parts_is_refused(train, test, message):
    with pytest.raises(InputError, match=message):
        check_disjoint("ours", {"train": train, "validation": (), "test": test})
