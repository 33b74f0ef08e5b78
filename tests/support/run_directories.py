"""What tests read of a pre-training's run directory."""

import json

import safetensors.numpy

from msn.workdir import checkpoint_files


def metrics_in(workdir):
    """The lines of its metrics.jsonl, as dicts."""
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def last_state(workdir):
    """{name: array} of its last checkpoint."""
    path = checkpoint_files.checkpoints(workdir / "checkpoints")[-1]
    return safetensors.numpy.load(path.read_bytes())
