import contextlib
import os
import shutil
import subprocess
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before any test imports TensorFlow

import pytest

# Files that take minutes begin first: the last one would run while a core is idle.
LONG = {
    "test_commands_chained",
    "test_documentation",
    "test_golden",
    "test_nights",
    "test_notebooks",
    "test_pretrain_killed",
    "test_proof_real",
    "test_replicas",
    "test_reproduce",
    "test_slurm",
}


def pytest_configure(config):
    """All commands of a run share a user's cache and compiled programs; empty before it."""
    if not hasattr(config, "workerinput"):  # the process that starts the others
        config.programs = os.environ["MSN_PROGRAMS"] = tempfile.mkdtemp(prefix="programs-")
        config.user_cache = os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="cache-")


def pytest_unconfigure(config):
    for folder in (getattr(config, name, None) for name in ("programs", "user_cache")):
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory):
    """Four videos of 14 labelled frames; read only."""
    from tests.support.small_dataset import (
        make_small_dataset,  # what `make test-backends` has no need for
    )

    return make_small_dataset(tmp_path_factory.mktemp("data") / "cholec80")


@pytest.fixture(scope="session")
def s3():
    """The address of an S3 server, which s3:// leads to meanwhile."""
    from tests.support.object_store import s3_server

    with s3_server() as address:
        yield address


@pytest.fixture(params=["disk", "s3", "memory"])
def root(request, tmp_path):
    """An empty folder of each kind."""
    if request.param == "disk":
        return tmp_path
    from tests.support.object_store import new_place

    if request.param == "s3":
        request.getfixturevalue("s3")
    return new_place(request.param)


@pytest.fixture
def small_disk(tmp_path_factory):
    """A file system of 64 MB, so that a test can fill it."""
    folder = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small file system can be mounted by root alone")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def eagerly():
    """Nothing is compiled for a test: that takes longer than to run a miniature."""
    with run_eagerly():
        yield


@pytest.fixture(scope="module")
def eager():
    """As `eagerly`, for all tests of a module."""
    with run_eagerly():
        yield


@pytest.fixture
def without_xla(request, monkeypatch):
    """Programs are traced and not compiled, which takes longer; but in tests marked `xla`."""
    if request.node.get_closest_marker("xla"):
        return
    from down_stream.classifiers import finetuning, linear_probe
    from down_stream.features import extraction

    for module in (finetuning, linear_probe, extraction):
        monkeypatch.setattr(module, "xla_works", lambda: False)


@contextlib.contextmanager
def run_eagerly():
    import tensorflow as tf  # which `make test-backends` has not

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
