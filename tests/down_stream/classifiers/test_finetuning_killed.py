"""Fine-tuning that is killed or stopped, and what its next start makes of it.

Every run is a process of its own, forked from a server that has TensorFlow imported already; the
step is compiled by XLA, whose numbers are the same in every process.
"""

import json
import multiprocessing
import os
import random
import signal
import sys
import time

import numpy as np
import pytest

from msn.workdir.checkpoint_files import checkpoints

EPOCHS = 40  # so many that none of the moments below comes after the last one


def fine_tune(root, workdir):
    """Fine-tunes in a process of its own and writes history and weights."""
    from data.common.stopping import StopSignal, ended_by_signals
    from data.dataset.frame_index import load_index
    from down_stream.classifiers import finetuning, losses
    from down_stream.classifiers.frame_model import FrameModel
    from msn.networks.encoder import Encoder

    os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"  # compiles in half the time
    os.dup2(os.open(workdir / "stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    encoder = Encoder(image_size=16, patch_size=8, width=12, depth=1, num_heads=3, seed=0)
    model = FrameModel(encoder, [str(i) for i in range(7)], seed=0)
    images = np.random.default_rng(0).uniform(0, 255, (8, 16, 16, 3))
    index = load_index(root)
    optimizer = {"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.1, "warmup": 0.1}
    with ended_by_signals(""), StopSignal() as stop:
        try:
            history, best = finetuning.finetune(
                model,
                index,
                index.phase,
                loss=losses.softmax_cross_entropy,
                label_smoothing=0.1,
                weights=dict(enumerate(np.linspace(0.5, 1.5, 7))),
                augmentation={"transformation": "randaug", "layers": 2, "magnitude": 5},
                optimizer=optimizer | {"layer_decay": 0.7},
                epochs=EPOCHS,
                batch_size=10,
                seed=0,
                validate=lambda: np.sin(float(np.sum(model(images))) * 100),  # up and down
                directory=workdir / "checkpoints",
                stop=stop,
            )
        except finetuning.StoppedError:
            sys.exit(75)
    (workdir / "history.json").write_text(json.dumps([history, best]))
    np.savez(workdir / "weights.npz", *model.get_weights())


@pytest.fixture(scope="module")
def start(small_dataset):
    """Starts a run in a folder; returns its process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["down_stream.classifiers.finetuning", "msn.pretrain"])

    def start(workdir):
        workdir.mkdir(exist_ok=True)
        process = context.Process(target=fine_tune, args=(small_dataset, workdir))
        process.start()
        return process

    return start


def steps_of(workdir):
    files = checkpoints(workdir / "checkpoints")
    return int(files[-1].stem.removeprefix("step_")) if files else 0


def wait_for(workdir, step, process):
    """Waits until a checkpoint after `step` is there, then a moment more."""
    end = time.monotonic() + 240
    while steps_of(workdir) <= step:
        assert process.is_alive(), (workdir / "stderr").read_text()
        assert time.monotonic() < end
        time.sleep(0.001)
    time.sleep(random.uniform(0, 0.1))


def test_killed_and_stopped_it_ends_with_the_same_bits(start, tmp_path):
    undisturbed, disturbed = tmp_path / "a", tmp_path / "b"
    process = start(undisturbed)
    process.join()
    assert process.exitcode == 0, (undisturbed / "stderr").read_text()

    process = start(disturbed)
    wait_for(disturbed, 12, process)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    killed_at = steps_of(disturbed)

    process = start(disturbed)
    wait_for(disturbed, killed_at, process)
    os.kill(process.pid, signal.SIGTERM)
    process.join()
    assert process.exitcode == 75, (disturbed / "stderr").read_text()
    assert killed_at < steps_of(disturbed) < 5 * EPOCHS

    process = start(disturbed)
    process.join()
    assert process.exitcode == 0, (disturbed / "stderr").read_text()
    history, best = json.loads((undisturbed / "history.json").read_text())
    assert json.loads((disturbed / "history.json").read_text()) == [history, best]
    assert len(history["loss"]) == EPOCHS
    assert best == int(np.argmax(history["val_macro_f1"]))
    with np.load(undisturbed / "weights.npz") as ours, np.load(disturbed / "weights.npz") as theirs:
        assert ours.files == theirs.files
        assert [name for name in ours.files if not np.array_equal(ours[name], theirs[name])] == []
