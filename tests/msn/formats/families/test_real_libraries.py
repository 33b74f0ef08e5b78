"""Encoders that transformers, timm and PyTorch write now, in other sizes than the golden files'.

`make test-encoders` installs them; elsewhere there is nothing to be tested.
"""

import importlib.util

import numpy as np
import pytest

from msn.encoders import load_encoder
from tests.support.golden_families import NAMES, given
from tests.support.golden_files import relative_error

LIBRARIES = ("torch", "transformers", "timm")
pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, LIBRARIES)), reason="make test-encoders installs them"
)
SIZES = {"width": 48, "depth": 3, "heads": 4, "patch": 8, "image": 40}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_library_writes_now_opens_and_computes_the_same(name, tmp_path):
    from tests.support.foreign_encoders import write

    write(name, tmp_path, SIZES, seed=3)
    facts = given(name)
    if "num_heads" in facts:
        facts["num_heads"] = SIZES["heads"]
    encoder = load_encoder(tmp_path / name, **facts)
    with np.load(tmp_path / f"{name}.npz") as expected:
        for start in ("", "larger_") if "larger" in expected else ("",):
            tokens, cls = encoder.backbone(expected[f"{start}".rstrip("_") or "image"])
            assert relative_error(tokens, expected[f"{start}tokens"]) <= 1e-5
            assert relative_error(cls, expected[f"{start}cls"]) <= 1e-5
