r"""What an epoch of the linear probe costs, beside an epoch that encodes the frames again.

  python -m tests.benchmarks.probe

ViT-S/16 with random weights at 224 pixels, rendered frames of 854 x 480, JPEG, on the CPU, in
turns. An epoch of the probe is that of configs/phase_probe.py: all heads of a grid of 15 are
updated and scored by macro-F1 on validation frames. The epoch that encodes again reads and encodes
the training frames, nothing else: neither updates nor validation are counted for it. Takes about
two minutes on two cores.
"""

import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from data.dataset.cholec80 import SOURCE_FPS
from data.dataset.frame_index import FrameIndex, load_index
from data.indexing.building import build_index
from data.synthetic.camera import Endoscope
from data.synthetic.cholec80 import make_timeline
from down_stream.classifiers.linear_probe import fit_linear_probe
from down_stream.features.cache import cached_features
from down_stream.features.extraction import over_frames, representation
from down_stream.tasks import open_task
from msn.networks.encoder import create_encoder
from tests.benchmarks.report import median_ratio, run, seconds

VIDEOS, SECONDS, SIZE = 6, 50, (854, 480)
IMAGE_SIZE, BATCH = 224, 32
EPOCHS, ROUNDS = 50, 3
RATES, DECAYS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0), (0.0, 1e-4, 1e-2)


def make_index(root: Path) -> tuple[FrameIndex, FrameIndex]:
    """Rendered frames, one per second: those to train on, and those to validate."""
    (root / "phase_annotations").mkdir(parents=True)
    for number in range(1, VIDEOS + 1):
        random = np.random.default_rng([0, number])
        timeline = make_timeline(random, SECONDS)
        endoscope = Endoscope(random, SIZE, timeline)
        folder = root / "frames" / f"video{number:02d}"
        folder.mkdir(parents=True)
        for second in range(len(timeline.phases)):
            path = folder / f"{folder.name}_{second + 1:06d}.jpg"
            frame = endoscope.frame(SOURCE_FPS * second)
            cv2.imwrite(str(path), frame, [cv2.IMWRITE_JPEG_QUALITY, 95])
        phases = np.repeat(timeline.phases, SOURCE_FPS)
        rows = "".join(f"{row}\t{phase}\n" for row, phase in enumerate(phases))
        (root / "phase_annotations" / f"{folder.name}-phase.txt").write_text(
            f"Frame\tPhase\n{rows}"
        )
    build_index(root)
    index = load_index(root)
    return index.select(videos=index.videos[:-1]), index.select(videos=index.videos[-1:])


def measure() -> dict:
    """Both kinds of epoch on the same frames."""
    task = open_task("phases", ())
    encoder = create_encoder("vits16", IMAGE_SIZE, seed=0)
    encode, common = representation(encoder, "cls"), {"image_size": IMAGE_SIZE, "batch_size": BATCH}
    with tempfile.TemporaryDirectory() as name:
        train, held_out = make_index(Path(name, "data"))
        cache = {
            "features": "cls",
            "folder": Path(name, "cache"),
            "description": "features",
            **common,
        }
        filling = seconds(lambda: cached_features(encoder, train, **cache))
        features, rows = cached_features(encoder, train, **cache)
        others, other_rows = cached_features(encoder, held_out, **cache)
        over_frames(encode, held_out, description="compiling", **common)
        parts = features, train.take(rows), others, held_out.take(other_rows)
        taken = {"encode": [], "cached": [], "probe": []}
        for _ in range(ROUNDS):
            taken["encode"].append(
                seconds(lambda: over_frames(encode, train, description="encoding", **common))
            )
            taken["cached"].append(seconds(lambda: cached_features(encoder, train, **cache)))
            taken["probe"].append(epoch_seconds(task, *parts))

    medians = {key: statistics.median(values) for key, values in taken.items()}
    return {
        "measured": f"an epoch of the linear probe, {len(RATES) * len(DECAYS)} heads, CPU",
        "unit": "ms",
        "value": 1000 * medians["probe"],
        "baseline": "reading and encoding the frames once, ViT-S/16, 224 pixels",
        "baseline_value": 1000 * medians["encode"],
        "ratio": median_ratio(taken["encode"], taken["probe"]),
        "frames": len(train),
        "validation_frames": len(held_out),
        "seconds_to_fill_the_cache": filling,
        "seconds_from_the_cache": medians["cached"],
    }


def epoch_seconds(task, features, index, held_out, held_out_index) -> float:
    """Seconds per epoch, from the end of the first one on: what is compiled is not counted."""
    scorer = task.scorer(held_out_index)
    ends = []  # of every score

    def score(probabilities):
        value = scorer(probabilities)
        ends.append(time.perf_counter())
        return value

    fit_linear_probe(
        features,
        task.labels(index),
        (held_out, score),
        classes=len(task.classes),
        learning_rates=RATES,
        weight_decays=DECAYS,
        optimizer="adamw",
        warmup=0.05,
        epochs=1 + EPOCHS,
        batch_size=256,
        seed=0,
    )
    return (ends[-1] - ends[len(RATES) * len(DECAYS) - 1]) / EPOCHS


if __name__ == "__main__":
    run("probe", measure)
