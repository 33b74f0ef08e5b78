"""Clocks of many videos, kept from run to run."""

import os

from data.video import clocks
from data.video.clock import read_clock
from data.video.clocks import kept_contents, kept_timings
from tests.support.small_videos import write_video


def test_a_fault_that_went_without_the_file_changing_is_no_fault_any_more(tmp_path):
    """As one of permissions does, or of a network disk."""
    video = write_video(tmp_path / "op.mp4", frames=60)
    content, time = video.read_bytes(), video.stat().st_mtime_ns
    listed = []
    for now in (bytes(len(content)), content):
        video.write_bytes(now)
        os.utime(video, ns=(time, time))
        listed.append(kept_timings({"op": video}, 1.0, tmp_path / "clocks"))
    assert list(listed[0][1]) == ["op"]
    assert (list(listed[1][0]), listed[1][1]) == (["op"], {})


def test_a_video_that_is_moved_away_stops_no_other(tmp_path):
    videos = {"here": write_video(tmp_path / "here.mp4", frames=60), "op": tmp_path / "op.mp4"}
    timings, faults = kept_timings(videos, 1.0, tmp_path / "clocks")
    assert list(timings) == ["here"]
    assert faults == {"op": f"{videos['op']}: no such video"}


def test_a_clock_is_that_of_the_content(tmp_path, monkeypatch):
    """Also where another file has the size and the time of the one before it."""
    videos = {"op": write_video(tmp_path / "op.mp4", frames=60)}
    read, kept = [], tmp_path / "clocks"
    monkeypatch.setattr(clocks, "read_clock", lambda file: read.append(file) or read_clock(file))
    kept_timings(videos, 1.0, kept)
    kept_timings(videos, 1.0, kept)
    assert len(read) == 1

    content, time = bytearray(videos["op"].read_bytes()), videos["op"].stat().st_mtime_ns
    content[len(content) // 2] ^= 1
    videos["op"].write_bytes(content)
    os.utime(videos["op"], ns=(time, time))
    for _ in range(2):
        kept_timings(videos, 1.0, kept)
    assert len(read) == 2


def test_what_another_version_kept_is_not_used(tmp_path, monkeypatch):
    videos = {"op": write_video(tmp_path / "op.mp4", frames=60)}
    kept_timings(videos, 1.0, tmp_path / "clocks")
    monkeypatch.setattr(clocks, "FORMAT", clocks.FORMAT + 1)
    kept_timings(videos, 1.0, tmp_path / "clocks")
    assert len(list((tmp_path / "clocks").iterdir())) == 3  # and samples of the file


def test_samples_are_kept_from_the_first_call_on(tmp_path, monkeypatch, caplog):
    videos, read = {"op": write_video(tmp_path / "op.mp4", frames=5)}, []
    monkeypatch.setattr(clocks, "content_digest", lambda file: read.append(file) or "digest")
    for _ in range(2):
        assert kept_contents(videos, tmp_path / "new" / "clocks") == {"op": "digest"}
    assert len(read) == 1 and not caplog.messages
