import json
import os
import shutil
import signal

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from data.batches.batches import embed_batches
from data.common.errors import InputError
from data.common.stopping import StoppedError, ended_by_signals
from data.common.summary import version
from data.dataset.cholec80 import PHASES
from data.dataset.frame_index import load_index
from data.extraction.extracting import extract_frames
from data.frames.listing import list_dataset, list_images, list_videos
from data.images.image_io import RESIZE_RULE, frame_to_input, read_image
from data.tfrecords.files import find_records
from down_stream.classifiers.frame_model import FrameModel, save_frame_model
from down_stream.features.cache import VERSION, fingerprint
from down_stream.inference import embeddings
from down_stream.inference.embeddings import Options, embed
from down_stream.inference.options import check_model
from down_stream.inference.result import describe
from down_stream.temporal.model import TemporalModel, load_temporal, save_temporal
from msn.encoders import save_encoder
from msn.networks.encoder import Encoder
from tests.support.small_records import write_records
from tests.support.small_videos import write_video

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    encoder = Encoder(image_size=16, patch_size=8, width=12, depth=2, num_heads=3, seed=5)
    folder = tmp_path_factory.mktemp("models")
    model = FrameModel(encoder, PHASES, seed=0)
    save_encoder(encoder, folder / "encoder", {})
    save_frame_model(model, folder / "model", {})
    shutil.copytree(folder / "model", folder / "temporal_model")
    temporal = TemporalModel(encoder.width, 7, num_layers=3, num_maps=8, seed=1)
    save_temporal(temporal, folder / "temporal_model" / "temporal")
    return encoder, folder


def load(path):
    with np.load(path, allow_pickle=False) as table:
        return dict(table)


def run(model, frames, output, **options):
    result = embed(model, frames, output, Options(**options))
    return load(output), result


def test_one_row_a_frame_in_any_batch_size(models, small_dataset, tmp_path):
    encoder, folder = models
    frames = list_images(small_dataset / "frames")
    table, result = run(folder / "encoder", frames, tmp_path / "deep" / "a.npz", batch_size=9)
    assert result.shape == table["embeddings"].shape == (56, 12)
    assert table["embeddings"].dtype == np.float32
    index = load_index(small_dataset)
    assert table["path"].tolist() == index.paths(np.arange(56))
    np.testing.assert_array_equal(table["second"], index.second)
    assert table["video"].tolist() == [index.videos[video] for video in index.video]
    images = np.stack([frame_to_input(read_image(path), 16) for path in table["path"]])
    np.testing.assert_allclose(table["embeddings"], encoder(images)[1], atol=1e-4)
    for size in (1, 56):
        other, _ = run(folder / "encoder", frames, tmp_path / f"{size}.npz", batch_size=size)
        np.testing.assert_allclose(other["embeddings"], table["embeddings"], atol=1e-4)
    assert sorted(file.name for file in (tmp_path / "deep").iterdir()) == ["a.npz", "a.npz.parts"]
    metadata = json.loads(str(table["metadata"]))
    assert metadata["model"] == str(folder / "encoder")
    assert metadata["fingerprint"] == fingerprint(encoder)
    assert metadata["fps"] == 1.0
    assert metadata["version"] == version()


def test_video_png_and_record_give_the_same(models, tmp_path):
    video = write_video(tmp_path / "videos" / "video01.mp4", frames=150)
    extract_frames([video], tmp_path / "frames", format="png")
    (tmp_path / "records").mkdir()
    record = tmp_path / "records" / "video01.tfrecord"
    pngs = sorted((tmp_path / "frames" / "video01").iterdir())
    write_records(record, range(6), images=[file.read_bytes() for file in pngs])
    assert find_records(tmp_path / "records")
    tables = [
        run(models[1] / "encoder", frames, tmp_path / f"{name}.npz", batch_size=4)[0]
        for name, frames in (
            ("video", list_videos([video])),
            ("png", list_images(tmp_path / "frames")),
            ("record", list_dataset(tmp_path / "records")),
        )
    ]
    assert np.ptp(tables[0]["embeddings"], axis=0).max() > 1e-3
    for table in tables[1:]:
        np.testing.assert_allclose(table["embeddings"], tables[0]["embeddings"], atol=1e-4)
        for column in ("video", "second"):
            np.testing.assert_array_equal(table[column], tables[0][column])


