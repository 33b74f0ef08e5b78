"""The log of extraction while it grows: a line for each video, and whole at the end."""

import json

import pytest

from data.dataset.extraction_log import LOG, NEW, growing_log, read_log, write_log
from data.extraction.extracting import extract_frames
from tests.support.small_videos import read_numbers, write_video

SETTINGS = {"fps": 1.0, "format": "jpg", "quality": 95, "size": None}


def noted(number):
    return {"frames": number, "bytes": 100}


def test_a_video_costs_a_line_and_the_end_writes_all(tmp_path):
    log = {**SETTINGS, "videos": {"op0": noted(0)}}
    write_log(tmp_path, log)
    before = (tmp_path / LOG).read_text()
    with growing_log(tmp_path, log) as note:
        for number in (1, 2):
            log["videos"][f"op{number}"] = noted(number)
            note(f"op{number}")
            assert (tmp_path / LOG).read_text() == before
            assert read_log(tmp_path) == log
    assert json.loads((tmp_path / LOG).read_text()) == log
    assert not (tmp_path / NEW).exists()


def test_what_ends_it_is_no_matter(tmp_path):
    log = {**SETTINGS, "videos": {}}
    write_log(tmp_path, log)
    with pytest.raises(KeyboardInterrupt), growing_log(tmp_path, log) as note:
        log["videos"]["op1"] = noted(1)
        note("op1")
        raise KeyboardInterrupt
    assert json.loads((tmp_path / LOG).read_text()) == log


def test_nothing_is_written_where_nothing_is_noted(tmp_path):
    with growing_log(tmp_path / "frames", {**SETTINGS, "videos": {}}):
        pass
    assert not (tmp_path / "frames").exists()


def extract(tmp_path, *names):
    return extract_frames([tmp_path / f"{name}.mp4" for name in names], tmp_path / "frames")


def kill_after(frames, lines):
    """As after a kill: the log of the beginning, and so many lines, the last one cut off."""
    log = read_log(frames)
    kept = [json.dumps([name, log["videos"][name]]) for name in sorted(log["videos"])]
    write_log(frames, {**log, "videos": {}})
    (frames / NEW).write_text("\n".join([*kept[:lines], kept[lines][:-20]]))


def test_what_a_kill_has_left_is_known(tmp_path):
    """Videos of which lines are there are done, and were extracted here: they may change."""
    for number in range(3):
        write_video(tmp_path / f"op{number}.mp4", frames=60)
    frames = tmp_path / "frames"
    assert extract(tmp_path, "op0", "op1", "op2") == {}
    kill_after(frames, 2)
    assert list(read_log(frames)["videos"]) == ["op0", "op1"]
    write_video(tmp_path / "op1.mp4", frames=130)
    assert extract(tmp_path, "op0", "op1", "op2") == {}
    assert len(read_numbers(frames / "op1")) == 6
    assert sorted(json.loads((frames / LOG).read_text())["videos"]) == ["op0", "op1", "op2"]
    assert not (frames / NEW).exists()


def test_lines_are_not_written_after_one_that_a_kill_has_cut_off(tmp_path):
    log = {**SETTINGS, "videos": {"op1": noted(1)}}
    write_log(tmp_path, log)
    (tmp_path / NEW).write_text('["op2", {"fra')
    with growing_log(tmp_path, log) as note:
        for number in (3, 4):
            log["videos"][f"op{number}"] = noted(number)
            note(f"op{number}")
        assert read_log(tmp_path) == log
