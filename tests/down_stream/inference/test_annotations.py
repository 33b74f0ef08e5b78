import itertools
import shutil

import numpy as np
import pytest

from data.annotation_writers.writing import WRITERS
from data.common.errors import InputError
from data.dataset.cholec80 import PHASES, TOOLS
from data.dataset.frame_index import load_index
from data.frames.listing import list_dataset, list_images, list_videos
from data.indexing.building import build_index
from down_stream.classifiers.frame_model import FrameModel, save_frame_model
from down_stream.inference import annotations
from down_stream.inference.annotations import LEAST, Wanted, find_intervals, smoothed
from down_stream.inference.embeddings import Options, embed
from down_stream.temporal.model import TemporalModel, save_temporal
from msn.encoders import save_encoder
from msn.networks.encoder import Encoder
from tests.data.indexing.test_building import write_frames
from tests.support.small_videos import write_video


def best_of_all(probabilities, least):
    """The likelihood of the best timeline, found by trying all."""
    n, classes = probabilities.shape
    likelihood = np.log(np.maximum(probabilities, LEAST))
    found = []
    for labels in itertools.product(range(classes), repeat=n):
        edges = [0, *(np.flatnonzero(np.diff(labels)) + 1), n]
        if np.diff(edges).min() >= least:
            found.append(likelihood[range(n), labels].sum())
    return max(found)


def test_the_most_likely_timeline_of_long_runs_is_found():
    random = np.random.default_rng(0)
    for _ in range(60):
        n, least = int(random.integers(3, 9)), int(random.integers(2, 4))
        probabilities = random.dirichlet([0.5] * 3, n)
        labels = smoothed(probabilities, least)
        edges = [0, *(np.flatnonzero(np.diff(labels)) + 1), n]
        assert np.diff(edges).min() >= min(least, n)
        found = np.log(np.maximum(probabilities, LEAST))[range(n), labels].sum()
        assert found == pytest.approx(best_of_all(probabilities, least))
    assert smoothed(probabilities, 1).tolist() == probabilities.argmax(axis=1).tolist()


def test_intervals_end_at_gaps_and_have_the_mean_probability():
    seconds = np.array([0, 1, 2, 3, 10, 11, 12.0])
    likely = np.array([0.9, 0.8, 0.1, 0.2, 0.3, 0.6, 0.7])
    both = np.stack([likely, 1 - likely], axis=1)
    found = find_intervals(seconds, both, 0, multi_label=False)
    assert [each[:3] for each in found] == [(0, 2, 0), (2, 4, 1), (10, 11, 1), (11, 13, 0)]
    np.testing.assert_allclose([each[3] for each in found], [0.85, 0.85, 0.7, 0.65])
    found = find_intervals(seconds, likely[:, None], 0, multi_label=True)
    assert [each[:3] for each in found] == [(0, 2, 0), (11, 13, 0)]
    (first, *_) = find_intervals(seconds, both, 8.0, multi_label=False)
    assert first[:2] == (0, 13)  # no gap is longer than an interval must be


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    encoder = Encoder(image_size=16, patch_size=8, width=12, depth=2, num_heads=3, seed=5)
    random = np.random.default_rng(0)
    for task, classes in (("phases", PHASES), ("tools", TOOLS)):
        model = FrameModel(encoder, classes, task, task == "tools", seed=0)
        model.set_weights(
            [
                w + random.normal(0, 0.5, w.shape) if w.shape[-1:] == (7,) else w
                for w in model.get_weights()
            ]
        )
        save_frame_model(model, folder / task, {})
    save_encoder(encoder, folder / "encoder", {})
    shutil.copytree(folder / "phases", folder / "temporal")
    save_temporal(
        TemporalModel(12, 7, num_layers=2, num_maps=8, seed=1), folder / "temporal" / "temporal"
    )
    return folder


def annotate(model, dataset, tmp_path, **wanted):
    """The probabilities of a model, a copy of the data set with its annotations, and remarks."""
    folder = tmp_path / "annotations"
    options = Options(annotations=Wanted(folder, **wanted))
    result = embed(model, list_dataset(dataset), tmp_path / "a.npz", options)
    assert folder in result.files
    with np.load(tmp_path / "a.npz") as table:
        probabilities = table["probabilities"]
    shutil.copytree(dataset / "frames", tmp_path / "copy" / "frames")
    shutil.copytree(folder, tmp_path / "copy" / "annotations")
    assert not build_index(tmp_path / "copy").problems
    return probabilities, load_index(tmp_path / "copy"), result.remarks


