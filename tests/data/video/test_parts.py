"""A clock that runs on across real files."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from data.common.errors import InputError
from data.video.clock import Clock
from data.video.parts import VideoFiles, join_clocks
from tests.support.small_videos import read_number, set_timing, write_video


def write_parts(folder, frames=(260, 260, 100), fps=25):
    """Parts of 10.4 s, the frames of which are numbered on."""
    starts = np.cumsum([0, *frames])
    return tuple(
        write_video(folder / f"op_part{part}.mp4", fps, count, first=int(start))
        for part, (count, start) in enumerate(zip(frames, starts, strict=False), 1)
    )


def opened(files, fault=""):
    with VideoFiles(files, fault).open("op", Path("unused")) as parts:
        return parts


def shown(parts, fps=1):
    sources = enumerate(parts.clock.source_frames(fps).tolist())
    return [(n, read_number(image)) for n, image in parts.decode(sources)]


def test_the_clock_runs_on_and_does_not_drift(tmp_path):
    files = write_parts(tmp_path)
    parts = opened(files)
    # By themselves they would give frames of 0..10, 10.4..20.4 and 20.8..23.8 s.
    assert shown(parts) == [(n, 25 * n) for n in range(25)]
    assert (parts.clock.rate, parts.clock.seconds) == (25, pytest.approx(24.8))
    assert VideoFiles(files).estimate_seconds() == pytest.approx(24.8)
    parts.check_end()


def test_a_hundred_parts_of_an_odd_rate_drift_by_nothing():
    rate, frames = Fraction(30000, 1001), 311
    clocks = [Clock(Path("op.mp4"), np.arange(frames) / float(rate), rate, 0)] * 100
    joined = join_clocks(clocks)
    assert joined.rate == rate
    taken = joined.source_frames(1)
    assert taken.tolist() == [(n * rate + Fraction(1, 2)).__floor__() for n in range(len(taken))]
    assert len(taken) == 1038  # 31100 frames are 1037.7 s


def test_parts_of_other_rates_are_joined_by_time(tmp_path):
    slow = write_video(tmp_path / "1.mp4", 10, 26)
    fast = write_video(tmp_path / "2.mp4", 25, 60, first=26)
    set_timing(varying := write_video(tmp_path / "3.mp4", 25, 60, first=86), [(30, 0.5), (30, 2.0)])
    parts = opened((slow, fast, varying))
    assert parts.clock.rate is None
    # 2.6 s of 10 frames a second, 2.4 s of 25, then 0.6 s of 50 and 2.4 s of 12.5.
    assert shown(parts) == [(0, 0), (1, 10), (2, 20), (3, 36), (4, 61), (5, 86), (6, 121), (7, 134)]


def test_only_the_parts_with_wanted_frames_are_opened(tmp_path):
    files = write_parts(tmp_path)
    parts = opened(files)
    files[0].unlink()
    assert [(n, read_number(i)) for n, i in parts.decode([(20, 500), (21, 525)])] == [
        (20, 500),
        (21, 525),
    ]
    with pytest.raises(InputError, match=r"op_part1\.mp4: no such video"):
        list(parts.decode([(0, 0)]))


def test_what_is_before_a_broken_part_is_used(tmp_path):
    files = write_parts(tmp_path)
    files[1].write_text("no video")
    parts = opened(files)
    assert shown(parts) == [(n, 25 * n) for n in range(11)]
    with pytest.raises(InputError, match=r"op_part2\.mp4: 8 bytes.*after it are not used"):
        parts.check_end()
    files[0].write_text("no video")
    with pytest.raises(InputError, match=r"op_part1\.mp4: 8 bytes"):
        opened(files)


def test_a_part_that_was_cut_off_is_used_as_far_as_it_goes(tmp_path):
    files = [
        write_video(tmp_path / f"{part}.avi", 25, 200, "MJPG", first=200 * part)
        for part in range(3)
    ]
    files[1].write_bytes(files[1].read_bytes()[: files[1].stat().st_size // 2])
    parts = opened(tuple(files))
    assert 280 < len(parts.clock.times) < 320
    assert shown(parts) == [(n, 25 * n) for n in range(len(shown(parts)))]
    with pytest.raises(InputError, match=r"1\.avi: cut off, used .* second 4 of 8; the parts"):
        parts.check_end()


def test_a_fault_that_is_known_before_is_told_at_the_end(tmp_path):
    files = write_parts(tmp_path)
    parts = opened(files[:1], "op: part 2 is missing")
    assert len(shown(parts)) == 11
    with pytest.raises(InputError, match="part 2 is missing"):
        parts.check_end()
    with pytest.raises(InputError, match="part 1 is missing"):
        opened((), "op: part 1 is missing")
