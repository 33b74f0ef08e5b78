"""What the encoders of a comparison cost: operations of a frame, and frames per second here."""

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from data.common.logs import logger
from data.storage.whole import write_json
from down_stream.cells.cell import Cell
from down_stream.cells.opening import Encoders, open_configured
from down_stream.choices import ATTENTIVE
from down_stream.features.extraction import representation
from down_stream.features.pooling import choose_features, compute_features
from msn.formats.files.feature_table import FeatureTable
from msn.formats.onnx_encoder import OnnxEncoder
from msn.formats.saved_model import FrozenEncoder

BATCH = 32  # frames at once
FUNCTION = "features"  # that is measured: earlier versions counted operations of another one
LEAST_SECONDS, LEAST_TIMES = 1.0, 3  # of measurement


def measure_costs(described: dict, cells: Sequence[Cell], encoders: Encoders, path: Path) -> None:
    """Adds "gflop" (of a frame), "frames_per_second" and "device" to what is known of encoders.

    They are of the features of an encoder's first cell; None for tables, which compute nothing, and
    "gflop" where a graph hides its operations. What was measured before, on a device of this name,
    is taken from `path`.
    """
    known = _read(path)
    device = device_name()
    for cell in cells:
        name = cell.facts["encoder"]
        if name not in described or "gflop" in described[name]:
            continue
        key = f"{encoders.fingerprint(cell.config)} {cell.config.features} {FUNCTION} {device}"
        if key not in known:
            known[key] = _measure(open_configured(cell.config), cell.config.features)
        described[name] |= known[key] | {"device": device}
    write_json(path, known)


def _read(path: Path) -> dict:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}  # not there yet, or cut off: measured anew


def _measure(encoder, features: str | None) -> dict:
    if isinstance(encoder, FeatureTable):
        return {"gflop": None, "frames_per_second": None}
    chosen = None if features == ATTENTIVE else features  # what it pools is next to nothing
    chosen = choose_features(encoder, chosen)
    return {
        "gflop": operations(encoder, chosen),
        "frames_per_second": frames_per_second(representation(encoder, chosen), encoder.image_size),
    }


def operations(encoder, features: str) -> float | None:
    """Billions of operations for the features of a frame, None where the graph hides them.

    Of the function that `frames_per_second` measures: preprocessing, network and pooling.
    As TensorFlow's profiler counts them: a multiplication and an addition are two.
    """
    if isinstance(encoder, OnnxEncoder | FrozenEncoder):
        return None
    size = encoder.image_size
    spec = tf.TensorSpec((1, size, size, 3), tf.float32)
    function = tf.function(
        lambda images: compute_features(encoder, images, features), autograph=False
    )
    graph = function.get_concrete_function(spec).graph
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    return tf.compat.v1.profiler.profile(graph, options=options).total_float_ops / 1e9


def frames_per_second(function: Callable, size: int) -> float:
    """How many frames of `size` pixels a function of batches gets through, once it is compiled."""
    images = tf.constant(
        np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3), np.uint8)
    )
    function(images)
    taken, begun = [], time.perf_counter()
    while len(taken) < LEAST_TIMES or time.perf_counter() - begun < LEAST_SECONDS:
        started = time.perf_counter()
        function(images).numpy()
        taken.append(time.perf_counter() - started)
    rate = BATCH / float(np.median(taken))
    logger.info("%.0f frames of %d pixels a second", rate, size)
    return rate


def device_name() -> str:
    """The device that computes, in words."""
    if gpus := tf.config.list_physical_devices("GPU"):
        return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    return f"{platform.machine()} CPU, {os.cpu_count()} cores"
