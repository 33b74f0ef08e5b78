"""An experiment that is started again: what is finished stays, unless something has changed."""

import json
import os
import shutil
import signal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.common.errors import InputError
from data.common.stopping import StoppedError, ended_by_signals
from down_stream import experiment
from down_stream.classifiers import finetuning, fitting
from down_stream.experiment import run
from msn.encoders import save_encoder
from msn.networks.encoder import create_encoder
from tests.support.small_msn import VARIANT
from tests.support.small_phases import small_config

pytestmark = pytest.mark.usefixtures("eager")


def test_a_finished_run_may_be_replaced_an_unfinished_one_only_resumed(small_dataset, tmp_path):
    config = small_config(small_dataset, mode="finetune", epochs=1)
    run(config, tmp_path)
    config.epochs = 2
    assert len(run(config, tmp_path)["history"]["loss"]) == 2
    assert not (tmp_path / "checkpoints").exists()
    before = (tmp_path / "results.json").read_bytes()
    (tmp_path / "checkpoints").mkdir()  # as a run that was killed leaves it
    config.seed = 1
    with pytest.raises(InputError, match="seed 0 -> 1"):
        run(config, tmp_path)
    config.seed, config.epochs = 0, 3
    said = r"\(epochs 2 -> 3\); use another workdir or the same configuration$"
    with pytest.raises(InputError, match=said):
        run(config, tmp_path)
    assert (tmp_path / "results.json").read_bytes() == before


def untrained(*_, **__):
    pytest.fail("trained again")


def test_fine_tuning_that_is_finished_says_so_and_what_it_came_to(
    small_dataset, tmp_path, monkeypatch, caplog
):
    config = small_config(small_dataset, mode="finetune", epochs=1)
    results = run(config, tmp_path / "run")
    files = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*") if p.is_file()}
    monkeypatch.setattr(experiment, "fit_classifier", untrained)
    again = run(config, tmp_path / "run")
    assert again["metrics"] == results["metrics"] and again["history"] == results["history"]
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*") if p.is_file()} == files
    score = f"{100 * results['metrics']['video']['f1']:.1f} %"
    said = "run is finished, with this configuration, encoder, labels and images: video f1"
    assert f"{said} {score}" in caplog.text
    assert "use another --config.workdir, or remove this one" in caplog.text


def test_a_signal_after_the_last_update_ends_it_and_nothing_is_trained_again(
    small_dataset, tmp_path, monkeypatch
):
    """It comes while the last epoch is validated: too late for the loop over updates to see it."""
    config = small_config(small_dataset, mode="finetune", epochs=1)
    expected = run(config, tmp_path / "undisturbed")
    fit, updates = fitting.fit_end_to_end, []

    def stopped_late(*arguments, **options):
        fitted = fit(*arguments, **options)
        signal.raise_signal(signal.SIGTERM)
        return fitted

    monkeypatch.setattr(fitting, "fit_end_to_end", stopped_late)
    said = "stopped by SIGTERM after training; start again to go"
    with pytest.raises(StoppedError, match=said), ended_by_signals(""):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run" / "results.json").exists()
    monkeypatch.setattr(fitting, "fit_end_to_end", fit)
    step = finetuning.create_train_step

    def counted(*arguments, **options):
        made = step(*arguments, **options)
        return lambda *batch: (updates.append(1), made(*batch))[1]

    monkeypatch.setattr(finetuning, "create_train_step", counted)
    results = run(config, tmp_path / "run")
    assert not updates
    assert results["metrics"] == expected["metrics"]


def test_other_images_under_the_same_names_are_trained_on(small_dataset, tmp_path, caplog):
    root = shutil.copytree(small_dataset, tmp_path / "data")
    config = small_config(root, mode="finetune", epochs=1)
    first = run(config, tmp_path / "run")
    image = next((root / "frames" / "video01").glob("*"))
    image.write_bytes(next((root / "frames" / "video02").glob("*")).read_bytes())
    caplog.clear()
    again = run(config, tmp_path / "run")
    assert "is finished, but sizes or times of change of images differ since" in caplog.text
    assert again["images_fingerprint"] != first["images_fingerprint"]
    assert again["seconds"] != first["seconds"] or again is not first
    path = tmp_path / "run" / "results.json"
    os.utime(image, (1e9, 1e9))
    earlier = json.loads(path.read_text())
    del earlier["images_fingerprint"], earlier["contents_fingerprint"]
    path.write_text(json.dumps(earlier))
    assert run(config, tmp_path / "run") == earlier, "an earlier version did not note them"


