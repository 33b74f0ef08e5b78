r"""MSN pre-training of ViT-S/16 on the training videos of Cholec80, with the MSN paper's values.

  python -m msn.train --config=configs/msn_vits16.py --workdir=runs/msn_vits16 \
      --config.data.root=DIR/cholec80

Needs GPUs: the batch is 1024 images of 12 views. Not run by us yet; the published encoder of this
size reaches a Cholec80 macro-F1 of 83.4 when fine-tuned (Hirsch et al., arXiv 2308.12394).
Masking 0.15 as in Assran et al., arXiv 2204.07141, table of hyper-parameters.
"""

from configs import msn_base
from configs.videos import videos


def get_config(arg=""):
    config = msn_base.get_config(arg)
    config.model.variant = "vits16"
    config.patch_drop = 0.15
    config.data.exclude_videos = videos(41, 80)  # validation and test of the default split
    return config
