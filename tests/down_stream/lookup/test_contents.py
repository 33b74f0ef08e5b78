import cv2
import numpy as np
import pytest

from down_stream.lookup import contents
from down_stream.lookup.contents import BLACK_PART, OUTSIDE, STANDING, judge, look_into, with_same
from down_stream.lookup.overview import write_overview
from down_stream.lookup.pictures import Pictures
from down_stream.lookup.tables import Rows
from tests.support.small_reports import Page

RED, GREY, BLACK = (180, 70, 60), (150, 160, 150), (4, 4, 4)


def picture(colour):
    random = np.random.default_rng(0)
    return np.clip(np.array(colour) + random.normal(0, 4, (48, 64, 3)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("colour", "what"), [(RED, ""), (GREY, OUTSIDE), (BLACK, BLACK_PART)])
def test_pictures_are_judged_by_their_colours(colour, what):
    assert judge(picture(colour)) == what


def make_video(folder, name, seed=0, classes=3):
    """20 s of tissue, 10 s that stand still, 6 s black, 9 s of the room, 15 s of tissue."""
    random = np.random.default_rng(seed)
    kinds = [RED] * 30 + [BLACK] * 6 + [GREY] * 9 + [RED] * 15
    place = {RED: 0, BLACK: 1, GREY: 2}
    features = 9 * np.eye(8)[[place[kind] for kind in kinds]] + random.normal(0, 1, (60, 8))
    features[20:30] = features[20]
    (folder / name).mkdir(parents=True)
    paths = [folder / name / f"{name}_{n + 1:06d}.png" for n in range(60)]
    for path, kind in zip(paths, kinds, strict=True):
        cv2.imwrite(str(path), picture(kind)[..., ::-1])
    said = np.tile(np.eye(classes, dtype=np.float32), (60, 1))[:60]
    seconds = np.arange(60.0)
    text = np.array([str(path) for path in paths])
    numbers = np.full(60, -1)
    return Rows(features.astype(np.float32), np.full(60, name), seconds, numbers, text, said)


def test_parts_of_no_use_are_found_with_their_times(tmp_path):
    rows = make_video(tmp_path, "op")
    order = np.random.default_rng(1).permutation(60)
    found = look_into("op", rows.take(order), 1.0, Pictures(1.0))
    parts = {(part.what, part.start, part.end) for part in found.parts}
    assert parts == {(STANDING, 20, 30), (BLACK_PART, 30, 36), (OUTSIDE, 36, 45)}
    assert found.seconds == 60
    assert found.total(BLACK_PART) == 6
    kinds = np.searchsorted([30, 36, 45], found.keys, side="right")
    assert set(kinds.tolist()) == {0, 1, 2, 3}


def test_without_pictures_nothing_is_said_of_colours(tmp_path):
    rows = make_video(tmp_path, "op")
    rows.path[:] = ""
    found = look_into("op", rows, 1.0, Pictures(1.0))
    assert {part.what for part in found.parts} == {STANDING}
    assert not found.has_pictures


def test_a_copy_is_found_and_another_video_is_not(tmp_path):
    videos = [make_video(tmp_path, name, seed) for name, seed in (("a", 0), ("b", 0), ("c", 5))]
    looked = [look_into(str(rows.video[0]), rows, 1.0, Pictures(1.0)) for rows in videos]
    same = {one.name: set(one.same) for one in with_same(looked)}
    assert same == {"a": {"b"}, "b": {"a"}, "c": set()}


def test_pages_of_a_folder(tmp_path):
    rows = Rows.joined(
        [make_video(tmp_path / "v", name, n) for n, name in enumerate(["a b", "a?b", "x"])]
    )
    rows.path[rows.video == "x"] = str(tmp_path / "gone.png")
    names, faults = write_overview(tmp_path / "out", rows, ("Zugang", "Naht <i>", "Ende"), 1.0)
    assert sorted(names) == ["a b", "a?b", "x"]
    assert len(faults) == 1
    assert "gone.png" in faults[0]
    index = (tmp_path / "out" / "index.html").read_text()
    pages = sorted(path.name for path in (tmp_path / "out").glob("*.html"))
    assert pages == ["a_b.html", "a_b_2.html", "index.html", "x.html"]
    assert all(f'href="{page}"' in index for page in pages if page != "index.html")
    text = (tmp_path / "out" / "a_b.html").read_text()
    assert "Naht &lt;i&gt;" in text
    assert not Page(text).unreachable()
    assert not Page(index).unreachable()
    assert "33.3 %" in text  # of the time, each class
    assert "black" in text
    assert "no picture here" in (tmp_path / "out" / "x.html").read_text()
    assert "unknown, no picture is here" in (tmp_path / "out" / "x.html").read_text()
    assert "12.0 s; unknown of 1 without pictures" in index  # black, of two videos
    assert contents.KEY_FRAMES >= text.count('src="data:image/jpeg') > 3
