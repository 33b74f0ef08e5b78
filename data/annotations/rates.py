"""How many annotated frames a second has: checked against the length of the video, never assumed.

A rate that is wrong gives wrong labels without any other sign. Annotations may end early or late;
but where another usual rate would make them end with the video, nothing is joined.
"""

import numpy as np

from data.annotation_formats.labels import Moments, VideoLabels

# Of cameras and recorders, and of annotations made once a second.
USUAL = (1.0, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60000 / 1001, 60.0)
# Rows for every so many seconds, where frames are counted, and times in milliseconds: too far from
# what they would be taken for, 25 and 1 a second, for an annotation that ends early or late.
RARE_ROWS, MILLISECONDS = (0.1, 0.2, 0.5, 2.0, 5.0), 1000.0
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
        return labels.fps, ""
    if given is not None:
        return given, ""
    likely = source_fps if source_fps and labels.likely_fps != 1 else labels.likely_fps
    rare = RARE_ROWS if labels.likely_fps not in (None, 1) and labels.end >= FEW else ()
    if rare and _has_row_a_second(labels, likely):
        rare = ()
    known = (*rare, *USUAL, MILLISECONDS)
    rates = " or ".join(f"{fps:.5g}" for fps in known if _fits(labels.end, fps, length))
    if labels.likely_fps is None:
        return 0.0, (
            "it does not say how many frames it counts a second, "
            f"{rates or 'none of the usual rates'} would end with the video; "
            "expected --annotation_fps"
        )
    if _fits(labels.end, likely, length) or not rates:
        return likely, ""
    return likely, (
        f"with {likely:g} a second it would end at {labels.end / likely:.4g} s, but the video ends "
        f"at {length:.4g} s; most likely it has {rates} a second: expected --annotation_fps, which "
        f"is {likely:g} if it does end there"
    )


def _has_row_a_second(labels: VideoLabels, fps: float) -> bool:
    """Whether rows are as far from one another as `fps`: then these are frames of that rate."""
    if not isinstance(labels, Moments) or len(labels.frames) < FEW:
        return False
    return int(np.gcd.reduce(np.diff(labels.frames))) == round(fps) > 1


def _fits(end: float, fps: float, length: float) -> bool:
    return abs(end / fps - length) <= TOLERANCE * length
