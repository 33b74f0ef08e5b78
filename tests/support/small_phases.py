"""A down-stream configuration small enough for tests, on the videos of small_dataset.py."""

from configs import phase_base
from data.splits.parts import PARTS
from data.storage.paths import to_paths
from down_stream.features.labelled_splits import select_splits
from tests.support.small_msn import VARIANT


def small_splits(config, task):
    """The labelled frames of a configuration's splits."""
    videos = {part: config[f"{part}_videos"] for part in PARTS}
    return select_splits(to_paths(config.data.root), videos, task)


def small_config(root, **changes):
    config = phase_base.get_config()
    config.data.root = (str(root),)
    config.feature_cache = str(root.parent / "features")
    config.train_videos = ("video01", "video02")
    config.validation_videos = ("video03",)
    config.test_videos = ("video04",)
    config.choose_by = "score"  # one video would be too few
    config.model.variant = VARIANT
    config.model.image_size = 16
    config.batch_size = 14
    config.epochs = 2
    config.optimizer.learning_rate = 1e-3
    config.probe.learning_rates = (1e-3, 1e-2)
    config.probe.weight_decays = (1e-5, 1e-2)
    for key, value in changes.items():
        config.update_from_flattened_dict({key.replace("__", "."): value})
    return config
