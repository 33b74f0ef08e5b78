"""Speed of an encoder's inference, beside Hugging Face's ViTMSN in PyTorch.

  python -m tests.benchmarks.inference

ViT-S/16, 16 images of 224 pixels, the same weights on both sides (written as a ViTMSN directory),
on the CPU, in turns. Ours is the function by which embeddings are made; it normalises the images
itself, the other side gets them normalised.
"""

import statistics
import tempfile
from pathlib import Path

import numpy as np

from tests.benchmarks.report import OtherSide, median_ratio, report, seconds

BATCH, SIZE = 16, 224
ROUNDS = 15
TOLERANCE = 1e-4  # relative error of CLS
THEIRS = ("sdpa", "eager")


def measure() -> dict:
    """Both sides on the same images."""
    import tensorflow as tf

    from down_stream.features import representation
    from msn.hugging_face import write_directory
    from msn.vit import create_encoder

    images = np.random.default_rng(0).integers(0, 256, (BATCH, SIZE, SIZE, 3), np.uint8)
    encoder = create_encoder("vits16", SIZE, seed=0)
    ours = {
        "ours": representation(encoder),
        "all_tokens": tf.function(lambda batch: encoder(batch)[::-1], jit_compile=True),
    }
    inputs = tf.constant(images, tf.float32)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_directory(encoder, folder / "model")
        np.save(folder / "images.npy", images)
        with OtherSide("tests.benchmarks.torch_inference", name) as torch:
            outputs = {kind: function(inputs)[0].numpy() for kind, function in ours.items()}
            reference = [np.load(folder / f"{kind}.npy") for kind in THEIRS]
            error = max(relative_error(a, b) for a in outputs.values() for b in reference)
            if not error < TOLERANCE:
                raise ValueError(f"the two sides differ: relative error {error:.1e}")
            taken = {kind: [] for kind in (*ours, *THEIRS)}
            for _ in range(ROUNDS):
                for kind, function in ours.items():
                    taken[kind].append(seconds(lambda f=function: f(inputs)[0].numpy()))
                for kind in THEIRS:
                    taken[kind].append(torch.seconds(kind))

    fastest = min(THEIRS, key=lambda kind: statistics.median(taken[kind]))
    rates = {kind: BATCH / statistics.median(values) for kind, values in taken.items()}
    return {
        "measured": f"ViT-S/16 inference, batch {BATCH}, {SIZE} pixels, CPU",
        "unit": "images/s",
        "value": rates["ours"],
        "baseline": f"Hugging Face's ViTMSN on PyTorch, {fastest} attention",
        "baseline_value": rates[fastest],
        "ratio": median_ratio(taken[fastest], taken["ours"]),
        "all_tokens": rates["all_tokens"],
        "all_tokens_ratio": median_ratio(taken[fastest], taken["all_tokens"]),
        **{f"baseline_{kind}": rates[kind] for kind in THEIRS},
        "relative_error": error,
    }


def relative_error(ours, theirs) -> float:
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


if __name__ == "__main__":
    report("inference", measure())
