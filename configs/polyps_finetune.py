r"""Fine-tuning for polyps, hyperplastic or adenomatous, end to end.

  python prepare.py --data_rootdir=DIR --dataset=polypsset --archive=PolypsSet.zip
  python down_stream/main.py --config=configs/polyps_finetune.py \
      --config.data.root=DIR/polypsset --config.encoder=runs/msn_vits16_colonoscopy/encoder

Needs a GPU. Published accuracy with EndoSSL's private pre-training data: 78.5 (ViT-S), 78.2
(ViT-B), 80.4 (ViT-L), Hirsch et al., arXiv 2308.12394. Not run on the real data by us yet.

Needs: PolypsSet and an encoder; a GPU; not measured
"""

from configs import phase_finetune, polyps_base


def get_config(arg=""):
    config = polyps_base.get_config(arg)
    config.workdir = "runs/polyps_finetune"
    phases = phase_finetune.get_config()
    for key in ("mode", "batch_size", "epochs", "augmentation", "optimizer"):
        config[key] = phases[key]
    return config
