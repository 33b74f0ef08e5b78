"""MSN pre-training of a very small ViT on the miniature PolypsSet.

  python prepare.py --data_rootdir=runs/demo/data --dataset=polypsset --synthetic --crop_margin=0.1
  python -m msn.train --config=configs/msn_polyps_demo.py --workdir=runs/demo/msn_polyps

configs/msn_demo.py on other images; about as long. configs/polyps_demo.py says what the encoder is
worth.

Needs: the rendered PolypsSet, 24 polyps; 2 cores; 2.5 minutes
"""

from configs import msn_colonoscopy_base, msn_demo, polyps_base


def get_config(arg=""):
    config = msn_demo.get_config(arg)
    config.data.root = ("runs/demo/data/polypsset",)
    config.data.exclude_videos = polyps_base.evaluated()
    msn_colonoscopy_base.adapt_views(config.views)
    config.probe_every = 0  # the probe is of phases
    return config
