"""Packets whose time stamps are damaged: a few bytes, that would move a frame to another hour.

All others say when they are shown, so these can be told: the packets before and behind go on as if
they were not there, or another frame has their time already. Their frames are not used.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from data.video.files.packets import GAP, REORDERED, SLOW, STILL, UNKNOWN, Packets

MOST = 3  # packets in a row that may be damaged
FEW, FEW_SHARE = 3, 0.02  # of the frames, that may have the time of another


def without_strays(packets: Packets, unit: float) -> Packets:
    """The packets, of which those are not shown whose time stamps are damaged.

    Args:
      packets: of the whole file.
      unit: of time stamps, in seconds.
    """
    stamps, decoding = packets.stamps, packets.decoding
    known = np.flatnonzero(stamps != UNKNOWN)
    if len(known) <= MOST or len(known) < len(packets.shown):
        return packets
    usual = float(np.median(np.abs(np.diff(stamps[known])))) or 1.0
    is_stray = np.zeros(len(stamps), bool)
    is_stray[known] = _away(stamps[known], max(GAP / unit, REORDERED * usual))
    is_stray[known[-1]] |= abs(stamps[known[-1]] - stamps[known[-2]]) > STILL / unit
    in_order = np.flatnonzero((decoding != UNKNOWN) & ~is_stray)
    if len(in_order) > MOST:
        steps = np.diff(decoding[in_order])
        usual = float(np.median(steps[steps > 0])) if (steps > 0).any() else 1.0
        is_stray[in_order] = _out_of_order(decoding[in_order], SLOW * usual)
    is_shown = np.zeros(len(stamps), bool)
    is_shown[packets.shown] = True
    is_stray[_repeated(stamps, np.flatnonzero(is_shown & ~is_stray))] = True
    if not is_stray.any():
        return packets
    return replace(
        packets,
        stamps=np.where(is_stray, UNKNOWN, stamps),
        decoding=np.where(is_stray, UNKNOWN, decoding),
        shown=np.flatnonzero(is_shown & ~is_stray),
        strays=np.flatnonzero(is_stray),
    )


def _away(stamps: np.ndarray, far: float) -> np.ndarray:
    """bool [n]: those further from the ones around them than these are from one another."""

    def is_away(before, between, behind):
        is_near = np.abs(behind - before) <= far
        return is_near & (np.minimum(np.abs(between - before), np.abs(between - behind)) > far)

    return _found(stamps, is_away)


def _out_of_order(clock: np.ndarray, far: float) -> np.ndarray:
    """bool [n]: those beside an ascending clock that goes on without them, by at most `far`."""

    def is_beside(before, between, behind):
        goes_on = (behind > before) & (behind - before <= far)
        return goes_on & ((between < before) | (between > behind))

    return _found(clock, is_beside)


def _found(clock: np.ndarray, is_stray: Callable) -> np.ndarray:
    """bool [n], what `is_stray` says of one to `MOST` in a row and the two around them."""
    left = np.arange(len(clock))
    for length in range(1, MOST + 1):
        kept, count = clock[left], max(0, len(left) - length - 1)
        before, behind = kept[:count], kept[length + 1 :]
        runs = [is_stray(before, kept[n : n + count], behind) for n in range(1, length + 1)]
        firsts = np.flatnonzero(np.all(runs, axis=0)) + 1
        left = np.delete(left, (firsts[:, None] + np.arange(length)).ravel())
    return ~np.isin(np.arange(len(clock)), left)


def _repeated(stamps: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """int64, places of shown packets with the time of one before them; none where they are many."""
    _, first = np.unique(stamps[shown], return_index=True)
    repeated = np.delete(shown, first)
    return repeated if len(repeated) <= max(FEW, FEW_SHARE * len(shown)) else repeated[:0]
