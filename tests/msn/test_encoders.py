"""Encoders as Keras' own files."""

import subprocess
import sys

import numpy as np

from msn.networks.encoder import Encoder
from msn.networks.resnet import create_resnet
from tests.support.places import ROOT

OPENS = """
import sys
import keras, numpy as np
import msn.encoders
for name in ("plain", "options", "resnet"):
    encoder = keras.saving.load_model(f"{sys.argv[1]}/{name}.keras")
    images = np.load(f"{sys.argv[1]}/images.npy")
    np.save(f"{sys.argv[1]}/{name}.npy", encoder(images)[1])
"""
TINY = {"image_size": 32, "patch_size": 8, "width": 24, "depth": 2, "num_heads": 2}
OPTIONS = {"num_registers": 2, "swiglu": True, "layer_scale": True, "rope_theta": 100.0}


def test_keras_files_open_in_a_new_process(tmp_path):
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    np.save(tmp_path / "images.npy", images)
    encoders = {
        "plain": Encoder(**TINY, seed=1, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7)),
        "options": Encoder(
            **TINY | OPTIONS, cls_position=False, seed=2, features="mean", layer_norm_epsilon=1e-5
        ),
        "resnet": create_resnet("none", image_size=32, seed=3),
    }
    for name, encoder in encoders.items():
        encoder.save(tmp_path / f"{name}.keras")
    command = [sys.executable, "-c", OPENS, tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for name, encoder in encoders.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), encoder(images)[1], atol=1e-5)
