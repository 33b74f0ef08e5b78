"""The processes of a run on several machines, as the environment names them."""

import json
import os
import sys

import tensorflow as tf

from data.common.errors import InputError

TF_CONFIG_EXAMPLE = (
    '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}'
)


def cluster_of_environment() -> tf.distribute.cluster_resolver.ClusterResolver:
    """The cluster that TF_CONFIG describes, or else Slurm's variables."""
    resolvers = tf.distribute.cluster_resolver
    if "TF_CONFIG" in os.environ:
        try:
            described = json.loads(os.environ["TF_CONFIG"])
            tf.train.ClusterSpec(described["cluster"])
            described["task"]["type"], int(described["task"]["index"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"TF_CONFIG is {os.environ['TF_CONFIG']!r}; expected {TF_CONFIG_EXAMPLE}"
            ) from error
        return resolvers.TFConfigClusterResolver()
    if "SLURM_STEP_NODELIST" not in os.environ:
        raise InputError(
            "strategy=multi_worker: neither TF_CONFIG nor a Slurm job step; expected one of "
            "them (srun starts job steps)"
        )
    # Slurm gives every task its GPUs; the resolver would count those of a whole node. Its ports
    # are the same for all jobs, two of which may meet on a node.
    slurm = resolvers.SlurmClusterResolver(
        port_base=20000 + int(os.environ.get("SLURM_JOB_ID", 0)) % 10000,
        gpus_per_node=sys.maxsize,
        gpus_per_task=1,
        auto_set_gpu=False,
    )
    cluster = slurm.cluster_spec()
    task_type, task_id = slurm.get_task_info()
    return resolvers.SimpleClusterResolver(
        cluster,
        task_type=task_type,
        task_id=task_id,
        num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
    )


def workers_of(cluster: tf.distribute.cluster_resolver.ClusterResolver) -> tuple[list[str], int]:
    """HOST:PORT of all workers, a "chief" first, and the index of this process's."""
    spec, own = cluster.cluster_spec(), (cluster.task_type, cluster.task_id)
    jobs = [job for job in ("chief", "worker") if job in spec.jobs]
    places = [(job, task) for job in jobs for task in spec.task_indices(job)]
    if own not in places:
        raise InputError(
            f"this process is {own[0]} {own[1]}; expected one of the cluster's, {spec.as_dict()}"
        )
    return [spec.task_address(*place) for place in places], places.index(own)
