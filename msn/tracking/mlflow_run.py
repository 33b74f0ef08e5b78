"""A run on an MLflow server, through its client (mlflow.org; the package mlflow-skinny has it).

MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME and MLflow's variables for credentials hold.
"""

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence

# Before its import: what is away is said and tried again here, and nothing waits for minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from data.storage.folders import local_copy
from data.storage.paths import AnyPath
from msn.tracking.contents import PROJECT, Contents, title_of

KEY = "endoscopy-msn.key"  # the tag by which a run is found again
MOST_METRICS, MOST_PARAMETERS, LONGEST_VALUE = 1000, 100, 6000  # of a request; of a parameter
STATUS = {"running": "RUNNING", "complete": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


def begin(folder: AnyPath, key: str, contents: Contents) -> "MlflowRun":
    """The run with a key on the server, made if there is none.

    Args:
      folder: the run directory, by which it is named.
      key: of the run.
      contents: its configuration becomes the parameters.

    Raises:
      what the client raises: the server cannot be reached, or refuses.
    """
    client = MlflowClient()
    experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
    known = client.get_experiment_by_name(experiment)
    number = known.experiment_id if known else client.create_experiment(experiment)
    runs = client.search_runs([number], f"tags.`{KEY}` = '{key}'")
    if not runs:
        name, group = title_of(folder)
        tags = {KEY: key, "kind": contents.kind} | ({"group": group} if group else {})
        runs = [client.create_run(number, run_name=name, tags=tags)]
        is_new = True
    else:
        is_new = False
    run = MlflowRun(client, runs[0], is_new)
    if not runs[0].data.params:
        run.add_parameters(contents.config)
    return run


class MlflowRun:
    """A run on the server; methods raise what its client does.

    Attributes:
      is_new: whether the server did not know it.
      address: of its page.
    """

    def __init__(self, client: MlflowClient, run, is_new: bool):
        self._client, self._run, self.is_new = client, run.info.run_id, is_new
        server = os.environ["MLFLOW_TRACKING_URI"].rstrip("/")
        self.address = f"{server}/#/experiments/{run.info.experiment_id}/runs/{self._run}"

    def last_step(self, rows: Sequence[tuple[int, Mapping[str, float]]]) -> int | None:
        """The last step that the server has of what the first of these rows has; None of none."""
        if not rows:
            return None
        name = _name(next(iter(rows[0][1])))
        history = self._client.get_metric_history(self._run, name)
        return max((metric.step for metric in history), default=0)

    def parts(self, rows: Sequence[tuple[int, Mapping[str, float]]]) -> Iterator[list]:
        """Rows in as few requests as the server takes; a row is in one, which it takes whole."""
        part, number = [], 0
        for row in rows:
            if number + len(row[1]) > MOST_METRICS:
                yield part
                part, number = [], 0
            part.append(row)
            number += len(row[1])
        if part:
            yield part

    def log(self, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Adds rows to the curves."""
        now = int(1000 * time.time())
        metrics = [
            Metric(_name(name), value, now, step)
            for step, row in rows
            for name, value in row.items()
        ]
        self._client.log_batch(self._run, metrics=metrics)

    def add_parameters(self, config: Mapping) -> None:
        """Adds a configuration; long values, as lists of videos, are cut off."""
        params = [Param(_name(key), str(value)[:LONGEST_VALUE]) for key, value in config.items()]
        for first in range(0, len(params), MOST_PARAMETERS):
            self._client.log_batch(self._run, params=params[first : first + MOST_PARAMETERS])

    def add_scores(self, scores: Mapping[str, float]) -> None:
        """Adds what was measured at the end."""
        for part in self.parts([(0, {name: value}) for name, value in scores.items()]):
            self.log(part)

    def add_files(self, files: Mapping[str, AnyPath]) -> None:
        """Adds artifacts, {name: file}; folders are in the name."""
        for name, path in files.items():
            place = name.rpartition("/")[0] or None
            with local_copy(path) as file:
                self._client.log_artifact(self._run, str(file), place)

    add_encoder = add_files

    def set_status(self, status: str) -> None:
        """Says how the run stands."""
        if status == "running":
            self._client.update_run(self._run, status=STATUS[status])
        else:
            self._client.set_terminated(self._run, STATUS[status])


def _name(text: str) -> str:
    """What MLflow takes for a name: letters, digits, and a few signs."""
    return re.sub(r"[^\w./ -]", "_", text)
