r"""Linear probe for surgical phases on Cholec80: what a frozen encoder is worth.

  python down_stream/main.py --config=configs/phase_probe.py \
      --config.data.root=DIR/cholec80 --config.encoder=runs/msn_vits16/encoder

Features of all frames are computed once, the probe is fitted on them. Not run on the full data by
us yet.

Needs: Cholec80, 80 videos, and an encoder; a GPU, or patience; not measured
"""

from configs import phase_base


def get_config(arg=""):
    config = phase_base.get_config(arg)
    config.workdir = "runs/phase_probe"
    return config
