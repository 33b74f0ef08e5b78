"""Pictures of a table's frames are those that inference has seen."""

import numpy as np
import pytest

from data.frames.listing import list_videos
from down_stream.lookup.pictures import Pictures, files_before
from tests.support.small_videos import read_number, write_video


@pytest.mark.parametrize("fps", [1.0, 3.0])
def test_frames_of_an_operation_in_several_files_are_found_in_them(tmp_path, fps):
    for part, frames in enumerate((60, 40, 90), 1):  # 2.4 seconds, 1.6, 3.6
        write_video(tmp_path / f"op_part{part}.mp4", frames=frames)
    write_video(tmp_path / "alone.mp4", frames=75)
    frames = list_videos([tmp_path], fps, join_parts=True)
    assert frames.videos == ("alone", "op")
    rows = np.random.default_rng(0).permutation(len(frames))
    paths, names = frames.paths(rows), frames.video_names(rows)
    before = files_before(names, paths, frames.second[rows].tolist())
    parts = [str(tmp_path / f"op_part{part}.mp4") for part in (1, 2, 3)]
    assert before == {part: tuple(parts[:place]) for place, part in enumerate(parts)}
    pictures = Pictures(fps, before)
    for row, path in zip(rows, paths, strict=True):
        second = float(frames.second[row])
        seen, found = read_number(frames.read(int(row))), pictures.read(path, second)
        assert read_number(found) == seen
        assert pictures.in_file(path, second) == pytest.approx(seen / 25, abs=0.5 / 25 + 0.001)
    assert not pictures.missing
    (tmp_path / "op_part1.mp4").unlink()  # nothing tells where the others begin
    gone = Pictures(fps, before)
    assert gone.read(parts[1], 3.0) is None and "where it begins" in gone.missing[parts[1]]
    assert np.isnan(gone.in_file(parts[1], 3.0))
