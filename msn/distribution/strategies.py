"""Where a run computes: one device, several of a machine, several machines, or a TPU."""

import os

import tensorflow as tf

from data.common.errors import InputError, one_line
from data.common.logs import logger
from msn.distribution.cluster import cluster_of_environment, workers_of
from msn.distribution.replicas import Distribution
from msn.distribution.waiting import wait_for_workers


def create_distribution(name: str, wait_minutes: float = 10) -> Distribution:
    """The replicas that a configuration's `strategy` asks for; waits for all workers.

    Args:
      name: "one_device"; "mirrored", all GPUs of this machine; "multi_worker", the processes that
        TF_CONFIG lists, or else those of a Slurm job step; "tpu", the one that TPU_NAME names; or
        "auto", the first that fits: several workers in TF_CONFIG, TPU_NAME, several GPUs.
      wait_minutes: how long "multi_worker" waits for the others.

    Raises:
      InputError: there are no such devices, or the cluster cannot be joined.
    """
    create = {
        "one_device": tf.distribute.get_strategy,
        "mirrored": mirrored,
        "multi_worker": lambda: multi_worker(wait_minutes),
        "tpu": tpu,
    }
    try:
        if name == "auto":
            name = found_strategy()
        distribution = Distribution(create[name]())
    except InputError:
        raise
    # What TensorFlow's resolvers raise for a cluster that makes no sense, or is not there.
    except (tf.errors.OpError, ValueError, TypeError, RuntimeError, OSError) as error:
        raise InputError(
            f"strategy={name}: the devices are not available ({one_line(error)})"
        ) from error
    if distribution.replicas > 1:
        logger.info(
            "%s: %d replicas, worker %d of %d",
            name,
            distribution.replicas,
            distribution.worker,
            distribution.workers,
        )
    return distribution


def found_strategy() -> str:
    """What "auto" stands for here."""
    if "TF_CONFIG" in os.environ:
        cluster = cluster_of_environment().cluster_spec().as_dict()
        if sum(map(len, cluster.values())) > 1:
            return "multi_worker"
    if os.environ.get("TPU_NAME"):
        return "tpu"
    return "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "one_device"


def mirrored() -> tf.distribute.Strategy:
    """All GPUs of this machine; without any, the logical CPUs, if they are several."""
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) < 2:
        raise InputError(
            f"strategy=mirrored: found one {devices[0].device_type}; expected several GPUs, "
            "or strategy=one_device"
        )
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def multi_worker(wait_minutes: float) -> tf.distribute.Strategy:
    """This process and the others of the cluster, once they are all there."""
    cluster = cluster_of_environment()
    logger.info("waiting for all workers of %s", cluster.cluster_spec().as_dict())
    wait_for_workers(*workers_of(cluster), wait_minutes)
    return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=cluster)


def tpu() -> tf.distribute.Strategy:
    """The TPU that TPU_NAME names: "local", that of this machine, or one in Google Cloud."""
    name = os.environ.get("TPU_NAME")
    if not name:
        raise InputError("strategy=tpu: TPU_NAME is not set; expected local or the TPU's name")
    # As an argument: from the environment, TensorFlow would look "local" up in Google Cloud.
    resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(name)
    return tf.distribute.TPUStrategy(resolver)
