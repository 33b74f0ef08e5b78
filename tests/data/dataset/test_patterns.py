from data.dataset.splits import expand

VIDEOS = ("op1", "op10", "op2", "test-1")


def test_patterns_become_names_in_natural_order():
    assert expand(("op*",), VIDEOS) == ("op1", "op2", "op10")
    assert expand(("op1?", "test-[12]"), VIDEOS) == ("op10", "test-1")


def test_names_stay_as_they_are_and_none_comes_twice():
    assert expand(("op2", "op7", "op*"), VIDEOS) == ("op2", "op7", "op1", "op10")
    assert expand(("none*",), VIDEOS) == ()


def test_the_name_of_a_video_is_no_pattern():
    assert expand(("p[1]", "p*"), ("p1", "p[1]")) == ("p[1]", "p1")
