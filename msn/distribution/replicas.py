"""The replicas of a run: what they share, how they agree, and their train step.

On TensorFlow's strategies (`tf.distribute`): every replica has all variables and a share of the
batch, and `msn.distribution.gradient_cache` computes the update that one device would make with
the whole.
"""

import contextlib

import tensorflow as tf

from data.common.errors import InputError, one_line
from msn.distribution.gradient_cache import CachedStep
from msn.method.model import MSN

# What collective operations raise when a worker is gone; others are mistakes of our own.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
)


class Distribution:
    """The replicas of a run, as one of its processes (a worker) sees them.

    Args:
      strategy: `tf.distribute.Strategy`; the default one is one device.

    Attributes:
      replicas: of all workers together.
      workers, worker: how many processes there are, and the number of this one, from 0.
      is_chief: whether this worker is the one that writes to the run directory: number 0.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self.strategy = strategy
        self.replicas = strategy.num_replicas_in_sync
        ids = strategy.experimental_local_results(
            strategy.experimental_distribute_values_from_function(
                lambda context: context.replica_id_in_sync_group
            )
        )
        self.local_replicas = len(ids)
        self.workers = self.replicas // self.local_replicas
        self.worker = int(ids[0]) // self.local_replicas
        self.is_chief = self.worker == 0
        self._sum = tf.function(self._sum_of_replicas, autograph=False)
        self._flags = None

    def check(self, batch_size: int, accumulation: int, stem: bool) -> None:
        """Raises `InputError` for a batch that cannot be shared.

        Args:
          batch_size: of all replicas together.
          accumulation: number of micro-batches of each replica.
          stem: whether the network has a convolutional stem.
        """
        parts = self.replicas * accumulation
        if batch_size % parts:
            raise InputError(
                f"batch_size is {batch_size}; expected a multiple of {parts}, for "
                f"{self.replicas} replicas with {accumulation} micro-batches each"
            )
        if stem and parts > 1:
            raise InputError(
                f"{self.replicas} replicas and accumulation {accumulation} with a convolutional "
                "stem, whose batch norms are over the whole batch; expected one replica "
                "without accumulation, or a network with plain patches"
            )

    def create_step(self, model: MSN, accumulation: int, compiled: bool):
        """The function that does one step: (batch of this worker, kept patches, schedule) -> logs.

        See `MSN.train_step`. On one device without accumulation it is one program of XLA's.
        """
        if self.replicas == accumulation == 1:
            return tf.function(model.train_step, jit_compile=compiled, autograph=False)
        is_tpu = isinstance(self.strategy, tf.distribute.TPUStrategy)  # there, all is compiled
        step = CachedStep(model, accumulation, compiled and not is_tpu)

        @tf.function(autograph=False)
        def on_all_replicas(views, kept_patches, schedule):
            logs = self.strategy.run(step, args=(views, kept_patches, schedule))
            return {name: self._first(value) for name, value in logs.items()}

        return lambda views, *others: on_all_replicas(self.shares(views), *others)

    def shares(self, views: dict) -> dict:
        """The views of this worker, each replica's share on its own."""
        if self.local_replicas == 1:
            return views

        def share(context):
            index = context.replica_id_in_sync_group % self.local_replicas
            with tf.device("CPU:0"):  # where the batch is; not by way of the first GPU
                return {
                    name: tf.split(value, self.local_replicas, axis=int(name == "focal"))[index]
                    for name, value in views.items()
                }

        return self.strategy.experimental_distribute_values_from_function(share)

    def agree(self, **numbers: int) -> None:
        """Waits for all workers; raises `InputError` if one has other numbers than the chief.

        Args:
          **numbers: ints below 2**53, by name.
        """
        if self.workers == 1:
            return
        own = tf.constant(list(numbers.values()), tf.float64)
        with self.named_errors():
            rows = self._sum(own).numpy()[:: self.local_replicas].astype(int)
        for worker, row in enumerate(rows):
            for name, value, chiefs in zip(numbers, row, rows[0], strict=True):
                if value != chiefs:
                    raise InputError(
                        f"{name} is {value} on worker {worker} and {chiefs} on the chief; expected "
                        f"the same command, data and --workdir on all"
                    )

    def anywhere(self, *flags: bool) -> tuple[bool, ...]:
        """Whether each flag is true; among several workers, whether it was for any, a call before.

        All have to call it at the same time, and all are answered the same. A call before, so that
        nobody waits for the answer while the devices have nothing to do.
        """
        if self.workers == 1:
            return flags
        before, self._flags = self._flags, self._sum(tf.constant(flags, tf.float64))
        if before is None:
            return (False,) * len(flags)
        return tuple(map(bool, before.numpy().any(axis=0)))

    @contextlib.contextmanager
    def named_errors(self):
        """Context that turns what the end of another worker raises into `InputError`."""
        try:
            yield
        except LOST as error:
            if self.workers == 1:
                raise
            reason = one_line(error)
            raise InputError(
                f"worker {self.worker} of {self.workers} has lost another, whose log says why "
                f"({type(error).__name__} here: {reason}); start all workers again to go on from "
                "the last checkpoint"
            ) from error

    def _sum_of_replicas(self, own):
        """Float [k] -> [replicas, k], those of every replica."""

        def on_one(own):
            context = tf.distribute.get_replica_context()
            place = tf.one_hot(context.replica_id_in_sync_group, self.replicas, dtype=own.dtype)
            return context.all_reduce(tf.distribute.ReduceOp.SUM, place[:, None] * own)

        return self._first(self.strategy.run(on_one, args=(own,)))

    def _first(self, value):
        """The value of the first replica of this worker."""
        return self.strategy.experimental_local_results(value)[0]
