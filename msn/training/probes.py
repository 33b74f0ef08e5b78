"""The probes of a run: which there are, what they measure, and what the encoder tells of it."""

from typing import Any

import tensorflow as tf
from ml_collections import ConfigDict

from data.common import compiled_programs
from data.common.errors import InputError
from data.common.logs import logger
from data.frames.frames import Frames
from data.storage.paths import AnyPath, to_paths
from msn.method.model import MSN
from msn.training.knn_probe import KnnProbe
from msn.training.source_probe import SourceProbe
from msn.workdir.metrics_file import last_with

Probe = SourceProbe | KnnProbe


def create_probes(
    config: ConfigDict, model: MSN, source: Frames, roots: list[AnyPath], seen: list[str]
) -> list[Probe]:
    """The probes of the target encoder that `config.probe_every` asks for: of sources, and k-NN.

    Args:
      config: of the run.
      model, source, roots: its model, frames and dataset directories.
      seen: names of the videos that the encoder will have seen.
    """
    if not config.probe_every:
        return []
    probe, encoder = config.probe, model.target_encoder
    represent = tf.function(
        encoder.represent, jit_compile=compiled_programs.xla_works(), autograph=False
    )
    sizes = {"image_size": encoder.image_size, "max_frames": probe.max_frames}
    sources = SourceProbe(represent, source, roots, **sizes)
    if sources.number < 2:
        logger.warning(
            "probe_every=%d: no source_knn: found one data set, and in it %d video%s with two "
            "frames or more; expected several of either",
            *(config.probe_every, sources.number, "" if sources.number == 1 else "s"),
        )
    if not (probe.train_videos or probe.test_videos):
        return [sources] if sources.number > 1 else []
    if not probe.root and config.data.source != "images":
        raise InputError(
            "probe.root is empty; expected the dataset directories with labelled frames"
        )
    if probe.root:
        roots = to_paths(probe.root)
    videos = probe.train_videos, probe.test_videos
    return [sources, KnnProbe(represent, roots, probe.task, *videos, seen, **sizes)]


def scores_of(probes: list[Probe]) -> dict[str, float]:
    """What all probes measure."""
    return {name: value for probe in probes for name, value in probe().items()}


def told_scores(probes: list[Probe], metrics: bytes) -> list[dict[str, Any]]:
    """What probes measured last, by the lines of metrics.jsonl, for encoder.json and its card."""
    return [
        {"score": name, "value": row[name], "step": row["step"], "protocol": probe.protocol}
        for probe in probes
        for row in [last_with(probe.SCORES, metrics)]
        for name in probe.SCORES
        if name in row
    ]
