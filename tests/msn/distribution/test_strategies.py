"""Which devices and which processes a run finds."""

import json

import pytest

from data.common.errors import InputError
from msn.distribution.cluster import cluster_of_environment, workers_of
from msn.distribution.strategies import create_distribution, found_strategy


def test_what_there_is_chooses_the_strategy(monkeypatch):
    for name in ("TF_CONFIG", "TPU_NAME"):
        monkeypatch.delenv(name, raising=False)
    assert found_strategy() == "one_device"
    monkeypatch.setenv("TPU_NAME", "local")
    assert found_strategy() == "tpu"
    for workers, expected in ((["a:1"], "tpu"), (["a:1", "b:1"], "multi_worker")):
        described = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": 0}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(described))
        assert found_strategy() == expected
    described["cluster"] = {"chief": ["a:1"], "worker": ["b:1"]}
    monkeypatch.setenv("TF_CONFIG", json.dumps(described))
    assert found_strategy() == "multi_worker"


def test_slurm_names_the_cluster(monkeypatch):
    """Variables as `srun --ntasks-per-node=2` sets them on node[7-8]."""
    monkeypatch.delenv("TF_CONFIG", raising=False)
    slurm = {
        "SLURM_PROCID": "2",
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_STEP_NODELIST": "node[7-8]",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
        "SLURM_JOB_ID": "40123",
    }
    for name, value in slurm.items():
        monkeypatch.setenv(name, value)
    resolver = cluster_of_environment()
    assert resolver.cluster_spec().as_dict() == {
        "worker": ["node7:20123", "node7:20124", "node8:20123", "node8:20124"]
    }
    assert (resolver.task_type, resolver.task_id) == ("worker", 2)
    assert resolver.num_accelerators() == {"GPU": 0}


def _config(workers):
    return json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": 0}})


@pytest.mark.parametrize(
    "strategy, environment, named",
    [
        ("mirrored", {}, "found one CPU; expected several GPUs"),
        ("tpu", {}, "TPU_NAME is not set"),
        ("tpu", {"TPU_NAME": "local"}, "TPUs not found"),  # without asking Google Cloud
        ("multi_worker", {}, "neither TF_CONFIG nor a Slurm job step"),
        ("multi_worker", {"TF_CONFIG": "{"}, "TF_CONFIG is '{'; expected"),
        ("auto", {"TF_CONFIG": '{"cluster": {}, "task": {}}'}, "TF_CONFIG is"),
        ("multi_worker", {"TF_CONFIG": _config([None, "a:1"])}, "TF_CONFIG is"),
        ("multi_worker", {"TF_CONFIG": _config("a:1")}, "TF_CONFIG is"),
        ("auto", {"TF_CONFIG": _config(["a:1", 2])}, "TF_CONFIG is"),
        ("auto", {"TF_CONFIG": '{"cluster": [], "task": {"type": "worker", "index": 0}}'}, "TF_CO"),
    ],
)
def test_devices_that_are_not_there_are_said(strategy, environment, named, monkeypatch):
    for name in ("TF_CONFIG", "TPU_NAME", "SLURM_STEP_NODELIST"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=named):
        create_distribution(strategy)


def test_a_chief_comes_before_the_workers(monkeypatch):
    cluster = {"worker": ["b:1", "c:1"], "chief": ["a:1"], "ps": ["d:1"]}
    for task, index in ((("chief", 0), 0), (("worker", 1), 2)):
        described = {"cluster": cluster, "task": dict(zip(("type", "index"), task, strict=True))}
        monkeypatch.setenv("TF_CONFIG", json.dumps(described))
        assert workers_of(cluster_of_environment()) == (["a:1", "b:1", "c:1"], index)
    described["task"]["index"] = 2
    monkeypatch.setenv("TF_CONFIG", json.dumps(described))
    with pytest.raises(InputError, match="this process is worker 2; expected one of the cluster's"):
        workers_of(cluster_of_environment())
