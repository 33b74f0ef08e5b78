import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.cholec80 import PHASES, TOOLS
from data.frames.frames import Frames
from down_stream.classifiers.frame_model import FrameModel
from down_stream.inference import phase_files
from down_stream.inference.phase_files import (
    check_phase_files,
    in_time,
    open_temporal,
    remark_time,
    write_phase_files,
)
from down_stream.metrics.predictions import read_predictions
from down_stream.temporal.model import TemporalModel, save_temporal
from msn.networks.encoder import Encoder


class Moments(Frames):
    def __init__(self, videos, video, seconds, phase=None):
        super().__init__(videos, video, phase, PHASES)
        self._seconds = np.array(seconds, float)

    def paths(self, rows):
        return [""] * len(rows)

    def seconds(self, rows):
        return self._seconds[rows]

    def read(self, row):
        raise NotImplementedError


def model(task="phases", classes=PHASES):
    encoder = Encoder(image_size=16, patch_size=8, width=12, depth=1, num_heads=3, seed=5)
    return FrameModel(encoder, classes, task=task, multi_label=task == "tools", seed=0)


def draw(count, classes=7, seed=0):
    values = np.random.default_rng(seed).random((count, classes)).astype(np.float32)
    return values / values.sum(axis=1, keepdims=True)


def test_a_table_and_a_timeline_for_every_video(tmp_path):
    frames = Moments(["a", "b"], [0, 0, 1, 1, 1], [0, 1, 0, 1, 4], phase=np.arange(5) % 3)
    probabilities, rows = draw(4), np.array([0, 2, 3, 4])
    (folder,) = write_phase_files(tmp_path / "x.npz", frames, rows, probabilities, model())
    assert folder == tmp_path / "x_phases"
    assert sorted(file.name for file in folder.iterdir()) == ["a.csv", "a.png", "b.csv", "b.png"]
    table = read_predictions(folder / "b.csv")
    assert table.second.tolist() == [0, 1, 4]
    assert table.label.tolist() == [2, 0, 1]
    np.testing.assert_array_equal(table.probabilities, probabilities[1:])
    np.testing.assert_array_equal(table.prediction, probabilities[1:].argmax(axis=1))


def test_a_kill_after_the_table_leaves_no_timeline_of_another(tmp_path, monkeypatch):
    frames, rows, picture = Moments(["a"], [0] * 3, range(3)), np.arange(3), []
    for values in (draw(3), draw(3, seed=1)):
        write_phase_files(tmp_path / "x.npz", frames, rows, values, model())
        picture.append((tmp_path / "x_phases" / "a.png").read_bytes())
    assert picture[0] != picture[1]

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(phase_files, "save_png", killed)
        with pytest.raises(KeyboardInterrupt):
            write_phase_files(tmp_path / "x.npz", frames, rows, draw(3), model())
    write_phase_files(tmp_path / "x.npz", frames, rows, draw(3), model())
    assert (tmp_path / "x_phases" / "a.png").read_bytes() == picture[0]


def test_several_frames_of_a_second_become_one_row(tmp_path):
    frames = Moments(["a"], [0] * 4, [0, 0.5, 1, 1.5])
    probabilities = draw(4)
    write_phase_files(tmp_path / "x.npz", frames, np.arange(4), probabilities, model())
    table = read_predictions(tmp_path / "x_phases" / "a.csv")
    assert table.second.tolist() == [0, 1]
    expected = probabilities.reshape(2, 2, 7).mean(axis=1)
    np.testing.assert_allclose(table.probabilities, expected, rtol=1e-6)


def test_frames_without_a_time_are_counted(tmp_path):
    frames = Moments(["a"], [0] * 3, [np.nan] * 3)
    write_phase_files(tmp_path / "x.npz", frames, np.arange(3), draw(3), model())
    assert read_predictions(tmp_path / "x_phases" / "a.csv").second.tolist() == [0, 1, 2]


def test_it_is_said_that_phases_need_time_and_classes_do_not():
    frames = Moments(["a", "b"], [0, 0, 1], [np.nan, np.nan, 0])
    (remark,) = remark_time(frames, np.arange(3), model())
    assert remark.startswith("time: unknown in a; phases need it")
    assert remark_time(frames, np.array([2]), model()) == []
    assert remark_time(frames, np.arange(3), model("tools", TOOLS)) == []


def test_tools_have_no_timeline(tmp_path):
    frames, tools = Moments(["a"], [0] * 3, [0, 1, 2]), model("tools", TOOLS)
    (folder,) = write_phase_files(tmp_path / "x.npz", frames, np.arange(3), draw(3), tools)
    assert [file.name for file in folder.iterdir()] == ["a.csv"]
    header = (folder / "a.csv").read_text().splitlines()[0]
    assert set(TOOLS) <= set(header.split(","))


@pytest.mark.parametrize("causal", [True, False])
def test_a_temporal_model_sees_one_frame_a_second(causal):
    """Two videos at two frames a second, one with a gap of two seconds."""
    temporal = TemporalModel(6, 7, num_layers=3, num_maps=8, causal=causal, seed=1)
    seconds = [*np.arange(0, 6, 0.5), 0, 1, 4, 5]
    frames = Moments(["a", "b"], [0] * 12 + [1] * 4, seconds)
    features = np.random.default_rng(0).normal(size=(16, 6)).astype(np.float32)
    parts = [features[:5], features[5:14], features[14:]]
    found = in_time(temporal, frames, np.arange(16), lambda: iter(parts), 7)
    first = temporal.probabilities(features[:12:2])
    np.testing.assert_allclose(found[:12], np.repeat(first, 2, axis=0), atol=1e-5)
    held = features[[12, 13, 13, 13, 14, 15]]
    np.testing.assert_allclose(found[12:], temporal.probabilities(held)[[0, 1, 4, 5]], atol=1e-5)


def test_the_temporal_model_lies_in_the_model(tmp_path):
    assert open_temporal(tmp_path) is None
    save_temporal(TemporalModel(6, 7, num_layers=2), tmp_path / "temporal")
    assert open_temporal(tmp_path).num_classes == 7


def test_time_must_not_run_backwards(tmp_path):
    frames = Moments(["a"], [0] * 3, [0, 2, 1])
    with pytest.raises(InputError, match="a: frames out of order in time"):
        check_phase_files(tmp_path / "x.npz", frames, "phases", TemporalModel(6, 7, num_layers=2))
    check_phase_files(tmp_path / "x.npz", frames, "phases", None)
