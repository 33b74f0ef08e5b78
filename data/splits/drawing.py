"""Draws a split from a seed, the same on every machine; one patient is in one part.

Of videos this goes by operation, too, and by patient as far as a file, folders or the names of the
videos tell (`data/splits/patients.py`).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from data.images.names import natural_key
from data.splits.patients import NOBODY, Patients

DRAWN = "70/10/20 by video"  # per cent of the operations
SHARES = (0.2, 0.1)  # of test and of validation


def draw_split(
    videos: Iterable[str],
    seed: int = 0,
    patients: Patients = NOBODY,
    before: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, tuple[str, ...]]:
    """Splits videos at random, in the proportions of `DRAWN`, one patient in one part.

    `before` is the split that is there: one that earlier versions drew of these, by the number of
    patients, stays.
    """
    groups = patients.group(videos).groups

    def drawn(sizes):
        return {
            part: tuple(sorted((v for name in names for v in groups[name]), key=natural_key))
            for part, names in draw(groups, seed, sizes=sizes).items()
        }

    return stays(drawn(None), before) or drawn({name: len(of) for name, of in groups.items()})


def draw(
    names: Iterable[str],
    seed: int,
    shares: tuple[float, float] = SHARES,
    sizes: Mapping[str, int] | None = None,
) -> dict[str, list[str]]:
    """Splits names at random into `PARTS`.

    The order is that of a hash of seed and name: the same on every machine, whatever the order of
    `names`. Two names or more have one to test, where there is a test, and one more to validate.

    Args:
      names: what is drawn as a whole.
      seed: another one draws another split.
      shares: of test and of validation.
      sizes: {name: how large it is}: of them `shares` are then, as near as whole names come. Where
        all are of one size, and without it, of the number of names.
    """
    order = sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    if sizes and len({sizes[name] for name in order}) > 1:
        return _draw_by_size(order, shares, sizes)
    test = max(round(shares[0] * len(order)), shares[0] > 0 and len(order) >= 2)
    validation = test + max(round(shares[1] * len(order)), len(order) >= test + 2)
    return {
        "train": order[validation:],
        "validation": order[test:validation],
        "test": order[:test],
    }


def _draw_by_size(
    order: Sequence[str], shares: tuple[float, float], sizes: Mapping[str, int]
) -> dict[str, list[str]]:
    """The same of names in a random order: each part takes what fits, then what is nearest."""
    left, drawn, total = dict.fromkeys(order), {}, sum(sizes[name] for name in order)
    kept = 2 if len(order) > 2 else 1  # for the parts that follow
    for part, share in (("test", shares[0]), ("validation", shares[1])):
        drawn[part], missing = [], share * total
        for name in order if share else ():
            if name in left and sizes[name] <= missing and len(left) > kept:
                drawn[part].append(name)
                del left[name]
                missing -= sizes[name]
        if share and len(left) > kept:
            nearest = min(left, key=lambda name: abs(sizes[name] - missing))
            if not drawn[part] or abs(sizes[nearest] - missing) < missing:
                drawn[part].append(nearest)
                del left[nearest]
        kept = 1
    return {"train": list(left), "validation": drawn["validation"], "test": drawn["test"]}


def stays(
    split: dict[str, Any], before: Mapping[str, Sequence[str]] | None
) -> dict[str, Any] | None:
    """The split, or parts of one, if it is there, as `drawn_before` returns it, else None."""
    is_there = before and all(before[part] == sorted(split[part]) for part in split)
    return split if is_there else None
