"""Runs that are killed, stopped or out of disk, and what their next start makes of it.

Every run is a process of its own, forked from a server that has TensorFlow imported already; the
step is compiled by XLA, whose numbers are the same in every process.
"""

import contextlib
import logging
import multiprocessing
import os
import random
import signal
import sys
import time

import numpy as np
import pytest
import safetensors.numpy

from data.common.errors import InputError
from data.dataset.index_columns import INDEX
from data.storage.folders import copy_folder
from data.storage.locking import locked
from data.storage.whole import PART
from msn.encoders import load_encoder
from msn.workdir import checkpoint_files
from tests.support.object_store import new_place
from tests.support.run_directories import metrics_in
from tests.support.small_msn import small_config

STEPS = 150  # so many that none of the moments below comes after the last one
SPEED = ("images_per_second", "waiting_for_input")  # all that may differ


def train(root, workdir, stderr, environment, changes):
    """What msn.train does, in a process of its own."""
    from data.common import cli
    from data.common.stopping import StoppedError, ended_by_signals
    from msn.networks.variants import SIZES
    from msn.pretrain import pretrain

    os.environ |= environment
    os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"  # compiles in half the time
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    SIZES["pico"] = (12, 1, 2)
    config = small_config(
        root,
        model__variant="vitpico8",
        model__num_prototypes=4096,  # checkpoints that take a moment to write
        model__output_dim=64,
        steps=STEPS,
        keep_every=25,
        compile_with_xla=True,
        **{"checkpoint_every": 1} | changes,
    )
    try:
        with ended_by_signals(""):
            pretrain(config, workdir)
    except StoppedError as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(75)
    except InputError as error:
        sys.exit(cli.refuse(error))


@pytest.fixture(scope="module")
def start(small_dataset, tmp_path_factory):
    """Starts a run in a folder, on the small dataset or another; returns its process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["msn.pretrain"])
    log = tmp_path_factory.mktemp("logs") / "stderr"

    def start(workdir, root=small_dataset, **changes):
        environment = {name: os.environ[name] for name in os.environ if name.startswith("AWS_")}
        arguments = (str(root), str(workdir), log, environment, changes)
        process = context.Process(target=train, args=arguments)
        process.start()
        process.log = log
        return process

    return start


@pytest.fixture(scope="module")
def undisturbed(start, tmp_path_factory):
    """The directory of a run that nothing happened to."""
    workdir = tmp_path_factory.mktemp("undisturbed")
    end_of(start(workdir))
    return workdir


def end_of(process):
    process.join()
    assert process.exitcode == 0, process.log.read_text()


def wait_until(condition, process):
    """Waits for a moment in the life of a process that must not end before."""
    end = time.monotonic() + 240
    while not condition():
        assert process.is_alive(), process.log.read_text()
        assert time.monotonic() < end
        time.sleep(0.0005)


def newest(workdir):
    files = checkpoint_files.checkpoints(workdir / "checkpoints")
    return checkpoint_files.step_of(files[-1]) if files else 0


def is_writing(workdir, after):
    names = [path.name for path in (workdir / "checkpoints").glob(f"{PART}*")]
    paths = [workdir / name.removeprefix(PART) for name in names]
    return any(checkpoint_files.step_of(path) > after for path in paths)


def lines(workdir):
    rows = metrics_in(workdir)
    return [{key: value for key, value in row.items() if key not in SPEED} for row in rows]


def test_a_run_that_is_killed_again_and_again_ends_as_if_nothing_was(
    start, undisturbed, small_disk
):
    # Killed while a checkpoint is being written; meanwhile nobody else may write.
    workdir = small_disk / "run"
    process = start(workdir)
    wait_until(lambda: newest(workdir) >= 5, process)
    with pytest.raises(InputError, match=f"process {process.pid}"), locked(workdir):
        pass
    moment = random.randint(6, 16)
    wait_until(lambda: is_writing(workdir, after=moment), process)
    process.kill()
    process.join()
    begun = newest(workdir)
    assert begun >= moment

    # The disk is full.
    process = start(workdir)
    wait_until(lambda: newest(workdir) > begun, process)  # past the check for room
    with contextlib.suppress(OSError), (small_disk / "ballast").open("wb", buffering=0) as ballast:
        while ballast.write(bytes(100_000)):
            pass
    process.join()
    assert process.exitcode == 2
    last = process.log.read_text().splitlines()[-1]
    assert last.startswith("error: ")
    assert "cannot be written" in last
    assert not list((workdir / "checkpoints").glob(f"{PART}*"))
    good = newest(workdir)
    assert good > begun
    (small_disk / "ballast").unlink()

    # Stopped at a random moment.
    process = start(workdir)
    wait_until(lambda: newest(workdir) > good, process)
    time.sleep(random.uniform(0, 0.2))
    signalled = time.monotonic()
    os.kill(process.pid, signal.SIGTERM)
    process.join()
    assert process.exitcode == 75, process.log.read_text()
    assert f"of {STEPS} steps, {good} of them before" in process.log.read_text()
    assert time.monotonic() - signalled < 10

    end_of(start(workdir))
    files = checkpoint_files.checkpoints(workdir / "checkpoints")
    assert [checkpoint_files.step_of(path) for path in files] == [
        25,
        50,
        75,
        100,
        125,
        148,
        149,
        150,
    ]
    assert_same(workdir, undisturbed)


def test_a_run_that_is_killed_in_a_bucket_ends_as_if_nothing_was(
    start, undisturbed, s3, small_dataset
):
    root, workdir = new_place() / "cholec80", new_place() / "run"
    copy_folder(small_dataset, root, last=INDEX)
    process = start(workdir, root, checkpoint_every=10)
    wait_until(lambda: newest(workdir) >= 20, process)
    time.sleep(random.uniform(0, 0.5))
    process.kill()
    process.join()
    begun = newest(workdir)
    assert 20 <= begun < STEPS
    process = start(workdir, root, checkpoint_every=30)
    end_of(process)
    assert f"{STEPS} of {STEPS} steps, {begun} of them before" in process.log.read_text()
    assert_same(workdir, undisturbed)
    assert len(list((workdir / "events").iterdir())) == 2  # of two starts
    ours, theirs = (load_encoder(path / "encoder").get_weights() for path in (workdir, undisturbed))
    assert all(map(np.array_equal, ours, theirs))


def test_time_brings_checkpoints_too_and_a_kill_between_them_costs_nothing_else(
    start, undisturbed, tmp_path
):
    workdir = tmp_path / "run"
    process = start(workdir, checkpoint_every=10**6, checkpoint_minutes=0.2 / 60)
    wait_until(lambda: newest(workdir) > 0, process)
    first = newest(workdir)
    wait_until(lambda: newest(workdir) > first, process)
    process.kill()
    process.join()
    assert first < newest(workdir) < STEPS
    end_of(start(workdir, checkpoint_every=10**6, checkpoint_minutes=0))
    assert_same(workdir, undisturbed)


def assert_same(workdir, other):
    """The same numbers, to the last bit, in the newest checkpoint and in the metrics."""
    last = [checkpoint_files.checkpoints(path / "checkpoints")[-1] for path in (workdir, other)]
    ours, theirs = (safetensors.numpy.load(path.read_bytes()) for path in last)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not np.array_equal(ours[name], theirs[name])] == []
    assert lines(workdir) == lines(other)
    assert [row["step"] for row in lines(workdir)] == list(range(2, STEPS + 1, 2))