def test_parquet_holds_what_npz_does(models, small_dataset, tmp_path):
    frames = list_images(small_dataset / "frames" / "video01")
    whole, _ = run(models[1] / "model", frames, tmp_path / "a.npz", tokens="all")
    embed(models[1] / "model", frames, tmp_path / "a.parquet", Options(tokens="all"))
    table = pq.read_table(tmp_path / "a.parquet")
    assert json.loads(table.schema.metadata[b"classes"]) == whole.pop("classes").tolist()
    assert table.schema.metadata[b"metadata"].decode() == str(whole.pop("metadata"))
    assert table.column_names == list(whole)
    for name, values in whole.items():
        np.testing.assert_array_equal(np.array(table[name].to_pylist(), values.dtype), values)


def test_unreadable_frames_are_named_and_left_out(models, small_dataset, tmp_path):
    folder = shutil.copytree(small_dataset / "frames" / "video01", tmp_path / "video01")
    (folder / "video01_000004.png").write_bytes(b"")
    (folder / "notes.txt").write_text("x")
    table, result = run(models[1] / "encoder", list_images(folder), tmp_path / "a.npz")
    assert len(table["path"]) == 13
    assert 3 not in table["second"]
    (fault,) = result.faults
    assert "video01_000004.png: empty" in fault
    assert result.passed_over == 1
    text = describe(result)
    assert "[13, 12]" in text
    assert "passed over     1 files" in text
    assert text.endswith(f"unreadable, all or in part (1):\n  {fault}")
    for file in folder.glob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(InputError, match="none of the 14 frames can be read"):
        run(models[1] / "encoder", list_images(folder), tmp_path / "b.npz")
    assert not list(tmp_path.glob("b.npz*"))


class Killed(BaseException):
    pass


def kill_after(monkeypatch, parts, kill=None):
    """Every batch is a part; after some of them the run dies, or `kill` is called."""
    monkeypatch.setattr(embeddings, "PART_SECONDS", 0.0)
    original, made = embeddings.Parts.add, []

    def add(self, *arguments):
        original(self, *arguments)
        made.append(arguments)
        if len(made) == parts:
            if kill is None:
                raise Killed
            kill()

    monkeypatch.setattr(embeddings.Parts, "add", add)
    return made


def test_a_killed_run_goes_on_and_ends_with_the_same(models, small_dataset, tmp_path, monkeypatch):
    root = shutil.copytree(small_dataset, tmp_path / "data")
    (root / "frames" / "video01" / "video01_000003.png").write_bytes(b"")
    options = {"batch_size": 5, "map": tmp_path / "map.html"}
    expected, _ = run(models[1] / "encoder", list_dataset(root), tmp_path / "whole.npz", **options)
    page = (tmp_path / "map.html").read_text()
    with monkeypatch.context() as patch:
        kill_after(patch, 4)
        with pytest.raises(Killed):
            run(models[1] / "encoder", list_dataset(root), tmp_path / "a.npz", **options)
    assert not (tmp_path / "a.npz").exists()
    with pytest.raises(InputError, match=r"a\.npz: made with tokens None, not 'mean'; expected"):
        run(models[1] / "encoder", list_dataset(root), tmp_path / "a.npz", **options, tokens="mean")
    table, result = run(models[1] / "encoder", list_dataset(root), tmp_path / "a.npz", **options)
    assert 14 < result.before < 56
    assert result.frames == 56 - result.before
    assert len(result.faults) == 1
    assert "frames were there" in describe(result)
    for name, values in expected.items():
        np.testing.assert_array_equal(table[name], values)
    assert (tmp_path / "map.html").read_text() == page


