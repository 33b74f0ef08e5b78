import csv
import shutil
import time

import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.cholec80 import PHASES, TOOLS
from data.images.image_io import frame_to_input
from data.video.decoding import read_frames
from down_stream.classifiers.frame_model import FrameModel, save_frame_model
from down_stream.inference.phase_stream import (
    StreamResult,
    camera_frames,
    label_stream,
    sampled,
    summary,
)
from down_stream.temporal.model import TemporalModel, save_temporal
from msn.networks.encoder import Encoder
from tests.support.encoded_videos import encode
from tests.support.rtsp_server import RtspServer
from tests.support.small_videos import draw_number, read_number, write_video

TINY = {"image_size": 16, "patch_size": 8, "width": 12, "depth": 1, "num_heads": 3, "seed": 0}


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "op.mp4", frames=500)


@pytest.fixture(scope="module")
def model(video, tmp_path_factory):
    """A frame model with strong and changing opinions, without and with a temporal model."""
    folder = tmp_path_factory.mktemp("models")
    model = FrameModel(Encoder(**TINY), PHASES, seed=0)
    features = features_of(model, video)
    model.feature_mean.assign(features.mean(axis=0))
    model.feature_std.assign(0.01 * features.std(axis=0))
    save_frame_model(model, folder / "frame", {})
    shutil.copytree(folder / "frame", folder / "temporal")
    temporal = TemporalModel(12, 7, num_layers=3, num_maps=8, seed=1)
    save_temporal(temporal, folder / "temporal" / "temporal")
    return folder, model, temporal


def read(path):
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    values = np.array([row[2:] for row in rows], np.float32)
    return header, [float(row[0]) for row in rows], [row[1] for row in rows], values


def features_of(model, video, fps=1.0):
    images = np.stack([frame_to_input(image, 16) for _, image in read_frames(video, fps)])
    return np.asarray(model.encoder.represent(images))


def test_each_frame_by_itself(model, video, tmp_path):
    folder, frame_model, _ = model
    said = []
    result = label_stream(folder / "frame", str(video), tmp_path / "x.npz", 2.0, said.append)
    header, seconds, phases, values = read(tmp_path / "x_phases" / "op_stream.csv")
    assert header == ["second", "prediction", *PHASES]
    assert seconds == [n / 2 for n in range(40)]
    expected = frame_model.probabilities(features_of(frame_model, video, 2.0))
    np.testing.assert_allclose(values, expected, atol=1e-4)
    assert phases == [PHASES[k] for k in values.argmax(axis=1)]
    changes = [n for n in range(40) if n == 0 or phases[n] != phases[n - 1]]
    assert 1 < len(changes) < 40
    assert [line.split()[:2] for line in said] == [
        [f"0:{int(seconds[n]):02d}", phases[n]] for n in changes
    ]
    assert result.frames == sum(result.latency.values()) == 40
    assert "40 frames, 0:19 of video" in summary(result)


def test_a_temporal_model_labels_as_it_does_the_whole_video(model, video, tmp_path):
    folder, frame_model, temporal = model
    result = label_stream(
        folder / "temporal", str(video), tmp_path / "x.npz", say=lambda line: None
    )
    assert "the past alone" in summary(result)
    values = read(result.file)[3]
    expected = temporal.probabilities(features_of(frame_model, video))
    np.testing.assert_allclose(values, expected, atol=1e-4)


def test_what_is_said_does_not_depend_on_later_frames(model, video, tmp_path):
    folder, *_ = model
    short = write_video(tmp_path / "short.mp4", frames=250)
    whole, begin = (
        read(label_stream(folder / "temporal", str(file), tmp_path / "x.npz", say=str).file)[3]
        for file in (video, short)
    )
    np.testing.assert_allclose(whole[:10], begin, atol=1e-5)


def test_a_video_that_is_cut_off(model, video, tmp_path):
    whole = write_video(tmp_path / "whole.avi", frames=300, codec="XVID").read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) // 2])
    source = str(tmp_path / "cut.avi")
    result = label_stream(model[0] / "frame", source, tmp_path / "x.npz", say=str)
    assert 2 < result.frames < 10
    assert "cut.avi: cut off" in summary(result)


class Camera:
    """25 frames a second by the wall's clock, for 0.4 s."""

    def __init__(self):
        self.started, self.number = time.monotonic(), 0

    def grab(self):
        self.number += 1
        time.sleep(max(0, self.started + self.number / 25 - time.monotonic()))
        return self.number <= 10

    def retrieve(self):
        return True, draw_number(self.number)


def test_of_a_camera_the_newest_frame_is_taken():
    found = [(second, read_number(image)) for second, image in sampled(Camera(), fps=10)]
    late = [number - due for (_, number), due in zip(found, [1, 4, 6, 9], strict=True)]
    assert set(late) <= {0, 1}  # one frame, where the machine is busy
    assert all(second >= n / 10 for n, (second, _) in enumerate(found))


def test_latency_is_told_in_shares():
    result = StreamResult(None)
    result.latency.update({10: 50, 20: 45, 1000: 5})
    assert result.latency_at(0.5) == pytest.approx(0.0011)
    assert result.latency_at(0.95) == pytest.approx(0.0021)


def test_wrong_input_is_named(model, video, tmp_path):
    save_frame_model(
        FrameModel(Encoder(**TINY), TOOLS, task="tools", multi_label=True), tmp_path / "tools", {}
    )
    for path, source, named in (
        (tmp_path, str(video), "expected the model/ of an experiment"),
        (tmp_path / "tools", str(video), "a model of tools"),
        (model[0] / "frame", str(tmp_path / "nowhere.mp4"), "nowhere.mp4"),
    ):
        with pytest.raises(InputError, match=named):
            label_stream(path, source, tmp_path / "x.npz")
    with pytest.raises(InputError, match="camera 97: cannot be opened"):
        next(camera_frames(97, 1.0))


def test_a_stream_whose_server_goes_away(model, tmp_path, monkeypatch):
    """What came before is in the table, and the remark says where it ended."""
    monkeypatch.setattr("down_stream.inference.network.ATTEMPTS", 1)
    video = encode(tmp_path / "op.h264", frames=100, g="25", bf="0", tune="zerolatency")
    server = RtspServer(video, [(0, 100, "close")])
    result = label_stream(model[0] / "frame", server.url, tmp_path / "x.npz", 1.0, print)
    server.shutdown()
    server.server_close()
    _, seconds, _, _ = read(tmp_path / "x_phases" / "live_stream.csv")
    assert [round(second) for second in seconds] == [0, 1, 2, 3]
    assert "after second 4; 1 attempts to connect again failed" in result.fault
    assert "remark          rtsp://127.0.0.1:" in summary(result)
