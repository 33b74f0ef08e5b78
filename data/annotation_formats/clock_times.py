"""Times as people type them: seconds, mm:ss, hh:mm:ss, hh:mm:ss.mmm."""

import re

import numpy as np

_NUMBER = re.compile(r"\d+(\.\d+)?")
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d\d(?:\.\d+)?)")


def parse_times(texts: list[str], decimal_comma: bool) -> tuple[np.ndarray, bool]:
    """Times as numbers.

    Args:
      texts: "12", "12.5", "1:30" (a minute and a half), "1:02:03", "1:02:03.5"; "" for none.
      decimal_comma: whether 12,5 is a number, too.

    Returns:
      float64 [n], seconds or whatever unit plain numbers are in, NaN where a text is no time; and
      whether any of them has colons, so that all are seconds.
    """
    texts = [text.replace(",", ".") if decimal_comma else text for text in texts]
    clocks = [_CLOCK.fullmatch(text) for text in texts]
    times = np.full(len(texts), np.nan)
    for place, (text, clock) in enumerate(zip(texts, clocks, strict=True)):
        if clock:
            hours, minutes, seconds = clock.groups()
            is_wrong = float(seconds) >= 60 or (hours is not None and int(minutes) >= 60)
            if not is_wrong:
                times[place] = 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)
        elif _NUMBER.fullmatch(text):
            times[place] = float(text)
    return times, any(clocks)
