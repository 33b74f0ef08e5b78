"""A teacher in whole runs: of every kind, resumed, exported, and with what can be wrong of it."""

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from data.common.errors import InputError
from data.common.stopping import StoppedError, ended_by_signals
from data.dataset.frame_index import load_index
from data.frames.opening import open_source
from msn import encoders
from msn.networks.encoder import create_encoder
from msn.pretrain import pretrain
from msn.teachers import frame_teacher as module
from msn.teachers import standardising
from msn.teachers.frame_teacher import FEATURES_FILE, FrameTeacher
from msn.teachers.standardising import standardise
from msn.teachers.teacher import CONTENT_FILE
from msn.workdir import checkpoint_files
from tests.support import onnx_files
from tests.support.record_files import write_records
from tests.support.recorder import recorded
from tests.support.run_directories import last_state, metrics_in
from tests.support.small_msn import VARIANT, small_config

pytestmark = pytest.mark.usefixtures("eager")


def write_table(path, source, **changes):
    """Features of all frames that tell them apart, 3 numbers each."""
    content = {
        "embeddings": np.random.default_rng(0).normal(size=(len(source), 3)).astype(np.float32),
        "video": np.array(source.videos)[source.video],
        "second": source.second,
    }
    np.savez(path, **content | changes)
    return str(path)


def asked(teacher, workdir, stop=None):
    """What it says of all frames, None where it was stopped before."""
    return teacher.said if teacher.prepare(workdir, None, stop) else None


@pytest.fixture(scope="module")
def source(small_dataset):
    return open_source("images", small_dataset)


@pytest.fixture(scope="module")
def table(source, tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("teacher") / "features.npz", source)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher")
    made = create_encoder("vitnano4", image_size=24, seed=3)
    return str(encoders.save_encoder(made, folder / "encoder", {"videos": ["VID99"]}))


@pytest.fixture(scope="module")
def run(small_dataset, tmp_path_factory, table, eager):
    workdir = tmp_path_factory.mktemp("runs") / "msn"
    assert pretrain(small_config(small_dataset, teacher=table), workdir)
    return workdir


def test_what_it_says_is_learnt(small_dataset, source, tmp_path):
    """The mean colour of a frame."""
    colours = np.array([source.read(row).mean(axis=(0, 1)) for row in range(len(source))], "f")
    table = write_table(tmp_path / "colours.npz", source, embeddings=colours)
    config = small_config(
        small_dataset, teacher=table, teacher_alone=1.0, steps=24, checkpoint_every=24
    )
    config.optimizer.warmup_epochs = 0.0
    config.optimizer.learning_rate = 1e-2
    assert pretrain(config, tmp_path / "run")
    losses = [line["teacher"] for line in metrics_in(tmp_path / "run")]
    assert np.mean(losses[-3:]) < 0.7 * losses[0]
    assert metrics_in(tmp_path / "run")[-1]["msn_weight"] == 0


def test_the_run_says_who_its_teacher_is_and_exports_nothing_of_it(run, table, small_dataset):
    names = {path.name for path in run.iterdir()}
    assert names == {
        "config.json",
        "checkpoints",
        "encoder",
        "metrics.jsonl",
        "videos.json",
        "events",
        CONTENT_FILE,
    }
    description = json.loads((run / "encoder" / "encoder.json").read_text())
    teacher = description["source"]["teacher"]
    assert (teacher["path"], teacher["licence"]) == (table, None)
    assert not teacher["source"]["seen"]["is_all"]  # a table does not say what it is of
    card = (run / "encoder" / "README.md").read_text()
    assert "| teacher | another encoder |\n| the teacher's licence | not known |" in card
    exported = encoders.load_encoder(run / "encoder")
    plain = create_encoder(VARIANT, image_size=16)
    assert [w.shape for w in exported.weights] == [w.shape for w in plain.weights]
    of_teacher = {name for name in last_state(run) if "teacher" in name}
    kinds = ("of_cls/kernel", "of_cls/bias", "of_patches/kernel", "of_patches/bias")
    assert of_teacher == {
        f"{place}teacher/{kind}"
        for place in ("", "optimizer/first/", "optimizer/second/")
        for kind in kinds
    }