def test_sigterm_keeps_what_was_embedded(models, small_dataset, tmp_path, monkeypatch):
    model, frames = models[1] / "encoder", list_dataset(small_dataset)
    expected, _ = run(model, frames, tmp_path / "whole.npz", batch_size=5)
    with monkeypatch.context() as patch:
        kill_after(patch, 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(StoppedError, match="after frame 10"), ended_by_signals(""):
            run(model, frames, tmp_path / "a.npz", batch_size=5)
    table, result = run(model, frames, tmp_path / "a.npz", batch_size=5)
    assert result.before == 10
    np.testing.assert_array_equal(table["embeddings"], expected["embeddings"])


def test_a_changed_model_is_not_gone_on_with(models, small_dataset, tmp_path, monkeypatch):
    model = shutil.copytree(models[1] / "encoder", tmp_path / "encoder")
    frames = list_images(small_dataset / "frames")
    with monkeypatch.context() as patch:
        kill_after(patch, 1)
        with pytest.raises(Killed):
            run(model, frames, tmp_path / "a.npz")
    (model / "encoder.weights.h5").touch()
    before = run(model, frames, tmp_path / "a.npz")[1].before
    assert before > 0
    save_encoder(Encoder(**models[0].get_config() | {"seed": 6}), model, {})
    with pytest.raises(InputError, match=r"a\.npz: made with model '.*', not '.*'; expected"):
        run(model, frames, tmp_path / "a.npz")


def test_frames_that_were_read_otherwise_are_not_gone_on_with(models, small_dataset, tmp_path):
    """Nor where a table does not say how: it is of before that was asked."""
    frames, output = list_images(small_dataset / "frames" / "video01"), tmp_path / "a.npz"
    run(models[1] / "encoder", frames, output)
    note = tmp_path / "a.npz.parts" / "made_with.json"
    made_with = json.loads(note.read_text())
    assert made_with["frames"] == f"{VERSION} {RESIZE_RULE}"
    before = {name: value for name, value in made_with.items() if name != "frames"}
    for other in (made_with | {"frames": "0 nearest"}, before):
        note.write_text(json.dumps(other))
        with pytest.raises(InputError, match=r"a\.npz: made with frames .*, not .*; expected"):
            run(models[1] / "encoder", frames, output)


def test_layers_and_tokens(models, small_dataset, tmp_path):
    encoder, folder = models
    frames = list_images(small_dataset / "frames" / "video01")
    images = np.stack([frame_to_input(read_image(path), 16) for path in frames.paths(range(14))])
    blocks = encoder.backbone.last_blocks(encoder.preprocess(images), 2)
    blocks = np.concatenate([np.asarray(block) for block in blocks], axis=-1)
    expected = {
        ("cls", 2): blocks[:, 0],
        ("mean", 2): blocks[:, 1:].mean(axis=1),
        ("all", 2): blocks,
        ("mean", 1): blocks[:, 1:, 12:].mean(axis=1),
    }
    for (tokens, layers), values in expected.items():
        output = tmp_path / f"{tokens}{layers}.npz"
        table, _ = run(folder / "encoder", frames, output, tokens=tokens, layers=layers)
        np.testing.assert_allclose(table["embeddings"], values, atol=1e-4)
    for wrong in (0, 99):
        with pytest.raises(InputError, match=f"layers={wrong}"):
            run(folder / "encoder", frames, tmp_path / "a.npz", layers=wrong)


def test_a_temporal_model_labels_the_frames(models, small_dataset, tmp_path):
    """Whatever tokens are kept, it sees CLS; a missing frame is held over."""
    for video in ("video02", "video03"):
        shutil.copytree(small_dataset / "frames" / video, tmp_path / "frames" / video)
    (tmp_path / "frames" / "video02" / "video02_000006.png").write_bytes(b"")
    frames = list_images(tmp_path / "frames")
    table, result = run(models[1] / "temporal_model", frames, tmp_path / "a.npz", tokens="mean")
    plain, _ = run(models[1] / "model", frames, tmp_path / "b.npz")
    assert any("temporal" in remark for remark in result.remarks)
    temporal = load_temporal(models[1] / "temporal_model" / "temporal")
    for video in frames.videos:
        places = np.flatnonzero(table["video"] == video)
        seconds = table["second"][places].astype(int)
        held = np.searchsorted(seconds, np.arange(14), side="right") - 1
        expected = temporal.probabilities(plain["embeddings"][places][held])[seconds]
        np.testing.assert_allclose(table["probabilities"][places], expected, atol=1e-4)


def test_batches_say_where_they_end_and_what_was_unreadable(tmp_path, models):
    for number in range(1, 8):
        assert cv2.imwrite(str(tmp_path / f"op_{number}.png"), np.zeros((8, 8, 3), np.uint8))
    for number in (4, 7):
        (tmp_path / f"op_{number}.png").write_bytes(b"x")
    frames, function = list_images(tmp_path), lambda images: {"embeddings": images[:, 0, 0]}
    batches = list(embed_batches(function, frames, 16, 2))
    assert [batch.rows.tolist() for batch in batches] == [[0, 1], [2, 4], [5]]
    assert [batch.stop for batch in batches] == [2, 5, 7]
    assert [[fault.row for fault in batch.faults] for batch in batches] == [[], [3], [6]]
    (batch,) = embed_batches(function, frames, 16, 2, 3, 5)
    assert (batch.rows.tolist(), batch.stop) == ([4], 5)
    assert [len(batch.outputs["embeddings"]) for batch in batches] == [2, 2, 1]


def test_an_experiment_that_has_no_model_says_why(tmp_path):
    """As that of features that were computed elsewhere."""
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(InputError, match=r"the experiment in .* has no model: .* elsewhere"):
        check_model(tmp_path / "model", {})
