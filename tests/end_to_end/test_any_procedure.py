"""Procedures that are not Cholec80's, from frames and a typed table through all commands."""

import csv
import json

import cv2
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from data.dataset.frame_index import load_index
from data.frames.listing import list_dataset
from data.indexing.building import build_index
from data.tfds_builder import EndoscopicFrames, FramesConfig
from down_stream.classifiers.frame_model import load_frame_model
from down_stream.experiment import run
from down_stream.inference.embeddings import Options, embed
from down_stream.inference.phase_stream import label_stream
from down_stream.metrics.predictions import read_predictions
from msn.training.knn_probe import KnnProbe
from tests.support.small_dataset import draw_frame
from tests.support.small_phases import small_config

pytestmark = pytest.mark.usefixtures("eager")

PROCEDURES = {
    4: ("Zugang", "Präparation", "Naht", "Rückzug"),
    11: (
        *("導入", "剥離", "結紮", "切除", "止血"),
        *("洗浄", "吸引", "縫合", "確認", "抜去", "閉創"),
    ),
    21: tuple(f"Step {chr(65 + n)}, {'posterior ' * (n % 3)}dissection" for n in range(21)),
}


def make_dataset(root, phases, fps):
    """Four videos of a second and more for each phase, three tools as intervals."""
    rows, tools = ["video;start;end;phase"], ["video;start;end;tool"]
    for number in range(1, 5):
        video, start = f"op{number}", 0.0
        for place, phase in enumerate(phases):
            rows.append(f"{video};{start:g};{start + 1.6:g};{phase}")
            if place % 2:
                tools.append(
                    f"{video};{start:g};{start + 1.6:g};{('Säge', 'Clip')[place // 2 % 2]}"
                )
            start += 1.6
        folder = root / "frames" / video
        folder.mkdir(parents=True)
        for frame in range(round(start * fps)):
            image = draw_frame(int(frame / fps / 1.6) % 7, 1000 * number + frame)
            cv2.imwrite(str(folder / f"{video}_{frame + 1:06d}.png"), image[..., ::-1])
    (root / "frames" / "extraction.json").write_text(json.dumps({"fps": fps, "videos": {}}))
    (root / "annotations").mkdir()
    (root / "annotations" / "phases.csv").write_text("\n".join(rows) + "\n", "utf-16")
    (root / "annotations" / "tools.csv").write_text("\n".join(tools) + "\n", "utf-8")
    return build_index(root)


def config_of(root, **changes):
    config = small_config(root, mode="logistic", **changes)
    config.train_videos, config.validation_videos = ("op1", "op2"), ("op3",)
    config.test_videos = ("op4",)
    config.tecno.update(epochs=1, num_layers=2, num_maps=4)
    return config


@pytest.fixture(scope="module", params=[(4, 5.0), (11, 1.0), (21, 2.5)], ids=str)
def procedure(request, tmp_path_factory, eager):
    """(dataset, its phases, its rate, directory and results of an experiment)."""
    number, fps = request.param
    root = tmp_path_factory.mktemp("data") / "clinic"
    audit = make_dataset(root, PROCEDURES[number], fps)
    assert audit.problems == []
    workdir = root.parent / "run"
    return root, PROCEDURES[number], fps, workdir, run(config_of(root, temporal="tecno"), workdir)


def test_labels_are_those_of_the_table(procedure):
    root, phases, fps, _, _ = procedure
    index = load_index(root).select(["op2"])
    assert index.classes.phases == phases
    assert index.classes.multi_label == {"tools": ("Säge", "Clip")}
    seconds = (index.frame - 1) / fps
    assert index.phase.tolist() == [int((second + 1e-9) / 1.6) for second in seconds]
    assert (index.tools.sum(axis=1) == index.phase % 2).all()


