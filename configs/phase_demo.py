"""Phase recognition on the miniature Cholec80 of `make demo`, with the encoder pre-trained there.

  python down_stream/main.py --config=configs/phase_demo.py
  python down_stream/main.py --config=configs/phase_demo.py:random      random initialisation
  python down_stream/main.py --config=configs/phase_demo.py:finetune    everything is trained

A quarter of a minute for a probe, about a minute to fine-tune, on two cores. The videos
are split by patient: 1-10 train, 11-12 validate, 13-16 test.

Needs: the rendered miniature, 16 videos, and its encoder; 2 cores; 15 seconds, finetune 1 minute
"""

from configs import msn_demo, phase_base
from configs.videos import videos


def get_config(arg=""):
    if arg not in ("", "random", "finetune"):
        raise ValueError(f"phase_demo.py:{arg}; expected nothing, random or finetune")
    config = phase_base.get_config()
    config.workdir = "runs/demo/" + (arg or "probe")
    config.data.root = ("runs/demo/data/cholec80",)
    config.train_videos = videos(1, 10)
    config.validation_videos = videos(11, 12)
    config.test_videos = videos(13, 16)
    config.encoder = "runs/demo/msn/encoder"
    if arg == "random":
        phase_base.start_as(config, msn_demo.get_config())
    if arg == "finetune":
        config.mode = "finetune"
        config.batch_size = 32
        config.epochs = 10
        # Log-likelihood of the validation videos: -1.34; without layer decay -1.46 at this rate,
        # -1.40 at 3e-4, -1.50 at 1e-4. The probe has -1.33: ten patients are few to fine-tune on.
        config.optimizer.learning_rate = 1e-3
        config.optimizer.layer_decay = 0.5
        config.optimizer.weight_decay = 1e-5
    return config
