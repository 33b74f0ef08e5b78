r"""MSN pre-training of ViT-S/16 on colonoscopy.

  python prepare.py --data_rootdir=DIR --dataset=polypsset --archive=PolypsSet.zip
  python -m msn.train --config=configs/msn_vits16_colonoscopy.py \
      --workdir=runs/msn_vits16_colonoscopy --config.data.root=DIR/polypsset

Needs GPUs: the batch is 1024 images of 12 views. Not run by us yet; the published encoder of this
size, of private videos, reaches an accuracy of 78.5 on PolypsSet when fine-tuned (Hirsch et al.,
arXiv 2308.12394). Masking 0.15 as in configs/msn_vits16.py; what else differs from laparoscopy, and
why, is in configs/msn_colonoscopy_base.py.
"""

from configs import msn_colonoscopy_base


def get_config(arg=""):
    config = msn_colonoscopy_base.get_config(arg)
    config.model.variant = "vits16"
    config.patch_drop = 0.15
    return config
