"""Data, runs and encoders on an object store: a real S3 server."""

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import safetensors.numpy

from data.common.errors import InputError
from data.common.stopping import StoppedError, ended_by_signals
from data.dataset.frame_index import load_index
from data.dataset.index_columns import INDEX
from data.frames.opening import open_source
from data.images.image_io import frame_to_input, read_image
from data.storage.folders import copy_folder, remove_folder
from data.tfrecords.packing import pack_frames
from msn import encoders
from msn.formats import hugging_face, reference_names
from msn.formats.saved_model import FrozenEncoder
from msn.networks.encoder import Encoder
from msn.pretrain import kept_patches, pretrain
from msn.training.initialisation import open_pretrained, origin_of
from msn.workdir import checkpoint_files
from tests.data.frames.test_opening import write_tfds
from tests.support.forked_commands import call
from tests.support.object_store import new_place
from tests.support.places import ROOT
from tests.support.record_files import write_records
from tests.support.run_directories import metrics_in
from tests.support.small_msn import small_config

TINY = {"image_size": 16, "patch_size": 4, "width": 192, "depth": 1, "num_heads": 3}
IMAGES = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
SPEED = ("images_per_second", "waiting_for_input")


@pytest.fixture(scope="module")
def remote_dataset(s3, small_dataset):
    root = new_place() / "cholec80"
    copy_folder(small_dataset, root, last=INDEX)
    return root


def newest(workdir):
    return checkpoint_files.checkpoints(workdir / "checkpoints")[-1]


def state_of(path):
    return safetensors.numpy.load(path.read_bytes())


def lines(workdir):
    rows = metrics_in(workdir)
    return [{key: value for key, value in row.items() if key not in SPEED} for row in rows]


