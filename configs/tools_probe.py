r"""Linear probe for the presence of seven tools on Cholec80: what a frozen encoder is worth.

  python down_stream/main.py --config=configs/tools_probe.py \
      --config.data.root=DIR/cholec80 --config.encoder=runs/msn_vits16/encoder

Features of all frames are computed once, the probe is fitted on them. Scored by average
precision, per tool and their mean (down_stream/metrics/multi_label.py). Not run on the full data by
us yet.

Needs: Cholec80, 80 videos, and an encoder; a GPU, or patience; not measured
"""

from configs import phase_probe


def get_config(arg=""):
    config = phase_probe.get_config(arg)
    config.task = "tools"
    config.workdir = "runs/tools_probe"
    return config
