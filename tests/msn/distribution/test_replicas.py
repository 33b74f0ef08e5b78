"""Runs on two replicas, on two workers and in micro-batches end where one device ends.

Every run is a process of its own, forked from a server that has TensorFlow imported already.
"""

import contextlib
import json
import logging
import multiprocessing
import os
import signal
import socket
import sys
import time

import numpy as np
import pytest
import safetensors.numpy

from data.common.errors import InputError
from data.common.stopping import StoppedError, ended_by_signals
from msn import encoders
from msn.distribution.strategies import create_distribution
from msn.workdir import checkpoint_files
from tests.support.run_directories import metrics_in
from tests.support.small_msn import small_config

STEPS = 10
ENDED_BY_SIGTERM, WRONG = 75, 2
# Without a gradient by construction: Adam makes steps of rounding noise there.
NO_GRADIENT = ("/norm.bias", "fc.fc1.bias", "fc.fc2.bias")
MEANS = ("fc.bn1.running_mean", "fc.bn2.running_mean")  # of what these are added to


def small_run(root, **changes):
    return small_config(root, model__drop_path=0.3, steps=STEPS, log_every=1, **changes)


def train(root, log, dtype, runs, environment=None, signals=None):
    """What msn.train does, several times, in a process of its own with two logical CPUs.

    Args:
      runs: list of (run directory, changes of the configuration).
      environment: environment variables, for all runs.
      signals: {step: signal} that the process sends to itself before a step.
    """
    import tensorflow as tf

    from data.common import cli
    from msn import pretrain
    from msn.training import checks, configuration

    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    os.environ |= environment or {}
    # To rewrite the graphs takes longer than they run.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    checks.DTYPES["float32"] = dtype  # of the encoders
    if not environment:
        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )

    def schedule_of_step(config, step, *arguments):
        if step in (signals or {}):
            os.kill(os.getpid(), signals[step])
        return configuration.schedule_of_step(config, step, *arguments)

    pretrain.schedule_of_step = schedule_of_step
    try:
        for workdir, changes in runs:
            with ended_by_signals(""):
                pretrain.pretrain(small_run(root, **changes), workdir)
    except StoppedError as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(ENDED_BY_SIGTERM)
    except InputError as error:
        sys.exit(cli.refuse(error))


