"""What a step over several processes sends, and what that costs; beside a model of it.

  unshare --map-root-user --net .venv/bin/python -m tests.benchmarks.scaling

Two, four and eight processes of this machine, a small network, XLA off. In a network of their own
(`unshare`) nothing but they uses the loopback device, whose counter is then what they send. At two
processes each times three things in turn: a step; the same step with nothing exchanged, that
computes as much (`Alone`); and heads and loss of the whole batch, which every replica computes.
The model's table for GPUs is printed, too. Takes about ten minutes on two cores.
"""

import contextlib
import fcntl
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
from pathlib import Path

from data.common import cli
from tests.benchmarks.report import interleaved, run
from tests.benchmarks.scaling_model import exchanged, print_table

WORKERS = (2, 4, 8)
CASES = ((16, 256), (32, 256), (16, 2048))  # batch size, prototypes
STEPS = 3  # of a measurement of bytes
ROUNDS = 9


def small_config(batch_size: int, prototypes: int):
    from configs import msn_base

    config = msn_base.get_config()
    config.model.variant, config.patch_drop = "vitmicro16", 0.15
    config.model.hidden_dim, config.model.output_dim = 256, 128
    config.views.size, config.views.focal_size, config.views.focal_views = 96, 48, 4
    config.batch_size, config.model.num_prototypes = batch_size, prototypes
    return config


class Alone:
    """A replica context in which nothing is exchanged: other replicas have given zeros."""

    def __init__(self, context):
        self.num_replicas_in_sync = context.num_replicas_in_sync
        self.replica_id_in_sync_group = context.replica_id_in_sync_group

    def all_reduce(self, _, value):
        return value


class Noted:
    """The replica context itself, which notes what is given to its collectives.

    Attributes:
      sizes: bytes of each call of `all_reduce`, in a list.
    """

    def __init__(self, context, sizes):
        self.context, self.sizes = context, sizes

    def __getattr__(self, name):
        return getattr(self.context, name)

    def all_reduce(self, operation, value):
        import tensorflow as tf

        tensors = tf.nest.flatten(value)
        self.sizes.append(sum(t.shape.num_elements() * t.dtype.size for t in tensors))
        return self.context.all_reduce(operation, value)


@contextlib.contextmanager
def contexts_are(wrap):
    """Context in which a step that is traced gets its replica context wrapped."""
    import tensorflow as tf

    real = tf.distribute.get_replica_context
    tf.distribute.get_replica_context = lambda: wrap(real())
    try:
        yield
    finally:
        tf.distribute.get_replica_context = real


