import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from msn.method_figure import draw, mask, predictions
from msn.pretrain import pretrain
from msn.training.configuration import create_model
from tests.support.small_msn import small_config


def test_masked_patches_are_grey_and_kept_ones_as_they_are():
    view = np.random.default_rng(0).integers(0, 200, (16, 16, 3), np.uint8)
    masked = mask(view, kept=[0, 3], patch_size=8)
    np.testing.assert_array_equal(masked[:8, :8], view[:8, :8])
    np.testing.assert_array_equal(masked[8:, 8:], view[8:, 8:])
    assert (masked[:8, 8:] == 210).all()


def test_a_run_is_drawn(small_dataset, tmp_path):
    config = small_config(small_dataset, steps=1, checkpoint_every=1, log_every=1)
    assert pretrain(config, tmp_path / "run")
    frame = small_dataset / "frames" / "video01" / "video01_000001.png"
    draw(tmp_path / "run", frame, tmp_path / "method.png", seed=0)
    picture = cv2.imread(str(tmp_path / "method.png"))
    assert picture.shape == (660, 1430, 3)
    assert picture.std() > 20
    with pytest.raises(InputError, match="not a run"):
        draw(tmp_path, frame, tmp_path / "method.png", seed=0)


def test_bars_are_probabilities_and_the_targets_are_sharper():
    config = small_config("unused")
    model, random = create_model(config), np.random.default_rng(0)
    views = {
        "target": random.uniform(0, 255, (16, 16, 3)).astype(np.float32),
        "anchor": random.uniform(0, 255, (16, 16, 3)).astype(np.float32),
        "focal": random.uniform(0, 255, (2, 8, 8, 3)).astype(np.float32),
    }
    anchors, target = predictions(config, model, views, kept=[0, 3])
    np.testing.assert_allclose(anchors.sum(axis=1), np.ones(3), rtol=1e-5)
    np.testing.assert_allclose(target.sum(), 1, rtol=1e-5)
    assert min(anchors.min(), target.min()) >= 0
    assert target.max() > anchors.max() > 1 / 8
