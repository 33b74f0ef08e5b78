r"""Linear probe for polyps, hyperplastic or adenomatous: what a frozen encoder is worth.

  python prepare.py --data_rootdir=DIR --dataset=polypsset --archive=PolypsSet.zip
  python down_stream/main.py --config=configs/polyps_probe.py \
      --config.data.root=DIR/polypsset --config.encoder=runs/msn_vits16_colonoscopy/encoder

Features of all frames are computed once, the probe is fitted on them. Not run on the real data by
us yet.

Needs: PolypsSet, or any images in classes, and an encoder; a GPU, or patience; not measured
"""

from configs import polyps_base


def get_config(arg=""):
    config = polyps_base.get_config(arg)
    config.workdir = "runs/polyps_probe"
    return config
