import pytest
import tensorflow as tf

from data.common.errors import describe, one_line, reason_of, say_full, some


def test_what_others_say_becomes_one_line_that_is_never_empty():
    assert one_line(ValueError("\n no  head \nsecond line")) == "no head second line"
    assert one_line(ValueError("{{node x}} \n{{node y}} why" + 300 * "y"), 5) == "whyyy"
    assert one_line(EOFError()) == "EOFError"


def test_why_something_was_not_possible_is_said_in_the_words_of_the_system():
    assert reason_of(OSError(2, "No such file or directory", "x")) == "no such file or directory"
    assert reason_of(OSError("Broken\n stream")) == "broken stream"
    assert reason_of(OSError()) == "oserror"
    assert describe(OSError(13, "Permission denied", "X.png")) == "permission denied: X.png"


def test_of_many_things_three_are_named():
    assert some(["a", "b", "c"]) == "a, b, c"
    assert some(range(1000), "; ") == "0; 1; 2 and 997 more"
    assert some("abcd", limit=1) == "a and 3 more"


@pytest.mark.parametrize("wrapped", [lambda f: f, tf.function], ids=["eager", "graph"])
def test_of_tensorflows_errors_it_is_what_is_wrong(wrapped):
    with pytest.raises(tf.errors.InvalidArgumentError) as found:
        wrapped(tf.strings.to_number)(tf.constant("abc"))
    assert one_line(found.value).startswith("StringToNumberOp could not correctly convert")


def test_a_full_disk_is_named_with_the_path_that_tensorflow_could_not_write():
    with pytest.raises(tf.errors.ResourceExhaustedError) as eager:
        tf.io.write_file("/dev/full", "x")
    with pytest.raises(tf.errors.ResourceExhaustedError) as graph:
        tf.function(lambda name: tf.io.write_file(name, "x") and name)("/dev/full")
    assert "{{function_node" in str(eager.value)
    assert say_full(eager.value) == say_full(graph.value) == "no space left on device: /dev/full"


@pytest.mark.parametrize(
    ("before", "path"),
    [
        ("{{node a/b}} runs/a b; c.index", "runs/a b; c.index"),
        ("[[{{node a/b}}]] {{node c}} runs/gone/c.index", "runs/gone/c.index"),
        ("first line\n/dev/a", "/dev/a"),
        ("/first/line\nruns", "runs"),
        ("cannot write /dev/a", ""),
        ("{{node a/b}} elsewhere/a", ""),
        ("{{node a/b}}", ""),
        ("", ""),
    ],
)
def test_a_path_is_named_as_a_whole_or_not_at_all(before, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    error = RuntimeError(f"{before}; Disk quota exceeded\n\t[[{{{{node d/e}}}}]]\n/dev/b")
    assert say_full(error) == ("disk quota exceeded" + (f": {path}" if path else ""))
    assert say_full(RuntimeError(before)) == ""
