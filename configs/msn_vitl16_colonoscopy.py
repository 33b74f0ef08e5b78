r"""MSN pre-training of ViT-L/16 on colonoscopy: see configs/msn_vits16_colonoscopy.py.

  python -m msn.train --config=configs/msn_vitl16_colonoscopy.py \
      --workdir=runs/msn_vitl16_colonoscopy --config.data.root=DIR/polypsset

Needs GPUs. Not run by us yet.

Needs: PolypsSet, 28,773 frames; GPUs; not measured
"""

from configs import msn_vits16_colonoscopy


def get_config(arg=""):
    return msn_vits16_colonoscopy.get_config(arg, "vitl16")
