r"""MSN pre-training of ViT-L/16 on the training videos of Cholec80: see configs/msn_vits16.py.

  python -m msn.train --config=configs/msn_vitl16.py --workdir=runs/msn_vitl16 \
      --config.data.root=DIR/cholec80

Needs GPUs. Not run by us yet.

Needs: Cholec80, 86,304 frames of 40 videos; GPUs; not measured
"""

from configs import msn_vits16


def get_config(arg=""):
    return msn_vits16.get_config(arg, "vitl16")
