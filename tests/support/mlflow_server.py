"""A real MLflow server on loopback, in a process of its own, from an environment of its own.

Its package needs other versions than the project's: `make test-tracking` installs it.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.support.places import ROOT

PROGRAM = ROOT / ".venv-tracking" / "bin" / "mlflow"


class MlflowServer:
    """A server that keeps runs in SQLite; stopped and started, it is the same.

    Args:
      folder: receives its data base and artifacts.

    Attributes:
      address: where it listens, or will again.
    """

    def __init__(self, folder: Path):
        self._folder, self._process = folder, None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"

    @property
    def runs(self) -> bool:
        """Whether it was started, and not killed since."""
        return self._process is not None

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        command = [PROGRAM, "server", "--host=127.0.0.1", f"--port={self._port}", "--workers=1"]
        command += [f"--backend-store-uri=sqlite:///{self._folder}/runs.sqlite"]
        command += [f"--artifacts-destination={self._folder}/artifacts"]
        quiet = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=quiet, start_new_session=True
            )
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "server.log").read_text()
            time.sleep(0.1)

    def kill(self) -> None:
        """Ends it at once, with the workers that it has started."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Context in which it takes connections, and answers nothing."""
        os.killpg(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._process.pid, signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False
