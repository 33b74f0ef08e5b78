"""A pre-training configuration small enough for tests."""

from configs import msn_base
from msn.networks.variants import SIZES

SIZES["nano"] = (12, 2, 2)  # width, depth, heads
VARIANT = "vitnano8"


def small_config(root, **changes):
    """Six steps on a small dataset; `changes` are dotted keys, with __ for the dot."""
    config = msn_base.get_config()
    config.data.root = (str(root),)
    config.model.variant = VARIANT
    config.model.hidden_dim = 16
    config.model.output_dim = 8
    config.model.num_prototypes = 8
    config.views.size = 16
    config.views.focal_size = 8
    config.views.focal_views = 2
    config.optimizer.warmup_epochs = 0.5
    config.batch_size = 8
    config.steps = 6
    config.checkpoint_every = 2
    config.keep_checkpoints = 3
    config.log_every = 2
    config.compile_with_xla = False  # compiling takes longer than these runs
    for key, value in changes.items():
        config.update_from_flattened_dict({key.replace("__", "."): value})
    return config
