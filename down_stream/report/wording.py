"""Numbers and names as people read them."""

import re
from collections.abc import Mapping, Sequence

from data.splits.patients import counted


def percent(score: float | None) -> str:
    """0.8694 -> "86.9 %"; an undefined score -> "-"."""
    return "-" if score is None else f"{100 * score:.1f} %"


def points(difference: float, sign: str = "+") -> str:
    """0.0123 -> "+1.2" points of a hundred; what is rounded to nothing has no sign."""
    text = f"{100 * difference:{sign}.1f}"
    return "0.0" if float(text) == 0 else text


def say_difference(difference: float, interval: Sequence[float] | None, between: str = ", ") -> str:
    """A difference as "+1.2 [-0.3, +2.5]"; "equal" where the interval has nothing but 0 in it.

    Args:
      difference: of two scores.
      interval: its ends; None where it is not known.
      between: what stands between them.
    """
    if interval is None:
        return points(difference)
    if difference == 0 and not any(interval):
        return "equal"
    return f"{points(difference)} [{between.join(map(points, interval))}]"


def duration(seconds: float) -> str:
    """9.4 -> "9.4 s", 83 -> "1 min 23 s", 7500 -> "2 h 5 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def words(name: str) -> str:
    """The name of a class for people: CalotTriangleDissection -> Calot triangle dissection."""
    return re.sub(r"(?<=[a-z])([A-Z])", lambda match: " " + match[0].lower(), name)


def unit_of(results: Mapping) -> str:
    """What the frames of an experiment come in: "video" or "sequence"."""
    # Earlier results do not say it.
    return results.get("unit") or ("sequence" if results.get("task") == "classes" else "video")


def drawn_cases(results: Mapping) -> str:
    """What the intervals of an experiment's results draw: `data.splits.patients.counted`."""
    noun = unit_of(results)
    patients = results.get("patients") or {"by": ""}
    if not patients["by"]:
        number = len(results["videos"]["test"])
        return f"{number} {noun}{'' if number == 1 else 's'}"
    unknown = set(patients.get("unknown", ()))  # earlier results do not say it
    known = {number for video, number in patients["test"].items() if video not in unknown}
    return counted(len(known), patients["by"], len(unknown), noun)
