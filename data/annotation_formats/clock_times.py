"""Times as people type and read them: seconds, mm:ss, hh:mm:ss, hh:mm:ss.mmm."""

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


def clock(seconds: float, decimals: int = 2, is_full: bool = False) -> str:
    """A time in a video: 754 -> "12:34", 3725.25 -> "1:02:05.25".

    Args:
      seconds: of it.
      decimals: how many a second that is not whole has.
      is_full: whether hours and decimals are written in any case, so that nobody takes it for a
        number of frames: 754 -> "0:12:34.00".
    """
    whole, rest = divmod(round(10**decimals * seconds), 10**decimals)
    minutes, second = divmod(whole, 60)
    begin = f"{minutes // 60}:{minutes % 60:02d}" if is_full or minutes >= 60 else f"{minutes}"
    return f"{begin}:{second:02d}" + (f".{rest:0{decimals}d}" if is_full or rest else "")