@pytest.mark.filterwarnings("ignore:Even though")  # tf.data is never run eagerly
def test_a_remote_run_that_was_cut_off_ends_as_a_local_one(
    small_dataset, remote_dataset, eagerly, tmp_path, caplog, monkeypatch
):
    caplog.set_level("INFO")
    assert pretrain(small_config(small_dataset), tmp_path / "run")
    config, workdir = small_config(remote_dataset), new_place() / "runs" / "x"

    # Stopped by SIGTERM after a step without a checkpoint.
    steps = []

    def interrupted(*arguments):
        steps.append(arguments)
        if len(steps) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return kept_patches(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("msn.pretrain.kept_patches", interrupted)
        with pytest.raises(StoppedError, match="SIGTERM after step 5"), ended_by_signals(""):
            pretrain(config, str(workdir))
    assert "cannot be locked" in caplog.text
    found = sorted(path.name for path in (workdir / "checkpoints").iterdir())
    whole = [f"step_{step:08d}" for step in (2, 4, 5)]
    assert found == [name + end for name in whole for end in (".done", ".safetensors")]

    # Killed while the newest was written, and the one before is damaged.
    checkpoint_files.marker_of(newest(workdir)).unlink()
    damaged = newest(workdir)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    caplog.clear()
    assert pretrain(config, str(workdir))
    assert "step_00000005.safetensors: has no step_00000005.done" in caplog.text
    assert "step_00000004.safetensors: damaged checkpoint" in caplog.text
    assert "from step 2" in caplog.text

    ours, theirs = (state_of(newest(folder)) for folder in (workdir, tmp_path / "run"))
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-6)
    assert [row["step"] for row in lines(workdir)] == [2, 4, 6]
    for row, other in zip(lines(workdir), lines(tmp_path / "run"), strict=True):
        assert row == pytest.approx(other, rel=1e-4, abs=1e-6)
    names = {path.name for path in workdir.iterdir()}
    files = {"config.json", "metrics.jsonl", "videos.json"}
    assert names == files | {"checkpoints", "encoder", "events"}

    # The encoder opens, trainable and frozen, and another run begins from it.
    encoder = encoders.load_encoder(f"{workdir}/encoder")
    expected = encoders.load_encoder(tmp_path / "run" / "encoder")
    for value, other in zip(encoder.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(value, other)
    frozen = encoders.load_encoder(f"{workdir}/encoder/saved_model")
    np.testing.assert_allclose(frozen(IMAGES)[1], encoder(IMAGES)[1], atol=1e-5)
    assert open_pretrained(workdir / "encoder", {}).get_config() == encoder.get_config()
    assert origin_of(workdir / "encoder")["source"]["data"] == [str(remote_dataset)]


def test_checkpoints_that_all_lack_their_markers_are_not_overwritten(
    remote_dataset, eagerly, tmp_path, caplog
):
    workdir = new_place() / "run"
    config = small_config(remote_dataset, steps=0, on_nan="rollback")
    assert pretrain(config, workdir)
    checkpoint_files.marker_of(newest(workdir)).unlink()
    with pytest.raises(InputError, match="none of 1 checkpoints can be used"):
        pretrain(config, workdir)
    assert "has no step_00000000.done" in caplog.text


@pytest.mark.parametrize("kind", ["images", "packed", "records", "tfds"])
def test_frames_are_those_of_the_local_files(kind, s3, small_dataset, tmp_path):
    root = small_dataset
    if kind == "records":
        write_records(load_index(small_dataset), root := tmp_path / "records")
    if kind == "packed":
        root = shutil.copytree(small_dataset, tmp_path / "packed")
        pack_frames(root, 1)
        shutil.rmtree(root / "frames")
    if kind == "tfds":
        root = write_tfds(load_index(small_dataset), tmp_path / "tfds")
    remote = new_place() / "data"
    copy_folder(root, remote, last=next(path.name for path in root.iterdir() if path.is_file()))
    for _ in range(2):  # the second time, tables that were kept are read
        ours, theirs = (open_source(kind, str(place), ("video02",)) for place in (remote, root))
        assert ours.videos == theirs.videos == ("video01", "video03", "video04")
        assert len(ours) == len(theirs) == 42
        for row in (0, 20, 41):
            np.testing.assert_array_equal(ours.read(row), theirs.read(row))
            assert ours.seconds(row) == theirs.seconds(row)
            assert ours.name(row) == theirs.name(row).replace(str(root), str(remote))


def test_arrow_opens_a_copy_of_an_index_itself(remote_dataset, monkeypatch):
    """A file that Python has opened may be let go of as late as when the interpreter ends."""
    opened, real = [], pq.ParquetFile

    def spy(source, **arguments):
        opened.append(source)
        return real(source, **arguments)

    monkeypatch.setattr(pq, "ParquetFile", spy)
    assert len(load_index(remote_dataset)) == 56
    (source,) = opened
    assert isinstance(source, Path) and not source.exists(), "the copy is gone"


def test_a_frame_that_is_gone_is_skipped(small_dataset, remote_dataset, caplog):
    remote = new_place() / "data"
    copy_folder(small_dataset, remote, last=INDEX)
    remove_folder(remote / "frames" / "video01")
    source = open_source("images", remote)
    with pytest.raises(FileNotFoundError):
        source.read(0)
    with pytest.raises(InputError, match="16 frames in a row cannot be read"):
        remove_folder(remote / "frames")
        pretrain(small_config(remote), new_place() / "run")


@pytest.mark.parametrize("kind", ["hf", "timm", "msn", "frozen"])
def test_encoders_of_other_formats_open(kind, s3, tmp_path):
    encoder, remote = Encoder(**TINY, seed=3), new_place() / "encoder"
    if kind == "hf":
        hugging_face.write_directory(encoder, tmp_path / "hf")
        copy_folder(tmp_path / "hf", remote, last="config.json")
    elif kind == "timm":
        hugging_face.write_timm(encoder, tmp_path / "timm")
        remote.write_bytes((tmp_path / "timm").read_bytes())
    elif kind == "msn":
        reference_names.write_msn_checkpoint(encoder, tmp_path / "msn.pth.tar")
        remote.write_bytes((tmp_path / "msn.pth.tar").read_bytes())
    else:
        path = encoders.save_encoder(encoder, tmp_path / "encoder", {})
        encoders.save_encoder(FrozenEncoder(path / "saved_model"), remote, {})
    opened = encoders.load_encoder(str(remote))
    np.testing.assert_allclose(opened(IMAGES)[1], encoder(IMAGES)[1], atol=1e-5)


def test_a_half_copied_encoder_is_none(s3, tmp_path, monkeypatch):
    remote = new_place() / "encoder"

    def full(source, target):
        if source.name == "encoder.json":
            raise OSError("no room")
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr("data.storage.folders.copy_file", full)
    with pytest.raises(InputError, match=r"s3://.*encoder: the encoder cannot be .*no room"):
        encoders.save_encoder(Encoder(**TINY), remote, {})
    with pytest.raises(InputError, match="expected an encoder directory"):
        encoders.load_encoder(remote)


def test_what_is_not_there_is_said_before_anything_is_done(small_dataset, remote_dataset, tmp_path):
    remote = new_place() / "run"
    for config, workdir, named in (
        (
            small_config(small_dataset),
            "nosuch://bucket/run",
            r"nosuch://bucket/run: no file system",
        ),
        (small_config("nosuch://b/x"), remote, "nosuch://b/x: no file system"),
        (small_config("s3://nothing/here"), remote, "s3://nothing/here: no such dataset"),
        (small_config(remote_dataset, init="nosuch://b/x"), remote, "nosuch://b/x: no file system"),
        (small_config(remote_dataset, data__source="videos"), remote, "videos.*is remote"),
    ):
        with pytest.raises(InputError, match=named) as refusal:
            pretrain(config, workdir)
        assert "\n" not in str(refusal.value)
    assert not remote.exists()
    with pytest.raises(FileNotFoundError, match=r"bucket does not exist.*s3://missing/run"):
        pretrain(small_config(remote_dataset), "s3://missing/run")
    with pytest.raises(InputError, match="no such file or directory"):
        encoders.load_encoder("s3://nothing/here")
    with pytest.raises(InputError, match="expected a copy"):
        (remote / "notes.txt").write_text("")
        load_index(remote)


def test_probe_and_inference_read_and_write_a_bucket(small_dataset, remote_dataset, tmp_path):
    encoder, bucket = Encoder(**TINY, seed=3), remote_dataset.parent
    encoders.save_encoder(encoder, bucket / "encoder", {})
    result = call(
        "down_stream/main.py",
        "--config=configs/phase_demo.py",
        f"--config.data.root={remote_dataset}",
        f"--config.encoder={bucket}/encoder",
        f"--config.workdir={bucket}/probe",
        f"--config.feature_cache={tmp_path}",
        "--config.train_videos=('video01', 'video02')",
        "--config.validation_videos=video03",
        "--config.test_videos=video04",
        "--config.epochs=2",
    )
    assert result.returncode == 0, result.stderr
    results = json.loads((bucket / "probe" / "results.json").read_text())
    assert results["encoder"] == f"{bucket}/encoder"
    assert results["frames"] == {"train": 28, "validation": 14, "test": 14}
    names = {path.name for path in (bucket / "probe").iterdir()}
    assert {"results.json", "predictions.csv", "report.html", "model"} <= names

    result = call(
        "inference.py",
        f"--model_path={bucket}/probe/model",
        f"--data_rootdir={bucket}",
        f"--output={bucket}/out/table.npz",
        f"--map={bucket}/out/map.html",
        f"--attention={bucket}/out/attention",
    )
    assert result.returncode == 0, result.stderr
    with (bucket / "out" / "table.npz").open("rb") as file, np.load(file) as table:
        images = map(read_image, load_index(small_dataset).paths(slice(None)))
        inputs = np.stack([frame_to_input(image, TINY["image_size"]) for image in images])
        np.testing.assert_allclose(table["embeddings"], encoder(inputs)[1], atol=1e-4)
        assert table["path"][0].startswith(f"{remote_dataset}/frames/")
        assert table["probabilities"].shape == (56, 7)
    names = {path.name for path in (bucket / "out").iterdir()}
    assert names == {
        *("table.npz", "table.npz.parts", "table_phases", "map.html", "map.png", "attention"),
    }
    assert len(list((bucket / "out" / "table_phases").iterdir())) == 8
    assert len(list((bucket / "out" / "attention").rglob("*.png"))) == 56


@pytest.mark.parametrize(
    "flag, environment, named",
    [
        ("data_rootdir=nosuch://b", {}, "nosuch://b: no file system for nosuch://"),
        ("data_rootdir=s3://missing", {}, "s3://missing/cholec80: no such dataset directory"),
        ("data_rootdir=s3://bucket", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "127.0.0.1:9"),
        ("data_rootdir=s3://bucket", {"AWS_ACCESS_KEY_ID": ""}, "credentials"),
        ("video_path=s3://bucket/a.mp4", {}, "--video_path=s3://bucket/a.mp4: is remote"),
    ],
)
def test_a_command_says_in_one_line_what_is_wrong_with_a_store(s3, flag, environment, named):
    result = call(
        "inference.py",
        f"--model_path={ROOT / 'tests' / 'golden' / 'encoders' / 'hf-dinov2'}",
        f"--{flag}",
        environment={"AWS_MAX_ATTEMPTS": "1", "AWS_EC2_METADATA_DISABLED": "true"} | environment,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert named in result.stderr
    assert result.stderr.count("\n") == 1
