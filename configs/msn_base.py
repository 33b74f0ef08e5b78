"""What every pre-training configuration starts from: MSN's published values for ViT-S/16.

Sources: Assran et al., arXiv 2204.07141, appendix (ImageNet, batch 1024); facebookresearch/msn,
configs/pretrain; Hirsch et al., arXiv 2308.12394, section 3 (endoscopic video).
"""

from ml_collections import ConfigDict, config_dict


def get_config(arg=""):
    if arg:
        raise ValueError(f":{arg}: this configuration takes no argument")
    config = ConfigDict()
    config.seed = 0

    config.data = ConfigDict()
    # Dataset directories as prepare.py makes them; several are read as one.
    config.data.root = ("data/cholec80",)
    config.data.source = "images"
    # Videos that no encoder may see, because it will be evaluated on them.
    config.data.exclude_videos = ()

    config.model = ConfigDict()
    config.model.variant = "vits16"  # vit{ti,s,b,l,h} + patch size
    config.model.hidden_dim = 2048  # of the projection head
    config.model.output_dim = 256
    config.model.num_prototypes = 1024

    config.views = ConfigDict()  # see data/views.py
    config.views.size = 224
    config.views.scale = (0.3, 1.0)
    config.views.focal_views = 10
    config.views.focal_size = 96
    config.views.focal_scale = (0.05, 0.3)
    config.views.aspect = (3 / 4, 4 / 3)
    config.views.colour_jitter = 0.5
    config.views.jitter_probability = 0.8
    config.views.grey_probability = 0.2
    config.views.blur_probability = 0.5
    config.views.blur_radius = (0.1, 2.0)
    config.views.flip_probability = 0.5
    config.patch_drop = 0.15  # masked share of the anchor view's patches

    config.loss = ConfigDict()
    config.loss.temperature = 0.1  # tau
    config.loss.sharpening = 0.25  # T; the paper's tau+ = tau * T = 0.025
    config.loss.final_sharpening = 0.25
    config.loss.me_max_weight = 1.0  # lambda; with sinkhorn=False the paper takes 5
    config.loss.entropy_weight = 0.0
    config.loss.sinkhorn = True

    config.optimizer = ConfigDict()
    config.optimizer.start_learning_rate = 2e-4
    config.optimizer.learning_rate = 1e-3
    config.optimizer.final_learning_rate = 1e-6
    config.optimizer.warmup_epochs = 15.0
    config.optimizer.weight_decay = 0.04
    config.optimizer.final_weight_decay = 0.4
    config.optimizer.clip_gradients = 3.0  # global norm; 0 for none
    # At 0.996 the target keeps half of its random start after 170 steps: short runs need less.
    config.ema_start = 0.996

    config.batch_size = 1024  # global
    config.epochs = 100
    config.steps = config_dict.placeholder(int)  # when set, instead of epochs
    config.checkpoint_every = 1000  # steps
    config.keep_checkpoints = 2
    config.log_every = 50  # steps
    config.export = "target"  # or "anchor"
    config.strategy = "auto"
    # One compiled program; on the CPU it is also the faster one (exact GELU).
    config.compile_with_xla = True
    return config
