r"""MSN pre-training of ViT-S/16 on colonoscopy.

  python prepare.py --data_rootdir=DIR --dataset=polypsset --archive=PolypsSet.zip
  python -m msn.train --config=configs/msn_vits16_colonoscopy.py \
      --workdir=runs/msn_vits16_colonoscopy --config.data.root=DIR/polypsset

Needs GPUs: the batch is 1024 images of 12 views. Not run by us yet; configs/polyps_finetune.py has
what the published encoders of each size, of private videos, reach. configs/msn_colonoscopy_base.py
says what differs from laparoscopy, and why.

Needs: PolypsSet, 28,773 frames; GPUs; not measured
"""

from configs import msn_base, msn_colonoscopy_base


def get_config(arg="", variant="vits16"):
    config = msn_colonoscopy_base.get_config(arg)
    config.model.variant = variant
    config.patch_drop = msn_base.MASKING[variant]
    return config