def test_images_of_the_same_sizes_and_times_are_trained_on_if_they_are_others(
    small_dataset, tmp_path, monkeypatch, caplog
):
    root = shutil.copytree(small_dataset, tmp_path / "data")
    config = small_config(root, mode="finetune", epochs=1)
    run(config, tmp_path / "run")
    image, other = (next((root / "frames" / f"video0{n}").glob("*")) for n in (1, 2))
    with monkeypatch.context() as patch:
        patch.setattr(experiment, "fit_classifier", untrained)
        image.chmod(0o600)
        run(config, tmp_path / "run")
    state = image.stat()
    image.write_bytes(other.read_bytes()[: state.st_size].ljust(state.st_size, b"x"))
    os.utime(image, ns=(state.st_atime_ns, state.st_mtime_ns))
    caplog.clear()
    run(config, tmp_path / "run")
    assert "is finished, but sizes or times of change of images differ since" in caplog.text


def test_copies_of_an_experiment_and_of_its_images_are_not_trained_again(
    small_dataset, tmp_path, monkeypatch, caplog
):
    """A copy, as most programs make it, has other times of change."""
    root = shutil.copytree(small_dataset, tmp_path / "data")
    config = small_config(root, mode="finetune", epochs=1, workdir=str(tmp_path / "run"))
    first = run(config, tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "copy", copy_function=shutil.copyfile)
    for number, image in enumerate(root.glob("frames/*/*")):
        os.utime(image, (number, number))
    monkeypatch.setattr(experiment, "fit_classifier", untrained)
    config.workdir = str(tmp_path / "copy")
    again = run(config, tmp_path / "copy")
    assert again["metrics"] == first["metrics"]
    assert "copy is finished, with this configuration, encoder, labels and images" in caplog.text
    config.seed = 1
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        run(config, tmp_path / "copy")


def test_images_that_are_replaced_during_training_are_trained_on_by_the_next_call(
    small_dataset, tmp_path, monkeypatch, caplog
):
    root = shutil.copytree(small_dataset, tmp_path / "data")
    config = small_config(root, mode="finetune", epochs=1)
    image, other = (next((root / "frames" / f"video0{n}").glob("*")) for n in (1, 2))
    fit = experiment.fit_classifier

    def fitting(*args):
        fitted = fit(*args)
        image.write_bytes(other.read_bytes())
        return fitted

    monkeypatch.setattr(experiment, "fit_classifier", fitting)
    run(config, tmp_path / "run")
    monkeypatch.setattr(experiment, "fit_classifier", fit)
    run(config, tmp_path / "run")
    assert "is finished, but sizes or times of change of images differ since" in caplog.text


def test_another_configuration_is_said_before_it_is_trained_on(
    small_dataset, tmp_path, monkeypatch, caplog
):
    """And it is no other one where the same split has other names, as since `splits.json`."""
    config = small_config(small_dataset, mode="finetune", epochs=1)
    results = run(config, tmp_path / "run")
    monkeypatch.setattr(experiment, "fit_classifier", untrained)
    config.train_videos = tuple(f"*{name[1:]}" for name in config.train_videos)
    assert run(config, tmp_path / "run")["metrics"] == results["metrics"]
    config.epochs = 2
    caplog.clear()
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        run(config, tmp_path / "run")
    said = "run is finished, but of another configuration (epochs 1 -> 2): trained again, and"
    assert said in caplog.text
    config.epochs, config.train_videos = 1, config.train_videos[:1]
    caplog.clear()
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        run(config, tmp_path / "run")
    assert "run is finished, but of another configuration (train_videos " in caplog.text


def test_other_labels_or_another_encoder_are_trained_on(small_dataset, tmp_path):
    root = shutil.copytree(small_dataset, tmp_path / "data")
    path = save_encoder(create_encoder(VARIANT, image_size=16, seed=0), tmp_path / "encoder", {})
    config = small_config(root, mode="finetune", epochs=1, encoder=str(path))
    first = run(config, tmp_path / "run")
    table = pq.read_table(root / "index.parquet")
    phase = table["phase"].to_numpy().copy()
    phase[np.flatnonzero(phase == 1)[0]] = 2
    place = table.schema.get_field_index("phase")
    table = table.set_column(place, table.schema.field("phase"), pa.array(phase))
    pq.write_table(table, root / "index.parquet")
    corrected = run(config, tmp_path / "run")
    assert corrected["labels_fingerprint"] != first["labels_fingerprint"]
    assert corrected["history"] != first["history"]
    save_encoder(create_encoder(VARIANT, image_size=16, seed=1), path, {})
    other = run(config, tmp_path / "run")
    assert other["encoder_fingerprint"] != corrected["encoder_fingerprint"]
    assert other["history"] != corrected["history"]