@pytest.mark.parametrize("form", WRITERS)
def test_the_model_s_own_labels_come_back(models, small_dataset, tmp_path, form):
    wanted = {"form": form, "min_seconds": 3}
    found, index, remarks = annotate(models / "phases", small_dataset, tmp_path, **wanted)
    expected = np.concatenate([smoothed(part, 3) for part in np.split(found, 4)])
    assert len(set(expected)) > 1
    assert [index.classes.phases[k] for k in index.phase] == [PHASES[k] for k in expected]
    assert any("each 3 s or longer by the whole video" in remark for remark in remarks)


def test_what_a_temporal_model_says_is_taken_as_it_is(models, small_dataset, tmp_path):
    found, index, remarks = annotate(models / "temporal", small_dataset, tmp_path)
    assert [index.classes.phases[k] for k in index.phase] == [
        PHASES[k] for k in found.argmax(axis=1)
    ]
    (remark,) = (remark for remark in remarks if remark.startswith("annotations"))
    assert remark.endswith("; temporal model, the past alone")


def test_tools_come_back_as_tools(models, small_dataset, tmp_path):
    found, index, _ = annotate(models / "tools", small_dataset, tmp_path, min_seconds=0)
    present = found > 0.5
    assert 0 < present.mean() < 1
    for place, tool in enumerate(TOOLS):
        if present[:, place].any():
            column = index.presence["tools"][:, index.classes.multi_label["tools"].index(tool)]
            np.testing.assert_array_equal(column, present[:, place])


@pytest.mark.parametrize("form", WRITERS)
def test_an_operation_in_several_files_has_its_labels_again(models, tmp_path, form):
    """No file of it has all: annotators are not led to its first one."""
    for part in (1, 2):
        write_video(tmp_path / "in" / f"op_part{part}.mp4", frames=150)
    frames = list_videos([tmp_path / "in"], join_parts=True)
    folder = tmp_path / "data" / "annotations"
    options = Options(annotations=Wanted(folder, form, min_seconds=0))
    result = embed(models / "phases", frames, tmp_path / "a.npz", options)
    said = any("; op: no single video file that could be linked" in r for r in result.remarks)
    assert said == (form != "csv")
    for file in folder.iterdir():
        assert "op_part1" not in file.read_text()
    write_frames(tmp_path / "data", "op", range(1, 13))
    assert not build_index(tmp_path / "data").problems
    index = load_index(tmp_path / "data")
    with np.load(tmp_path / "a.npz") as table:
        expected = table["probabilities"].argmax(axis=1)
    assert [index.classes.phases[k] for k in index.phase] == [PHASES[k] for k in expected]


def test_what_somebody_edits_while_frames_are_embedded_is_not_lost(
    models, small_dataset, tmp_path, monkeypatch
):
    options = Options(annotations=Wanted(tmp_path / "annotations"))
    frames = list_dataset(small_dataset)
    assert not embed(models / "phases", frames, tmp_path / "a.npz", options).faults
    (tmp_path / "a.npz").unlink()
    edited = tmp_path / "annotations" / "video01.csv"

    def edit_and_find(*arguments):
        edited.write_text("video,start,end,phase\nvideo01,0,4,Preparation\n")
        return find_intervals(*arguments)

    monkeypatch.setattr(annotations, "find_intervals", edit_and_find)
    result = embed(models / "phases", frames, tmp_path / "a.npz", options)
    (fault,) = result.faults
    assert "video01.csv: not what inference has written there, and would be lost" in fault
    assert edited.read_text().endswith("video01,0,4,Preparation\n")
    assert (tmp_path / "a.npz").is_file()


def test_without_classes_or_time_nothing_is_begun(models, small_dataset, tmp_path):
    options = Options(annotations=Wanted(tmp_path / "annotations"))
    with pytest.raises(InputError, match="an encoder predicts no classes; expected --model_path"):
        embed(models / "encoder", list_dataset(small_dataset), tmp_path / "a.npz", options)
    shutil.copytree(small_dataset / "frames" / "video01", tmp_path / "images")
    for number, file in enumerate((tmp_path / "images").iterdir()):
        file.rename(file.with_name(f"{'abcdefghijklmnopq'[number]}.png"))
    with pytest.raises(InputError, match="time is unknown in"):
        embed(models / "phases", list_images(tmp_path / "images"), tmp_path / "a.npz", options)
    assert not (tmp_path / "annotations").exists()
