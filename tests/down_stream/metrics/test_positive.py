"""Which of two classes is positive: as the user says, else as their names say, else unknown."""

import pytest

from data.common.errors import InputError
from down_stream.metrics.positive import explain_positive, find_positive


@pytest.mark.parametrize(
    "negative, positive",
    [
        ("non_neoplastic", "neoplastic"),
        ("non-neoplastic", "neoplastic"),
        ("nonneoplastic", "neoplastic"),
        ("no polyp", "polyp"),
        ("normal", "abnormal"),
        ("normal", "non_normal"),
        ("Normal mucosa", "Ulcer"),
        ("benign", "malignant"),
        ("hyperplastic", "adenomatous"),
        ("negative", "positive"),
        ("0", "1"),
        ("kein_Polyp", "Polyp"),
        ("0_normal", "1_polyp"),
        ("normal_control", "lesion"),
    ],
)
def test_the_other_of_a_negative_is_positive(negative, positive):
    for classes in ((negative, positive), (positive, negative)):
        found = find_positive(classes)
        assert classes[found] == positive
        text = explain_positive(classes, found, is_given=False)
        assert f"positive class is {positive}, because {negative!r} is" in text
        assert classes[find_positive(classes, negative)] == negative  # whoever says so is right


@pytest.mark.parametrize(
    "classes",
    [
        ("a", "b"),
        ("normal-cecum", "normal-pylorus"),
        ("no", "none"),
        ("cyst", "polyp"),
        ("0_polyp", "1_adenoma"),
    ],
)
def test_where_no_name_says_it_nobody_knows(classes):
    assert find_positive(classes) is None
    assert "not known" in explain_positive(classes, None, is_given=False)


def test_more_classes_have_none():
    assert find_positive(("normal", "a", "b"), "b") is None
    assert explain_positive(("normal", "a", "b"), None, is_given=True) == ""


def test_a_name_that_is_no_class_is_refused():
    with pytest.raises(InputError, match="positive_class is 'adenoma'; expected one of hyperplast"):
        find_positive(("hyperplastic", "adenomatous"), "adenoma")
    with pytest.raises(InputError, match="did you mean adenomatous"):
        find_positive(("hyperplastic", "adenomatous"), "adenomatos")
