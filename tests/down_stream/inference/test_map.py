import base64
import json
import re

import cv2
import numpy as np
import pytest

from data.batches.read_ahead import InputFrame
from data.common.errors import InputError
from data.frames.listing import list_dataset
from down_stream.inference import map
from down_stream.inference.map import (
    Plane,
    choose,
    keep_thumbnails,
    plane_picture,
    project,
    write_map,
)
from down_stream.inference.options import check_map
from down_stream.inference.parts.table_parts import Parts
from down_stream.report.figures import save_png


@pytest.fixture
def parts(small_dataset, tmp_path):
    """Embeddings and thumbnails of the small dataset, in two parts."""
    parts, frames = Parts(tmp_path / "a.npz", {}), list_dataset(small_dataset)
    parts.take(frames)
    random = np.random.default_rng(0)
    first = 0
    for rows in (np.arange(30), np.arange(31, 56)):  # 30 is unreadable
        table = {"rows": rows, "embeddings": random.normal(size=(len(rows), 5))}
        parts.add(first, first := rows[-1] + 1, table, [])
        shown = [InputFrame(row, np.full((16, 16, 3), row, np.uint8), 1.5) for row in rows.tolist()]
        keep_thumbnails(parts, shown, choose(frames))
    return parts, frames


def data_of(path):
    return json.loads(re.search(r"const data = (.*);\n", path.read_text())[1])


def test_every_frame_has_a_point_a_caption_and_a_picture(parts, tmp_path):
    parts, frames = parts
    line = write_map(tmp_path / "map.html", parts, frames, parts.rows(), None, None, "cls")
    assert "55 frames" in line
    data = data_of(tmp_path / "map.html")
    assert {len(data[name]) for name in ("plane", "captions", "thumbnails")} == {55}
    assert data["captions"][0] == "video01, 0:00"
    assert data["captions"][-1] == "video04, 0:13"
    jpeg = np.frombuffer(base64.b64decode(data["thumbnails"][40]), np.uint8)
    assert abs(cv2.imdecode(jpeg, cv2.IMREAD_COLOR).mean() - 41) < 2
    assert list(data["colours"]) == ["annotated phases", "video"]
    video = data["colours"]["video"]
    assert [video["names"][k] for k in video["of"]] == frames.video_names(parts.rows())
    assert len(set(video["colours"])) == 4
    assert np.abs(data["plane"]).max() <= 0.5
    picture = cv2.imread(str(tmp_path / "map.png"))
    (drawn,) = {picture[picture.shape[0] // 2, 5].tobytes()}
    phases = data["colours"]["annotated phases"]
    assert min(picture.shape[:2]) > 600 and drawn == b"\xff" * 3
    for name, colour in zip(phases["names"], phases["colours"], strict=True):
        rgb = [int(colour[place : place + 2], 16) for place in (5, 3, 1)]
        assert (np.abs(picture.astype(int) - rgb).max(axis=-1) < 12).any(), name


def test_the_page_needs_nothing_else(parts, tmp_path):
    parts, frames = parts
    write_map(tmp_path / "map.html", parts, frames, parts.rows(), None, None, "cls")
    assert not re.search(
        r"https?:|src=[\"'][^\"']|@import|<link", (tmp_path / "map.html").read_text()
    )


def test_of_many_frames_some_are_drawn_evenly(parts, tmp_path, monkeypatch):
    parts, frames = parts
    monkeypatch.setattr(map, "MAX_POINTS", 12)
    line = write_map(tmp_path / "map.html", parts, frames, parts.rows(), None, None, "cls")
    assert "8 frames, of 55, evenly" in line
    assert np.flatnonzero(choose(frames)).tolist() == [0, 8, 14, 22, 28, 36, 42, 50]


def test_neighbours_stay_neighbours():
    groups = np.repeat(np.eye(3, 8) * 10, 40, axis=0)
    points = groups + np.random.default_rng(0).normal(size=groups.shape)
    plane, method, axes = project(points)
    variance = points.var(axis=0).sum()
    share = 100 * plane[:, 1].var() / variance
    assert axes[1] == f"component 2: {share:.0f} % of the variance"
    assert f"{100 * plane.var(axis=0).sum() / variance:.0f} % of the variance" in method
    centres = plane.reshape(3, 40, 2).mean(axis=1)
    distances = np.linalg.norm(plane[:, None] - centres, axis=-1)
    assert (distances.argmin(axis=1) == np.repeat(range(3), 40)).all()


def test_one_point_is_a_map_too():
    assert project(np.ones((1, 4))).points.shape == (1, 2)
    assert "nan" not in project(np.ones((3, 4))).method


def test_text_cannot_end_the_script(tmp_path):
    colours = {"video": {"names": ["</script>"], "colours": ["red"], "of": [0]}}
    map.write_page(
        tmp_path / "map.html",
        Plane(np.zeros((1, 2)), "m", ("", "")),
        colours,
        ["</script><b>"],
        [b"x"],
    )
    assert (tmp_path / "map.html").read_text().count("</script>") == 1
    assert data_of(tmp_path / "map.html")["captions"] == ["</script><b>"]


def test_a_picture_of_more_videos_than_colours_counts_them(tmp_path):
    names = [f"video{n:02d}" for n in range(60)]
    legend = map._legend(names, np.arange(60))
    points = np.random.default_rng(0).normal(size=(60, 2))
    figure = plane_picture(points, ("x", "y"), **legend)
    assert [text.get_text() for text in figure.legends[0].texts] == ["60 different ones"]
    save_png(figure, tmp_path / "map.png")
    assert len(set(legend["colours"])) == 60


@pytest.mark.parametrize("name", ["map.png", "folder.html"])
def test_where_a_map_cannot_be_written(tmp_path, name):
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(InputError, match=name):
        check_map(tmp_path / name)
