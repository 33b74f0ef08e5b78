import pytest
import tensorflow as tf

from data.common.errors import one_line, some


def test_what_others_say_becomes_one_line_that_is_never_empty():
    assert one_line(ValueError("\n no  head \nsecond line")) == "no head second line"
    assert one_line(ValueError("{{node x}} \n{{node y}} why" + 300 * "y"), 5) == "whyyy"
    assert one_line(EOFError()) == "EOFError"


def test_of_many_things_three_are_named():
    assert some(["a", "b", "c"]) == "a, b, c"
    assert some(range(1000), "; ") == "0; 1; 2 and 997 more"
    assert some("abcd", limit=1) == "a and 3 more"


@pytest.mark.parametrize("wrapped", [lambda f: f, tf.function], ids=["eager", "graph"])
def test_of_tensorflows_errors_it_is_what_is_wrong(wrapped):
    with pytest.raises(tf.errors.InvalidArgumentError) as found:
        wrapped(tf.strings.to_number)(tf.constant("abc"))
    assert one_line(found.value).startswith("StringToNumberOp could not correctly convert")
