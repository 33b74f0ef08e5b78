"""MSN pre-training that a linear probe tells from random initialisation: the recorded proof.

python prepare.py --data_rootdir=runs/proof/data --synthetic \
      --synthetic_videos=99 --synthetic_seconds=60
python -m msn.train --config=configs/msn_proof.py --workdir=runs/proof/msn_seed0 \
      --config.seed=0
"""

from configs import msn_demo
from configs.videos import videos


def get_config(arg=""):
    config = msn_demo.get_config(arg)
    config.data.root = ("runs/proof/data/cholec80",)
    config.data.exclude_videos = videos(81, 99)  # validation and test of configs/phase_proof.py

    # A phase shows in the whole scene: parts as small as the paper's are tissue and nothing else,
    # and the networks take three times as long until they agree on anything.
    config.views.scale = (0.5, 1.0)
    config.views.focal_scale = (0.15, 0.5)

    config.steps = 600
    config.probe.test_videos = videos(81, 85)
    return config
