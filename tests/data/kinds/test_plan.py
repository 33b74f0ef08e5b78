import shutil

import pytest

from data.dataset.audit import Audit
from data.extraction.extracting import extract_frames
from data.kinds.plan import Plan, say_plan
from data.kinds.plan_videos import plan_videos
from data.preparation.media import find_media
from tests.support.small_dicoms import JPEG, jpegs, write_dicom
from tests.support.small_videos import write_video

SETTINGS = {"fps": 1.0, "format": "jpg", "quality": 95, "size": None}


def plan(root, folder, audit=None, join_parts=False, **settings):
    audit = audit or Audit()
    media = find_media(folder, None, join_parts, root, audit)
    return plan_videos(root, media, SETTINGS | settings, audit), audit


def cells(made):
    """{video: (frames, there, to extract)} of the table."""
    rows = [line.split() for line in made.lines[1:] if not line.startswith("all videos")]
    return {row[0]: tuple(row[3:]) for row in rows if len(row) == 6}


@pytest.mark.parametrize("settings", [{}, {"format": "png", "fps": 5.0}, {"size": 24}])
def test_as_many_frames_and_bytes_as_extraction_writes(tmp_path, settings):
    for name, frames in (("a", 130), ("b", 75), ("c", 100)):
        write_video(tmp_path / "in" / f"{name}.mp4", frames=frames)
    made, audit = plan(tmp_path / "out", tmp_path / "in", **settings)
    assert not (tmp_path / "out").exists()
    assert audit.problems == []
    folder = tmp_path / "out" / "frames"
    extract_frames(sorted((tmp_path / "in").iterdir()), folder, **settings)
    written = {of.name: [f.stat().st_size for f in of.iterdir()] for of in folder.glob("*/")}
    assert cells(made) == {v: (str(len(s)), "0", str(len(s))) for v, s in written.items()}
    total = sum(map(sum, written.values()))
    assert made.is_certain
    assert 0.7 * total < made.needed < 1.4 * total

    next(folder.glob("b/*_000002.*")).unlink()
    made, _ = plan(tmp_path / "out", tmp_path / "in", **settings)
    number = len(written["b"])
    assert cells(made)["b"] == (str(number), str(number - 1), "1")
    assert cells(made)["a"][2] == "0"
    assert 0 < made.needed < 2 * max(written["b"])


def test_problems_that_headers_tell(tmp_path):
    """Those that the run would have, parts, and lengths that nobody knows yet."""
    folder = tmp_path / "in"
    for name in ("op_part1", "op_part3", "x"):
        write_video(folder / f"{name}.mp4", frames=50)
    (folder / "broken.mp4").write_text("no video")
    write_dicom(folder / "dicom", jpegs(25), JPEG, 25, CineRate=10)
    made, audit = plan(tmp_path / "out", folder, join_parts=True)
    assert cells(made) == {
        "dicom": ("?", "0", "?"),
        "op": ("2", "0", "2"),
        "x": ("2", "0", "2"),
    }
    assert not made.is_certain
    missing, broken = sorted(audit.problems, key=lambda problem: "broken" in problem)
    assert "op: part 2 is missing among parts 1 to 3" in missing
    assert "broken.mp4: 8 bytes that are not a video" in broken

    (tmp_path / "out" / "frames").mkdir(parents=True)
    extract_frames([folder / "x.mp4"], tmp_path / "out" / "frames")
    write_video(folder / "x.mp4", frames=60)
    made, audit = plan(tmp_path / "out", folder)
    assert cells(made)["x"] == ("3", "0", "3")
    assert "x: its file has changed; its frames would be extracted again" in audit.remarks
    (folder / "x.mp4").rename(tmp_path / "x.mp4")
    extract_frames([tmp_path / "x.mp4"], tmp_path / "other" / "frames")
    write_video(folder / "x.mp4", frames=50)
    made, _ = plan(tmp_path / "other", folder)
    assert cells(made)["in_x"] == ("2", "0", "2"), "another video has the name x in this dataset"


def test_a_disk_that_is_too_small_is_a_problem(tmp_path):
    audit, free = Audit(), shutil.disk_usage(tmp_path).free
    say_plan(tmp_path / "out", Plan(["a line"], free // 2), audit)
    assert not audit.problems
    said = say_plan(tmp_path / "out", Plan(["a line"], 2 * free), audit)
    (problem,) = audit.problems
    assert "out: needs about" in problem
    assert said[0] == "a line"
    assert said[1].startswith("room: about ")
    assert list(tmp_path.iterdir()) == []
