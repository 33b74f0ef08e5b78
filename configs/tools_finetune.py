r"""Fine-tuning for the presence of seven tools on Cholec80, end to end.

  python down_stream/main.py --config=configs/tools_finetune.py \
      --config.data.root=DIR/cholec80 --config.encoder=runs/msn_vits16/encoder

Needs a GPU. Scored by average precision, per tool and their mean
(down_stream/metrics/multi_label.py). Not run on the full data by us yet.

Needs: Cholec80, 80 videos, and an encoder; a GPU; not measured
"""

from configs import phase_finetune


def get_config(arg=""):
    config = phase_finetune.get_config(arg)
    config.task = "tools"
    config.workdir = "runs/tools_finetune"
    return config
