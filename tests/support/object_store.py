"""A real S3 server on loopback, moto's, in a process of its own."""

import contextlib
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.storage.paths import AnyPath, to_path

BUCKET = "bucket"


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """Context with a server at a port of the system's choice; yields its address.

    This process, and those that it starts, find it, and a bucket in it.
    """
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with (
        tempfile.NamedTemporaryFile() as log,
        subprocess.Popen(command, stderr=log) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        try:
            address = _address_of(server, Path(log.name))
            patch.setenv("AWS_ENDPOINT_URL", address)
            patch.setenv("AWS_ACCESS_KEY_ID", "id")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
            patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
            files = to_path(f"s3://{BUCKET}").fs
            files.clear_instance_cache()
            files.mkdir(BUCKET)
            yield address
        finally:
            server.kill()


def _address_of(server: subprocess.Popen, log: Path) -> str:
    """What a server that starts says about where it listens."""
    while not (found := re.search(r"Running on (http://\S+)", log.read_text())):
        assert server.poll() is None, log.read_text()
        time.sleep(0.02)
    return found[1]


def new_place(scheme: str = "s3") -> AnyPath:
    """A folder of no other test."""
    return to_path(f"{scheme}://{BUCKET}/{uuid.uuid4()}")
