"""Which of two classes is the positive one: what sensitivity is the recall of.

The order of names says nothing: of `neoplastic` and `non_neoplastic` the second is the negative.
"""

import difflib
import re
from collections.abc import Sequence

from data.common.errors import InputError

# Words of a name that make it a negative, in languages that hospitals name folders in. That the
# hyperplastic polyp is the negative of the adenoma, which is resected, is the NICE classification's
# (Hewett et al., Gastroenterology 143:599, 2012).
NEGATIVES = """
    absent absence negative neg normal healthy benign control background none other false 0
    hyperplastic gesund negativ sain sano
"""
NOT = {"no", "non", "not", "without", "kein", "keine", "ohne", "sans", "sin", "senza"}


def find_positive(classes: Sequence[str], given: str | None = None) -> int | None:
    """The id of the positive class of two; None where there are not two, or nothing says which.

    Args:
      classes: names.
      given: the name that a user gave; it is not used where there are not two classes.

    Raises:
      InputError: `given` is not one of two.
    """
    if len(classes) != 2:
        return None
    if given is not None:
        if given not in classes:
            near = difflib.get_close_matches(given, classes, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(
                f"positive_class is {given!r}; expected one of {', '.join(classes)}{hint}"
            )
        return classes.index(given)
    negative = [
        _is_negative(name, other) for name, other in zip(classes, reversed(classes), strict=True)
    ]
    return negative.index(False) if negative.count(True) == 1 else None


def explain_positive(classes: Sequence[str], positive: int | None, is_given: bool) -> str:
    """What sensitivity, specificity and AUC of two classes are of; "" where there are not two."""
    if len(classes) != 2:
        return ""
    if positive is None:
        return (
            "Which of the two classes is positive is not known, so that there are no sensitivity "
            "and specificity; they are the recall of the positive and of the other class. The AUC "
            "is the same for both."
        )
    name, other = classes[positive], classes[1 - positive]
    why = "as positive_class says" if is_given else f"because {other!r} is the name of a negative"
    return (
        f"The positive class is {name}, {why}: sensitivity is the recall of {name}, specificity "
        f"that of {other}, and the AUC is of {name}'s probability."
    )


def _is_negative(name: str, other: str) -> bool:
    """Whether a class is called the absence of something: `non_X`, `normal`, or `nonX` of `X`."""
    words = re.findall(r"[^\W_]+", name.lower())
    if words in ([f"non{other.lower()}"], [f"no{other.lower()}"]):
        return True
    if len(words) > 1 and words[0].isdigit() and re.match(r"[\W_]*\d", other):  # both are numbered
        words = words[1:]
    turned = sum(word in NOT for word in words) % 2 == 1
    return turned != any(word in NEGATIVES.split() for word in words)  # non_normal is none