class Case:
    """A model over the replicas, and one step of it in three ways."""

    def __init__(self, distribution, batch_size, prototypes):
        import tensorflow as tf

        from data.views.masking import kept_patches
        from msn.training.configuration import as_scalars, create_model, schedule_of_step
        from tests.benchmarks.pretrain_step import random_views

        self.config, self.sizes = small_config(batch_size, prototypes), []
        with distribution.strategy.scope():
            self.model = create_model(self.config)
        patches = self.model.anchor_encoder.backbone.grid**2
        schedule = schedule_of_step(self.config, 0, 1000, 100)
        self.arguments = (
            random_views(self.config.views, batch_size // distribution.replicas),
            tf.constant(kept_patches(patches, self.config.patch_drop, 0, 0)),
            as_scalars(schedule, "float32"),
        )
        with contexts_are(lambda context: Noted(context, self.sizes)):
            self.train_step = distribution.create_step(self.model, 1, compiled=False)
            self.step()

    def prepare_parts(self, distribution):
        """Traces what `alone` and `loss` call."""
        import tensorflow as tf

        from msn.distribution.gradient_cache import CachedStep

        with contexts_are(Alone):
            self.train_alone = distribution.create_step(self.model, 1, compiled=False)
            self.alone()
        pieces = CachedStep(self.model, 1, compiled=False)
        views = 2 + self.config.views.focal_views
        shape = (views, self.config.batch_size, self.model.anchor_encoder.width)
        rows = tf.random.normal(shape)
        self.head_and_loss = tf.function(
            lambda: distribution.strategy.run(pieces.loss_gradients, (rows, tf.constant(0.25)))
        )
        self.loss()

    def step(self):
        self.train_step(*self.arguments)["loss"].numpy()

    def alone(self):
        self.train_alone(*self.arguments)["loss"].numpy()

    def loss(self):
        self.head_and_loss()[0]["loss"].numpy()


def sent() -> int:
    """Bytes that went through this network's loopback device."""
    lines = Path("/proc/net/dev").read_text().splitlines()
    (line,) = (line for line in lines if line.strip().startswith("lo:"))
    return int(line.split()[9])


def bytes_of(call, distribution) -> float:
    """Bytes that each worker sends, on average, in a call that all make together."""
    distribution.agree(ready=0)
    before = sent()
    for _ in range(STEPS):
        call()
    distribution.agree(done=0)
    return (sent() - before) / STEPS / distribution.workers


def work() -> None:
    """One worker; the first prints what it measured as JSON."""
    cli.import_tensorflow()
    import tensorflow as tf

    from msn.distribution.strategies import create_distribution

    tf.config.threading.set_intra_op_parallelism_threads(1)
    distribution = create_distribution("multi_worker")
    if distribution.workers > 2:  # only bytes are measured: rewriting graphs takes longer than they
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    results = []
    for batch_size, prototypes in CASES:
        case = Case(distribution, batch_size, prototypes)
        result = {"batch_size": batch_size, "prototypes": prototypes}
        result["bytes_measured"] = bytes_of(case.step, distribution)
        result["bytes_to_collectives"] = case.sizes
        result["bytes_of_model"] = exchanged(case.config, distribution.replicas)
        if distribution.workers == 2 and not results:
            case.prepare_parts(distribution)
            result["bytes_alone"] = bytes_of(case.alone, distribution)
            taken = interleaved({n: getattr(case, n) for n in ("step", "alone", "loss")}, ROUNDS)
            for name in ("alone", "loss"):
                shares = [a / b for a, b in zip(taken[name], taken["step"], strict=True)]
                result[f"share_{name}"] = statistics.median(shares)
            result["seconds"] = {name: statistics.median(each) for name, each in taken.items()}
        results.append(result)
    if distribution.is_chief:
        print(json.dumps(results))


def start(workers: int) -> list[dict]:
    """What the first of so many workers has measured."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("", 0))) for _ in range(workers)]
        places = [f"localhost:{one.getsockname()[1]}" for one in sockets]
    processes = []
    for index in range(workers):
        task = {"cluster": {"worker": places}, "task": {"type": "worker", "index": index}}
        environment = os.environ | {"TF_CONFIG": json.dumps(task), "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, "-m", __spec__.name, "worker"]
        processes.append(subprocess.Popen(command, env=environment, stdout=-1, text=True))
    outputs = [process.communicate()[0] for process in processes]
    assert all(process.returncode == 0 for process in processes)
    return json.loads(outputs[0].splitlines()[-1])


def raise_loopback() -> None:
    """Switches the loopback device on: in a new network it is off."""
    name, up = b"lo", 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        flags = struct.pack("16sH14x", name, up)
        fcntl.ioctl(any_socket, 0x8914, flags)  # SIOCSIFFLAGS


def measure() -> dict:
    """All numbers of workers, a table of them; at two, the shares of a step."""
    raise_loopback()
    print("processes  batch  prototypes  MB sent each  model  ratio", flush=True)
    results = {}
    for workers in WORKERS:
        results[workers] = start(workers)
        for case in results[workers]:
            measured, model = case["bytes_measured"], sum(case["bytes_of_model"].values())
            print(
                f"{workers:9}  {case['batch_size']:5}  {case['prototypes']:10}  "
                f"{measured / 1e6:12.3f}  {model / 1e6:5.3f}  {measured / model:5.3f}",
                flush=True,
            )
            if "seconds" in case:
                print(
                    f"  of a step of {case['seconds']['step']:.2f} s: "
                    f"exchange {1 - case['share_alone']:.0%}, "
                    f"heads and loss of the whole batch {case['share_loss']:.0%}",
                    flush=True,
                )
    first, largest = results[2][0], results[8][0]
    model = sum(largest["bytes_of_model"].values())
    return {
        "measured": "bytes that each of 8 processes sends in a step, batch 16, 256 prototypes",
        "unit": "bytes",
        "value": largest["bytes_measured"],
        "baseline": "the model of docs/scaling.md",
        "baseline_value": model,
        "ratio": model / largest["bytes_measured"],
        "share_exchange_2": 1 - first["share_alone"],
        "share_heads_and_loss_2": first["share_loss"],
        "cases": results,
    }


if __name__ == "__main__":
    if sys.argv[1:] == ["worker"]:
        work()
    else:
        run("scaling", measure)
        print_table()
