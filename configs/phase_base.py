"""What every phase-recognition configuration starts from.

Protocol: Cholec80's default split (videos 1-40 / 41-48 / 49-80), 1 frame per second, macro-F1 per
video (Hirsch et al., arXiv 2308.12394, section 4; splits and metrics: data/cholec80.py,
down_stream/metrics.py).
"""

from ml_collections import ConfigDict

from configs.videos import videos


def get_config(arg=""):
    if arg:
        raise ValueError(f":{arg}: this configuration takes no argument")
    config = ConfigDict()
    config.seed = 0
    config.workdir = "runs/phase"

    # A path that msn.checkpoint.load_encoder opens; empty for random initialisation, for which
    # model.variant (or --model) names the architecture. If both are set they must agree.
    config.encoder = ""
    config.model = ConfigDict()
    config.model.variant = ""  # vit{ti,s,b,l,h} + patch size
    config.model.image_size = 224  # for random initialisation; an encoder brings its own

    # "probe": a linear classifier on frozen features; "finetune": everything is trained.
    config.mode = "probe"

    config.data = ConfigDict()
    config.data.root = ("data/cholec80",)  # dataset directories as prepare.py makes them
    config.train_videos = videos(1, 40)
    config.validation_videos = videos(41, 48)  # the best epoch on them is tested
    config.test_videos = videos(49, 80)

    config.batch_size = 256
    config.epochs = 100
    config.balance_classes = True  # weights in the loss, inverse to a phase's frequency
    config.optimizer = ConfigDict()
    config.optimizer.name = "adamw"  # adam, adamw, rmsprop, momentum, sgd
    config.optimizer.learning_rate = 1e-2
    config.optimizer.weight_decay = 1e-5
    config.optimizer.warmup = 0.05  # share of the updates
    return config