def test_a_run_that_was_stopped_ends_with_the_same_bits(run, small_dataset, table, tmp_path):
    workdir = shutil.copytree(run, tmp_path / "msn")
    for path in checkpoint_files.checkpoints(workdir / "checkpoints")[-2:]:
        path.unlink()
    shutil.rmtree(workdir / "encoder")
    assert pretrain(small_config(small_dataset, teacher=table), workdir)
    ours, theirs = last_state(workdir), last_state(run)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], name)
    assert [line["teacher"] for line in metrics_in(workdir)] == [
        line["teacher"] for line in metrics_in(run)
    ]


def test_a_run_of_an_earlier_version_goes_on(run, small_dataset, table, tmp_path):
    """Its configuration does not say what the teacher sees."""
    workdir = shutil.copytree(run, tmp_path / "msn")
    checkpoint_files.checkpoints(workdir / "checkpoints")[-1].unlink()
    config = json.loads((workdir / "config.json").read_text())
    del config["teacher_sees"]
    (workdir / "config.json").write_text(json.dumps(config))
    assert pretrain(small_config(small_dataset, teacher=table), workdir)
    assert metrics_in(workdir)[-1]["teacher"] == metrics_in(run)[-1]["teacher"]


def test_the_last_weights_are_of_the_configuration(small_dataset, table, tmp_path):
    config = small_config(
        small_dataset,
        **{"teacher": table, "teacher_weight": 2.0, "teacher_final_weight": 0.5},
        **{"teacher_alone": 0.5, "log_every": 1},
    )
    assert pretrain(config, tmp_path)
    logged = metrics_in(tmp_path)
    np.testing.assert_allclose([line["teacher_weight"] for line in logged], np.linspace(2, 0.5, 6))
    assert [line["msn_weight"] for line in logged] == [0, 0, 0, 1, 1, 1]


def test_an_encoder_is_asked_once_and_what_it_said_is_kept(
    small_dataset, source, encoder, tmp_path, monkeypatch
):
    calls = recorded(monkeypatch, module, "batches_of_features")
    config = small_config(small_dataset, teacher=encoder, steps=2)
    assert pretrain(config, tmp_path)
    with np.load(tmp_path / FEATURES_FILE) as content:
        kept = content["features"]
    opened = encoders.load_encoder(encoder)
    first = np.asarray(source.read(7))
    assert first.shape != (24, 24, 3)  # it is seen as the encoder sees it
    assert kept.shape == (56, opened.width)
    features = asked(FrameTeacher(Path(encoder), {}, source), tmp_path)
    assert len(calls.calls) == 1
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(features.std(axis=0), 1, atol=1e-4)
    described = json.loads((tmp_path / "encoder" / "encoder.json").read_text())["source"]
    assert described["teacher"]["source"]["videos"] == ["VID99"]
    assert "VID99" in described["videos"]


def test_features_of_other_frames_are_computed_again(small_dataset, source, encoder, tmp_path):
    path, file = Path(encoder), tmp_path / FEATURES_FILE
    fewer = open_source("images", small_dataset, ("video02",))
    assert len(asked(FrameTeacher(path, {}, fewer), tmp_path)) == 42
    every = asked(FrameTeacher(path, {}, source), tmp_path)
    assert len(every) == 56 and every.any(axis=1).all()
    file.write_bytes(file.read_bytes()[:100])
    np.testing.assert_array_equal(asked(FrameTeacher(path, {}, source), tmp_path), every)


def test_an_onnx_file_teaches(small_dataset, tmp_path):
    path = onnx_files.write(tmp_path)
    config = small_config(small_dataset, teacher=str(path), steps=2)
    assert pretrain(config, tmp_path / "run")
    with np.load(tmp_path / "run" / FEATURES_FILE) as content:
        assert content["features"].shape == (56, onnx_files.WIDTH)
    assert np.isfinite(metrics_in(tmp_path / "run")[-1]["teacher"])


