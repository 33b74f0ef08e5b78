r"""Does MSN learn? Linear probes on encoders of configs/msn_proof.py and on random ones.

  make proof                                  renders, pre-trains three times, then runs the below
  python down_stream/main.py --config=configs/phase_proof.py

The patients are apart: 1-80 pre-training and, as far as they are to have labels, training; 81-85
validation, 86-99 test. Each seed has a pre-training, a random encoder and a choice of labelled
videos of its own; learning rate and weight decay are chosen alike for both, on the validation
videos.

Needs: 99 rendered videos of a minute, and encoders of msn_proof.py; 2 cores; some minutes
"""

from configs import msn_proof, phase_base, phase_low_shot
from configs.videos import videos


def get_config(arg=""):
    config = phase_low_shot.get_config(arg)
    pretraining = msn_proof.get_config()
    config.workdir = "runs/proof/low_shot"
    config.data.root = pretraining.data.root
    config.train_videos = videos(1, 80)
    config.validation_videos = videos(81, 85)
    config.test_videos = videos(86, 99)
    config.encoders = (("msn", "runs/proof/msn_seed{seed}/encoder"), ("random", ""))
    phase_base.start_as(config, pretraining)
    config.fractions = (0.1, 0.25, 0.5, 1.0)
    return config
