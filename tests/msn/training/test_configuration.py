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


def test_schedules_are_those_of_the_configuration(small_dataset):
    config = small_config(small_dataset, ema_start=0.5, loss__final_sharpening=0.05)
    first, last = (schedule_of_step(config, step, 6, steps_per_epoch=4) for step in (0, 5))
    assert first["momentum"] == 0.5 < last["momentum"] < 1
    assert first["sharpening"] == 0.25 > last["sharpening"] > 0.05
    assert first["weight_decay"] < last["weight_decay"] < 0.4