def test_predictions_and_scores_are_of_these_phases_at_this_rate(procedure):
    _, phases, fps, workdir, results = procedure
    for name in ("predictions.csv", "predictions_tecno.csv"):
        table = read_predictions(workdir / name)
        assert table.classes == phases
        np.testing.assert_allclose(table.second, np.arange(len(table.second)) / fps, atol=1e-3)
        assert (table.second.dtype == np.int64) == (fps == 1)
    assert set(results["metrics"]) == {"video", "frame", "phase"}, "relaxed is for Cholec80 alone"
    assert set(results["metrics"]["phase"]["per_phase"]) == set(phases)
    with (workdir / "predictions_tecno.csv").open() as file:
        rows = list(csv.DictReader(file))
    of_second = {}
    for row in rows:  # the frames of a second have the answer of its first
        same = of_second.setdefault(int(float(row["second"])), row["prediction"])
        assert same == row["prediction"]
    assert cv2.imread(str(workdir / "phase_timeline.png")).std() > 10
    page = (workdir / "report.html").read_text()
    assert all(phase in page for phase in phases)


def test_a_model_and_a_dataset_are_joined_by_name(procedure, tmp_path):
    """The same operations, their phases numbered in another order."""
    root, phases, fps, workdir, _ = procedure
    other = tmp_path / "other"
    (other / "annotations").mkdir(parents=True)
    (other / "frames").symlink_to(root / "frames")
    (other / "phases.txt").write_text("\n".join(reversed(phases)) + "\n")
    text = (root / "annotations" / "phases.csv").read_text("utf-16")
    (other / "annotations" / "phases.csv").write_text(text)
    build_index(other)
    assert load_index(other).classes.phases == phases[::-1]
    output = tmp_path / "x.npz"
    model = workdir / "model"
    embed(model, list_dataset(other), output, Options(map=tmp_path / "map.html"))
    with np.load(output) as table:
        assert tuple(table["classes"].tolist()) == phases
        assert table["probabilities"].shape[1] == len(phases)
    rows = read_predictions(tmp_path / "x_phases" / "op4.csv")
    firsts = (
        np.ceil(rows.second * fps) / fps
    )  # a row is a second, its label that of its first frame
    assert rows.label.tolist() == [int(second / 1.6 + 1e-9) for second in firsts]
    assert load_frame_model(model).classes == phases
    assert json.dumps(phases[0]) in (tmp_path / "map.html").read_text()


def test_a_running_video_is_labelled_with_these_names(procedure, tmp_path):
    _, phases, _, workdir, _ = procedure
    writer = cv2.VideoWriter(str(tmp_path / "v.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 64))
    for frame in range(30):
        writer.write(cv2.resize(draw_frame(frame // 10, frame), (64, 64)))
    writer.release()
    said = []
    result = label_stream(
        workdir / "model", str(tmp_path / "v.mp4"), tmp_path / "s.npz", 5.0, said.append
    )
    with result.file.open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["second"]) for row in rows[:3]] == [0, 0.2, 0.4]
    assert set(phases) < set(rows[0])
    assert {row["prediction"] for row in rows} <= set(phases)
    assert said


def test_tools_and_neighbours_and_tensorflow_datasets(procedure, tmp_path):
    root, phases, fps, workdir, _ = procedure
    results = run(config_of(root, task="tools"), tmp_path / "tools")
    assert set(results["metrics"]["tool"]["per_class"]) == {"Säge", "Clip"}
    encoder = load_frame_model(workdir / "model").encoder
    represent = tf.function(encoder.represent, autograph=False)
    sizes = {"image_size": encoder.image_size, "max_frames": 40}
    for task, score in (("", "knn_accuracy"), ("tools", "knn_average_precision")):
        probe = KnnProbe(represent, [root], task, ["op1", "op2"], ["op4"], seen=(), **sizes)
        assert 0 <= probe()[score] <= 1
    builder = EndoscopicFrames(config=FramesConfig(root=str(root)), data_dir=str(tmp_path / "tfds"))
    builder.download_and_prepare()
    stored = tfds.builder_from_directory(str(builder.data_dir))
    assert stored.info.features["phase"].names == [*phases, "unknown"]
    example = next(iter(tfds.as_numpy(stored.as_dataset(split="test"))))
    assert example["tools"].shape == (2,)
    assert example["second"] == pytest.approx((example["frame"] - 1) / fps)
