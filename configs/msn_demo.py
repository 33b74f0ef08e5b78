"""MSN pre-training of a very small ViT on the miniature Cholec80 that `make demo` renders.

  python -m msn.train --config=configs/msn_demo.py --workdir=runs/demo/msn

About two and a half minutes on two cores. Expected: the loss falls from 4.2 (step 10) to 3.85, a
batch uses about 43 of the 64 prototypes, and the macro-F1 of the k-NN probe rises from 20 (step
100) to 32 %; the probes that `make demo` fits say what the encoder is worth.

Needs: the rendered miniature, 868 frames of 10 videos; 2 cores; 2.5 minutes
"""

from configs import msn_base
from configs.videos import videos


def get_config(arg=""):
    config = msn_base.get_config(arg)
    config.data.root = ("runs/demo/data/cholec80",)
    config.data.exclude_videos = videos(11, 16)  # validation and test of configs/phase_demo.py

    config.model.variant = "vitmicro8"
    config.model.hidden_dim = 256
    config.model.output_dim = 64
    config.model.num_prototypes = 64

    config.views.size = 64
    config.views.focal_size = 32
    config.views.focal_views = 4

    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_epochs = 2.0
    config.ema_start = 0.98  # 300 steps: see configs/msn_base.py

    config.batch_size = 64
    config.steps = 300
    config.checkpoint_every = 100
    config.log_every = 10

    # Are frames of other patients told apart, and better as training goes on?
    config.probe_every = 100
    config.probe.train_videos = videos(1, 10)
    config.probe.test_videos = videos(11, 12)
    config.probe.max_frames = 250
    return config
