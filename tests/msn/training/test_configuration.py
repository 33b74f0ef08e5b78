import math

import numpy as np
import pytest

from msn.training.configuration import create_model, schedule_of_step
from tests.support.small_msn import small_config


def test_every_key_reaches_what_it_is_for(small_dataset):
    config = small_config(
        small_dataset,
        patch_drop=0.5,
        views__size=32,
        loss__me_max_weight=5.0,
        loss__entropy_weight=0.5,
        loss__temperature=0.2,
        loss__sinkhorn=False,
        optimizer__clip_gradients=1.5,
        loss__prior_exponent=0.25,
        model__drop_path=0.1,
        model__mean=(0.1, 0.2, 0.3),
        model__std=(0.4, 0.5, 0.6),
        gradient_checkpointing=True,
        precision="bfloat16",
    )
    model = create_model(config)
    assert (model.me_max_weight, model.entropy_weight, model.temperature) == (5.0, 0.5, 0.2)
    assert (model.use_sinkhorn, model.clip_gradients) == (False, 1.5)
    assert (model.prior_exponent, model.drop_path, model.recompute) == (0.25, 0.1, True)
    assert model.anchor_encoder.image_size == 32
    assert model.anchor_encoder.mean == model.target_encoder.mean == (0.1, 0.2, 0.3)
    assert model.anchor_encoder.std == (0.4, 0.5, 0.6)
    assert model.anchor_encoder.compute_dtype == model.target_encoder.compute_dtype == "bfloat16"
    assert model.anchor_encoder.backbone.grid == 4


def test_the_seed_is_that_of_everything_random(small_dataset):
    one, same, other = (create_model(small_config(small_dataset, seed=s)) for s in (1, 1, 2))
    for part in ("anchor_encoder", "anchor_head", "target_encoder", "target_head"):
        kernels = [
            [np.array(w) for w in getattr(model, part).weights if len(w.shape) > 1]
            for model in (one, same, other)
        ]
        assert all(map(np.array_equal, *kernels[:2])), part
        # Only what starts at zero is the same for every seed.
        assert not any(np.array_equal(a, b) and a.any() for a, b in zip(*kernels[1:], strict=True))
    assert np.array_equal(one.prototypes, same.prototypes)
    assert not np.array_equal(one.prototypes, other.prototypes)
    assert (one.seed, other.seed) == (1, 2)  # of stochastic depth


@pytest.mark.parametrize("step", [0, 4, 5, 6, 19])
@pytest.mark.parametrize("rising", [True, False])
def test_schedules_are_those_of_the_configuration(small_dataset, step, rising):
    """Written out: 20 steps, 4 an epoch, 1.7 epochs of warm-up, laid out for 25 steps."""
    low, high = (0.1, 0.5) if rising else (0.5, 0.1)
    config = small_config(
        small_dataset,
        **{"ema_start": 0.75, "loss__sharpening": 0.25, "loss__final_sharpening": 0.125},
        **{"optimizer__start_learning_rate": 0.125, "optimizer__learning_rate": 1.0},
        **{"optimizer__final_learning_rate": 0.0625, "optimizer__warmup_epochs": 1.7},
        **{"optimizer__weight_decay": low, "optimizer__final_weight_decay": high},
    )
    cosine = (1 + math.cos(math.pi * (step + 1) / 25)) / 2
    if step + 1 < 6:
        rate = 0.125 + (step + 1) / 6 * 0.875
    else:
        rate = 0.0625 + 0.9375 * (1 + math.cos(math.pi * (step + 1 - 6) / (25 - 6))) / 2
    assert schedule_of_step(config, step, 20, steps_per_epoch=4) == {
        "learning_rate": pytest.approx(rate, rel=1e-12),
        "weight_decay": pytest.approx(high + (low - high) * cosine, rel=1e-12),
        "momentum": pytest.approx(0.75 + 0.25 * step / 25, rel=1e-12),
        "sharpening": pytest.approx(0.25 - 0.125 * step / 25, rel=1e-12),
    }
