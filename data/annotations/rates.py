"""How many annotated frames a second has: checked against the length of the video, never assumed.

A rate that is wrong gives wrong labels without any other sign. Annotations may end early or late;
but where another usual rate would make them end with the video, nothing is joined.
"""

import math

import numpy as np

from data.annotation_formats.labels import Moments, VideoLabels

# Of cameras and recorders, and of annotations made once a second.
USUAL = (1.0, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60000 / 1001, 60.0)
# Rows for every so many seconds, where frames are counted, and times in milliseconds: too far from
# what they would be taken for, 25 and 1 a second, for an annotation that ends early or late.
RARE_ROWS, MILLISECONDS = (0.1, 0.2, 0.5, 2.0, 5.0), 1000.0
# What is counted for seconds; days are Excel's.
UNITS = {1 / 86400: "days", 1 / 3600: "hours", 1 / 60: "minutes"}
SEXAGESIMAL = 60.0  # hours for minutes, in times with colons
PART = 0.5  # of the video, to which annotations go in which the last phase has no end
ROUNDED = 1.0  # seconds by which times may go on, that were rounded
FEW = 10  # rows, of which nothing rare is concluded
TOLERANCE = 0.05  # of the length: annotations that end by so much early or late fit


def check_rate(
    labels: VideoLabels, length: float, given: float | None, source_fps: float | None
) -> tuple[float, str]:
    """The rate of a video's annotation.

    Args:
      labels: the annotation.
      length: of the video in seconds.
      given: what the user says the rate is; None if nothing.
      source_fps: of the video itself, None where that is unknown: frames are numbered at it.

    Returns:
      The rate, and an empty string; or why it cannot be told, and then no label must be used.
    """
    if labels.fps is not None:
        return _check_unit(labels, length, given, source_fps)
    if given is not None:
        return given, ""
    likely = source_fps if source_fps and labels.likely_fps != 1 else labels.likely_fps
    rare = RARE_ROWS if labels.likely_fps not in (None, 1) and labels.end >= FEW else ()
    if rare and _has_row_a_second(labels, likely):
        rare = ()
    units = tuple(UNITS) if labels.likely_fps == 1 else ()
    known = (*units, *rare, *USUAL, MILLISECONDS)
    rates = " or ".join(f"{fps:.5g}" for fps in known if _fits(labels.end, fps, length))
    if labels.likely_fps is None:
        return 0.0, (
            "it does not say how many frames it counts a second, "
            f"{rates or 'none of the usual rates'} would end with the video; "
            "expected --annotation_fps"
        )
    is_near = labels.likely_fps == 1 and abs(labels.end - length) <= ROUNDED
    if _fits(labels.end, likely, length) or is_near or not rates:
        return likely, ""
    if unit := next((unit for unit in units if _fits(labels.end, unit, length)), None):
        return likely, (
            f"its times end at {labels.end:.4g}, but the video at {length:.4g} s; most likely they "
            f"are {UNITS[unit]}: expected --annotation_fps={unit:.5g}, or --annotation_fps=1 if "
            "they are seconds and do end there"
        )
    return likely, (
        f"with {likely:g} a second it would end at {labels.end / likely:.4g} s, but the video ends "
        f"at {length:.4g} s; most likely it has {rates} a second: expected --annotation_fps, which "
        f"is {likely:g} if it does end there"
    )


def _check_unit(
    labels: VideoLabels, length: float, given: float | None, source_fps: float | None
) -> tuple[float, str]:
    """As `check_rate`, of labels that say that they are seconds."""
    if given == labels.fps or _fits(labels.end, labels.fps, length):
        return labels.fps, ""
    if isinstance(labels, Moments):  # frames, in a column that is called second
        found, rates = "frames", dict.fromkeys((source_fps or 0.0, *USUAL[1:]))  # each once
        others = [fps for fps in rates if fps > labels.fps and _fits(labels.end, fps, length)]
    else:
        found, minutes = "mm:ss that became hh:mm in a spreadsheet", labels.end / SEXAGESIMAL
        is_beyond = labels.end > length + ROUNDED
        fits = is_beyond and PART * length <= minutes <= (1 + TOLERANCE) * length
        others = [SEXAGESIMAL] if fits else []
    if not others:
        return labels.fps, ""
    nearest = min(others, key=lambda fps: abs(fps - (given or 0.0)))
    if given is not None and math.isclose(given, nearest, rel_tol=0.01):
        return nearest, ""
    expected = " or ".join(f"--annotation_fps={fps:.5g}" for fps in others)
    return labels.fps, (
        f"its times go on to {labels.end:.4g} s, but the video ends at {length:.4g} s; most likely "
        f"they are {found}: expected seconds, or {expected}, and "
        f"--annotation_fps={labels.fps:g} if they do go on so long"
    )


def _has_row_a_second(labels: VideoLabels, fps: float) -> bool:
    """Whether rows are as far from one another as `fps`: then these are frames of that rate."""
    if not isinstance(labels, Moments) or len(labels.frames) < FEW:
        return False
    return int(np.gcd.reduce(np.diff(labels.frames))) == round(fps) > 1


def _fits(end: float, fps: float, length: float) -> bool:
    return abs(end / fps - length) <= TOLERANCE * length