@pytest.fixture(scope="module")
def start(small_dataset, tmp_path_factory):
    """Starts a process that runs `train`; returns it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["msn.pretrain"])
    logs = tmp_path_factory.mktemp("logs")

    def start(*arguments, **options):
        log = logs / str(time.monotonic_ns())
        process = context.Process(
            target=train, args=(small_dataset, log, *arguments), kwargs=options
        )
        process.start()
        process.log = log
        return process

    return start


@pytest.fixture(scope="module")
def start_workers(start):
    """Starts workers on one run directory; returns their processes."""

    def start_workers(number, workdir, dtype, signals_of_last=None, **changes):
        cluster = {"worker": [f"localhost:{port}" for port in free_ports(number)]}
        return [
            start(
                dtype,
                [(workdir, {"strategy": "auto"} | changes)],
                environment={
                    "TF_CONFIG": json.dumps(
                        {"cluster": cluster, "task": {"type": "worker", "index": index}}
                    )
                },
                signals=signals_of_last if index == number - 1 else None,
            )
            for index in range(number)
        ]

    return start_workers


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("localhost", 0))
        return [one.getsockname()[1] for one in sockets]


def join(processes):
    """Exit codes and logs."""
    for process in processes:
        process.join(900)
    return [process.exitcode for process in processes], [p.log.read_text() for p in processes]


def state(workdir):
    """What the last checkpoint has where there is a gradient."""
    path = checkpoint_files.checkpoints(workdir / "checkpoints")[-1]
    assert checkpoint_files.step_of(path) == STEPS
    loaded = safetensors.numpy.load_file(path)
    return {
        name: without_keys(name, value)
        for name, value in loaded.items()
        if not name.endswith(NO_GRADIENT)
    }


def without_keys(name, value):
    """Without the key third of a qkv bias, to which softmax is blind."""
    return np.delete(value.reshape(3, -1), 1, axis=0) if name.endswith("qkv.bias") else value


def losses(workdir):
    lines = metrics_in(workdir)
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    return {
        name: np.array([line[name] for line in lines])
        for name in ("cross_entropy", "me_max", "gradient_norm", "effective_rank", "max_target")
    }


def largest_error(ours, theirs):
    """(relative error, name) of what differs most between dicts of arrays."""
    assert ours.keys() == theirs.keys()
    return max(
        (np.abs(ours[name] - value).max() / max(np.abs(value).max(), 1e-300), name)
        for name, value in theirs.items()
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


OTHERS = {
    "quarters": {"accumulation": 4},
    "mirrored": {"strategy": "mirrored"},
    "mirrored_halves": {"strategy": "mirrored", "accumulation": 2},
}


@pytest.fixture(scope="module")
def one(start, folder):
    """Runs on one device; {dtype: run directory}."""
    runs = {dtype: folder / f"one_{dtype}" for dtype in ("float64", "float32")}
    changes = {"strategy": "one_device"}
    codes, logs = join([start(dtype, [(workdir, changes)]) for dtype, workdir in runs.items()])
    assert codes == [0, 0], logs
    return runs


@pytest.fixture(scope="module")
def others(start, folder):
    """Runs of one process, in float64, one after another; {name: run directory}."""
    runs = {name: folder / name for name in OTHERS}
    codes, logs = join([start("float64", [(runs[name], OTHERS[name]) for name in OTHERS])])
    assert codes == [0], logs
    return runs


@pytest.mark.parametrize("name", OTHERS)
def test_replicas_and_micro_batches_end_where_one_device_ends(one, others, name):
    ours, theirs = others[name], one["float64"]
    assert largest_error(losses(ours), losses(theirs))[0] <= 1e-6
    error = largest_error(state(ours), state(theirs))
    assert error[0] <= 1e-6, error


def test_two_workers_in_single_precision_within_its_rounding(start_workers, one, folder):
    """Within the bounds that single precision has to keep beside the reference."""
    ours, theirs = folder / "two_float32", one["float32"]
    codes, logs = join(start_workers(2, ours, "float32"))
    assert codes == [0, 0], logs
    for loss, bound in (("cross_entropy", 5e-4), ("me_max", 2e-3)):
        one, other = losses(ours)[loss], losses(theirs)[loss]
        np.testing.assert_allclose(one, other, rtol=bound, atol=1e-6, err_msg=loss)
    weights, expected = (
        {
            name: value
            for name, value in state(workdir).items()
            if not name.startswith("optimizer") and not name.endswith(MEANS)
        }
        for workdir in (ours, theirs)
    )
    error = largest_error(weights, expected)
    assert error[0] <= 2e-3, error
    assert encoders.load_encoder(ours / "encoder").trainable_variables


def test_two_workers_that_are_stopped_and_killed_end_where_one_device_ends(
    start_workers, one, folder
):
    workdir = folder / "two_float64"
    # One is told to stop: both stop, after the same step.
    codes, logs = join(start_workers(2, workdir, "float64", {2: signal.SIGTERM}))
    assert codes == [ENDED_BY_SIGTERM] * 2, logs
    newest = checkpoint_files.step_of(checkpoints(workdir)[-1])
    assert 3 <= newest <= 5
    for log, by in zip(logs, ("a signal to another worker", "SIGTERM"), strict=True):
        assert f"stopped by {by} after step {newest};" in log

    # Time brings checkpoints: that of the chief, to which all agree.
    by_time = folder / "by_time"
    codes, logs = join(
        start_workers(2, by_time, "float64", checkpoint_every=99, checkpoint_minutes=1e-9)
    )
    assert codes == [0, 0], logs
    steps = [checkpoint_files.step_of(path) for path in checkpoints(by_time)]
    assert steps == [STEPS - 2, STEPS - 1, STEPS]

    # One is killed: the other says so and ends.
    codes, logs = join(start_workers(2, workdir, "float64", {7: signal.SIGKILL}))
    assert codes == [WRONG, -signal.SIGKILL], logs
    assert "error: worker 0 of 2 has lost another," in logs[0].splitlines()[-1]
    assert checkpoint_files.step_of(checkpoints(workdir)[-1]) == 6

    codes, logs = join(start_workers(2, workdir, "float64"))
    assert codes == [0, 0], logs
    assert largest_error(losses(workdir), losses(one["float64"]))[0] <= 1e-6
    error = largest_error(state(workdir), state(one["float64"]))
    assert error[0] <= 1e-6, error


def test_eight_workers_of_which_four_remain_end_where_one_device_ends(start_workers, one, folder):
    """A node is lost for good: those that are left go on, with larger shares of the batch."""
    workdir = folder / "eight_float64"
    codes, logs = join(start_workers(8, workdir, "float64", {5: signal.SIGKILL}))
    assert codes == [WRONG] * 7 + [-signal.SIGKILL], logs
    assert "multi_worker: 8 replicas, worker 0 of 8" in logs[0]
    for worker, log in enumerate(logs[:7]):
        assert f"error: worker {worker} of 8 has lost another," in log.splitlines()[-1]
    assert checkpoint_files.step_of(checkpoints(workdir)[-1]) == 4

    codes, logs = join(start_workers(4, workdir, "float64"))
    assert codes == [0] * 4, logs
    assert "multi_worker: 4 replicas, worker 0 of 4" in logs[0]
    assert "from step 4" in logs[0]
    assert largest_error(losses(workdir), losses(one["float64"]))[0] <= 1e-6
    error = largest_error(state(workdir), state(one["float64"]))
    assert error[0] <= 1e-6, error


def checkpoints(workdir):
    return checkpoint_files.checkpoints(workdir / "checkpoints")


def test_a_batch_that_cannot_be_shared_is_said():
    one = create_distribution("one_device")
    one.check(8, 4, stem=False)
    one.check(8, 1, stem=True)
    with pytest.raises(InputError, match="batch_size is 8; expected a multiple of 3"):
        one.check(8, 3, stem=False)
    with pytest.raises(InputError, match="convolutional stem"):
        one.check(8, 4, stem=True)
