from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from data.frames.opening import open_source
from data.frames.video_frames import VideoFrames
from data.indexing.building import build_index
from msn.training.source_probe import SourceProbe, halves, spaced, videos_of_sources
from tests.support.small_videos import write_video


def make(root, videos, grey, number=12):
    """A data set whose frames are of one grey, but for noise."""
    random = np.random.default_rng(grey)
    for name in videos:
        folder = root / "frames" / name
        folder.mkdir(parents=True)
        for second in range(number):
            image = grey + random.integers(0, 5, (16, 16, 3), np.uint8)
            assert cv2.imwrite(str(folder / f"{name}_{second + 1:06d}.png"), image)
    build_index(root)
    return root


def mean_colour(images):
    """An encoder that sees the camera alone: where a colour is among eight greys."""
    grey = tf.reduce_mean(tf.cast(images, tf.float32), axis=(1, 2, 3))
    return tf.one_hot(tf.cast(grey // 32, tf.int32), 8)


def blind(images):
    return tf.ones((len(images), 4))


def probe(represent, roots, max_frames=100):
    return SourceProbe(represent, open_source("images", roots), roots, 16, max_frames)


def test_data_sets_are_told_by_videos_that_do_not_vote(tmp_path):
    roots = [
        make(tmp_path / f"set{n}", [f"op{n}{video}" for video in range(3)], grey)
        for n, grey in enumerate((10, 90, 200))
    ]
    own = probe(mean_colour, roots)
    assert own() == {"source_knn": 1.0, "source_chance": pytest.approx(1 / 3)}
    assert own.number == 3
    voters, asked = ({frames.videos[v] for v in frames.video} for frames, _ in own.parts)
    assert voters == {f"op{n}{video}" for n in range(3) for video in (0, 2)}
    assert asked == {"op01", "op11", "op21"}
    assert probe(blind, roots)()["source_knn"] == pytest.approx(1 / 3)


def test_of_one_data_set_the_videos_are_told(tmp_path):
    for name, grey in (("a", 10), ("b", 90)):
        root = make(tmp_path / "set", [name], grey)
    own = probe(mean_colour, [root])
    assert own() == {"source_knn": 1.0, "source_chance": 0.5}
    for frames, _ in own.parts:
        assert {frames.videos[v] for v in frames.video} == {"a", "b"}
    # The first halves vote, the second ones are asked for.
    assert own.parts[0][0].seconds(np.arange(12)).max() == 5
    assert own.parts[1][0].seconds(np.arange(12)).min() == 6


def test_sources_are_as_frequent_as_one_another(tmp_path):
    """A thousandth of the frames is a source as any other."""
    roots = [make(tmp_path / "few", ["a1", "a2"], 10, 3), make(tmp_path / "many", ["b1", "b2"], 90)]
    own = probe(mean_colour, roots, max_frames=8)
    for _, labels in own.parts:
        assert np.bincount(labels).tolist() == [3, 4]
    assert probe(blind, roots, max_frames=8)() == {"source_knn": 0.5, "source_chance": 0.5}


def test_data_sets_of_relative_paths_are_data_sets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    roots = [Path("a"), Path("b")]
    for root in roots:
        for number in range(2):
            write_video(root / f"{root}{number}.mp4", frames=50)
    frames = open_source("videos", roots)
    assert [videos.tolist() for videos in videos_of_sources(frames, roots)] == [[0, 1], [2, 3]]


def test_one_source_is_nothing_to_tell(tmp_path):
    own = probe(mean_colour, [make(tmp_path / "set", ["a"], 10)])
    assert own.number == 1 and own() == {}


def test_videos_of_one_frame_are_sources_of_a_data_set_alone(tmp_path):
    """In one data set nothing can be told: a frame that votes is not one that is asked for."""
    roots = [make(tmp_path / name, [f"{name}{n}" for n in range(6)], 10, 1) for name in "ab"]
    alone = probe(mean_colour, roots[:1])
    assert alone.number == 0 and alone() == {}
    both = probe(mean_colour, roots)
    assert both.number == 2 and "source_knn" in both()


def test_of_many_videos_some_are_told(tmp_path):
    root = make(tmp_path / "set", [f"v{n:03d}" for n in range(30)], 10, 2)
    own = probe(blind, [root], max_frames=100)
    assert own.number == 5  # the neighbours that vote are twenty
    frames, _ = own.parts[0]
    names = [frames.videos[video] for video in frames.video]
    assert names == ["v000", "v007", "v014", "v022", "v029"]


def test_frames_of_videos_themselves_have_sources_too(tmp_path):
    for name in ("a", "b"):
        write_video(tmp_path / "set" / f"{name}.mp4", frames=150)
    frames = open_source("videos", [tmp_path / "set"])
    assert isinstance(frames, VideoFrames)
    own = SourceProbe(mean_colour, frames, [tmp_path / "set"], 16, 10)
    assert own.number == 2 and 0 <= own()["source_knn"] <= 1


def test_rows_are_evenly_spaced_over_ranges():
    begins, lengths = np.array([10, 50]), np.array([4, 6])
    assert spaced(begins, lengths, 99).tolist() == [10, 11, 12, 13, 50, 51, 52, 53, 54, 55]
    assert spaced(begins, lengths, 4).tolist() == [10, 13, 52, 55]
    assert spaced(begins, lengths, 1).tolist() == [10]


def test_halves_of_a_video_leave_nothing_out(small_dataset):
    frames = open_source("images", [small_dataset])
    sources = videos_of_sources(frames, [small_dataset])
    assert [videos.tolist() for videos in sources] == [[0], [1], [2], [3]]
    first, second = halves(frames, np.array([1]))
    assert first.tolist() == [[14, 7]] and second.tolist() == [[21, 7]]