def test_records_have_times_and_no_numbers_of_files(small_dataset, source, table, tmp_path):
    write_records(load_index(small_dataset), tmp_path / "records")
    records = open_source("records", tmp_path / "records")
    file = tmp_path / FEATURES_FILE
    path = Path(table)
    expected = asked(FrameTeacher(path, {}, source), tmp_path)
    np.testing.assert_array_equal(asked(FrameTeacher(path, {}, records), tmp_path), expected)
    assert not file.exists()  # a table is looked up again
    numbered = write_table(tmp_path / "numbered.npz", source, frame=source.index.frame)
    with pytest.raises(InputError, match=r"^teacher=.*has the column frame; expected second"):
        FrameTeacher(Path(numbered), {}, records)


def test_dimensions_that_tell_nothing_and_frames_that_are_unknown_are_zero(monkeypatch):
    monkeypatch.setattr(standardising, "BLOCK", 2)
    features = np.array([[3.0, 5.0], [9.0, 9.0], [1.0, 5.0]], np.float32)
    standardise(features, np.array([True, False, True]))
    np.testing.assert_allclose(features, [[1, 0], [0, 0], [-1, 0]])


def test_large_numbers_are_standardised_by_what_tells_them_apart():
    draw = np.random.default_rng(0).normal(size=(500, 3)) * [1, 1e-3, 1e4] + [1e3, 0, -1e5]
    features = draw.astype(np.float32)
    standardise(features, np.ones(500, bool))
    np.testing.assert_allclose(features, (draw - draw.mean(0)) / draw.std(0), atol=1e-3)


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"video": slice(0, 50)}, r"6 of 56 frames are missing"),
        ({"video": "other"}, "none of 56 frames of video01"),
        ({"second": 0.4}, "misaligned"),
        ({"embeddings": slice(0, 40)}, "expected one per embedding"),
    ],
)
def test_a_table_that_does_not_fit_is_said_before_anything_is_written(
    small_dataset, source, tmp_path, changes, named
):
    names = np.array(source.videos)[source.video]
    embeddings = np.ones((56, 3), np.float32)
    (key, change) = next(iter(changes.items()))
    content = {
        "video": {"video": np.char.add("other", names)} if change == "other" else {},
        "second": {"second": source.second + 0.4},
        "embeddings": {"embeddings": embeddings[:40]},
    }[key]
    if key == "video" and change != "other":
        content = {
            "embeddings": embeddings[change],
            "video": names[change],
            "second": source.second[change],
        }
    path = write_table(tmp_path / "features.npz", source, **content)
    with pytest.raises(InputError, match=rf"^teacher=.*{named}") as error:
        pretrain(small_config(small_dataset, teacher=path), tmp_path / "run")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changes, named",
    [
        (
            {"teacher": "/nonexistent"},
            "^teacher=/nonexistent: no such file.*expected an encoder",
        ),
        ({"teacher": "/nonexistent.csv"}, r"no such file.*a table of features \(.npz, .par"),
        ({"teacher": None, "teacher_alone": 1.0}, "teacher_alone is 1.0 without a teacher"),
        ({"teacher": None, "teacher_num_heads": 3}, "teacher_num_heads is 3 without a teacher"),
        ({"accumulation": 2}, "accumulation is 2 with a teacher"),
        ({"teacher_weight": -1.0}, "teacher_weight is -1"),
        ({"teacher_alone": 1.5}, "teacher_alone is 1.5"),
        ({"teacher_weight": 0.0, "teacher_final_weight": 0.0}, "are 0; expected one above"),
        ({"teacher_weight": 0.0, "teacher_alone": 0.5}, "nothing would be learnt"),
        ({"teacher_num_heads": 3}, "num_heads given for a table of features"),
    ],
)
def test_what_cannot_teach_is_said(small_dataset, table, tmp_path, changes, named):
    with pytest.raises(InputError, match=named):
        pretrain(small_config(small_dataset, **{"teacher": table, **changes}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("width", [3, 4])
def test_another_teacher_at_the_same_path_does_not_go_on(
    run, small_dataset, source, table, tmp_path, width
):
    """The file at the path was replaced since the run was stopped."""
    workdir = shutil.copytree(run, tmp_path / "msn")
    path = shutil.copy(table, tmp_path / "features.npz")
    config = json.loads((workdir / "config.json").read_text()) | {"teacher": str(path)}
    (workdir / "config.json").write_text(json.dumps(config))
    assert pretrain(small_config(small_dataset, teacher=str(path)), workdir)  # a copy is the same
    before = last_state(workdir)
    values = np.random.default_rng(1).normal(size=(56, width)).astype(np.float32)
    write_table(path, source, embeddings=values)
    with pytest.raises(InputError, match=r"^teacher=.*its content is not what has taught the run"):
        pretrain(small_config(small_dataset, teacher=str(path)), workdir)
    assert before.keys() == last_state(workdir).keys()
    (workdir / CONTENT_FILE).write_text("{")
    with pytest.raises(InputError, match=r"teacher\.json: damaged"):
        pretrain(small_config(small_dataset, teacher=str(path)), workdir)
    shutil.rmtree(workdir / "checkpoints")  # nothing was taught yet: it may be another one
    assert pretrain(small_config(small_dataset, teacher=str(path)), workdir)


def test_an_encoder_that_was_trained_again_is_asked_again(source, encoder, tmp_path):
    path = Path(shutil.copytree(encoder, tmp_path / "encoder"))
    first = asked(FrameTeacher(path, {}, source), tmp_path)
    again = create_encoder("vitnano4", image_size=24, seed=4)
    encoders.save_encoder(again, path, {"videos": ["VID99"]})
    second = asked(FrameTeacher(path, {}, source), tmp_path)
    assert np.abs(first - second).max() > 0.1


class StopAfter:
    """Asks to stop at the second question."""

    asked = 0

    @property
    def requested(self):
        self.asked += 1
        return "SIGTERM" if self.asked > 1 else ""


def test_a_signal_stops_it_between_two_batches_and_it_goes_on_there(
    source, encoder, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(module, "BATCH_SIZE", 8)
    (tmp_path / "whole").mkdir()
    expected = asked(FrameTeacher(Path(encoder), {}, source), tmp_path / "whole")
    assert asked(FrameTeacher(Path(encoder), {}, source), tmp_path, StopAfter()) is None
    with np.load(tmp_path / FEATURES_FILE) as content:
        assert content["known"].sum() == content["start"] == 16
    calls = recorded(monkeypatch, module, "batches_of_features")
    found = asked(FrameTeacher(Path(encoder), {}, source), tmp_path)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert calls.calls[0][1]["start"] == 16


def test_a_run_that_is_stopped_while_the_teacher_is_asked_goes_on(
    small_dataset, encoder, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "BATCH_SIZE", 8)
    ask = module.batches_of_features

    def interrupted(*arguments, **options):
        for number, batch in enumerate(ask(*arguments, **options)):
            if number == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    config = small_config(small_dataset, teacher=encoder, steps=2)
    with monkeypatch.context() as patched:
        patched.setattr(module, "batches_of_features", interrupted)
        with pytest.raises(StoppedError, match="while the teacher was asked"), ended_by_signals(""):
            pretrain(config, tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    assert pretrain(config, tmp_path / "run")


@pytest.mark.parametrize("kind", ["table", "encoder"])
def test_a_teacher_that_says_the_same_of_every_frame_is_refused(source, tmp_path, kind):
    if kind == "table":
        same = np.full((56, 3), 2.5, np.float32)
        path = write_table(tmp_path / "same.npz", source, embeddings=same)
    else:
        made = create_encoder("vitnano4", image_size=24, seed=3)
        made.set_weights([np.zeros_like(weight) for weight in made.get_weights()])
        path = encoders.save_encoder(made, tmp_path / "encoder", {"videos": []})
    with pytest.raises(InputError, match=r"^teacher=.*are the same for all 56 frames"):
        asked(FrameTeacher(Path(path), {}, source), tmp_path)
