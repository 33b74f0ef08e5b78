"""Encoder directories as pre-training wrote them, and what they computed then under TensorFlow.

They must open under every backend, now and later: what is in tests/golden_encoders/ is not written
again for a change that it does not survive. `python -m tests.support.golden_encoders` wrote them.
"""

import shutil

import numpy as np

from tests.support.places import ROOT

FOLDER = ROOT / "tests" / "golden_encoders"
SIZES = {"image_size": 16, "patch_size": 4, "width": 12, "depth": 2, "num_heads": 3}
ENCODERS = {"plain": SIZES, "stem": SIZES | {"stem_channels": (4, 6), "gelu": "tanh"}}


def write(name):
    """The encoder with random weights, statistics of norms included, and its outputs."""
    from msn.encoders import SAVED_MODEL, save_encoder
    from msn.networks.encoder import Encoder

    random = np.random.default_rng(0)
    encoder = Encoder(**ENCODERS[name])
    encoder.set_weights(
        [random.normal(1.0 if w.ndim == 1 else 0.0, 0.3, w.shape) for w in encoder.get_weights()]
    )
    save_encoder(encoder, FOLDER / name, origin={"written": "for tests"})
    shutil.rmtree(FOLDER / name / SAVED_MODEL)
    images = random.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    tokens, cls = encoder(images)
    np.savez(FOLDER / name / "expected.npz", images=images, tokens=tokens, cls=cls)


if __name__ == "__main__":
    for name in ENCODERS:
        write(name)
