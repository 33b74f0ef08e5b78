"""Which trackers there are, read from `config.track`; a package is imported where it is used.

MLflow (mlflow.org) and Weights & Biases (wandb.ai) find their server, project and credentials where
their own tools do: in environment variables and ~/.netrc.
"""

import importlib
import importlib.util
import os

from data.common.errors import InputError

# Name in `config.track` -> its package, and the module here that speaks to it.
TRACKERS = {"mlflow": "msn.tracking.mlflow_run", "wandb": "msn.tracking.wandb_run"}
REQUIREMENTS = "requirements-tracking.txt"


def tracker_names(track: str) -> list[str]:
    """The trackers that `config.track` names, as "mlflow" or "mlflow,wandb"; [] of "".

    Raises:
      InputError: there is no such tracker; its package is missing; MLflow's server is not named.
    """
    names = list(dict.fromkeys(name.strip() for name in track.split(",") if name.strip()))
    for name in names:
        if name not in TRACKERS:
            raise InputError(f"track: {name!r}; expected {' or '.join(TRACKERS)}, or both, as a,b")
        if not importlib.util.find_spec(name):
            raise InputError(
                f"track={name}: its package is not installed; run: python -m pip install "
                f"-r {REQUIREMENTS}"
            )
    if "mlflow" in names and not os.environ.get("MLFLOW_TRACKING_URI"):
        raise InputError(
            "track=mlflow: MLFLOW_TRACKING_URI is not set; expected the address of a server, as "
            "export MLFLOW_TRACKING_URI=http://127.0.0.1:5000"
        )
    return names


def open_tracker(name: str):
    """The module that speaks to a tracker: its `begin` returns its run."""
    return importlib.import_module(TRACKERS[name])
