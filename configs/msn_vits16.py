r"""MSN pre-training of ViT-S/16 on the training videos of Cholec80, with the MSN paper's values.

  python -m msn.train --config=configs/msn_vits16.py --workdir=runs/msn_vits16 \
      --config.data.root=DIR/cholec80

Needs GPUs: the batch is 1024 images of 12 views. Not run by us yet; configs/phase_finetune.py has
what the published encoders of each size reach.

Needs: Cholec80, 86,304 frames of 40 videos; GPUs; not measured
"""

from configs import msn_base
from configs.videos import videos


def get_config(arg="", variant="vits16"):
    config = msn_base.get_config(arg)
    config.model.variant = variant
    config.patch_drop = msn_base.MASKING[variant]
    config.data.exclude_videos = videos(41, 80)  # validation and test of the default split
    return config
