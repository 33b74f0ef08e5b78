r"""Fine-tuning for surgical phases on Cholec80, end to end.

  python down_stream/main.py --config=configs/phase_finetune.py \
      --config.data.root=DIR/cholec80 --config.encoder=runs/msn_vits16/encoder

Needs a GPU. Published macro-F1 with EndoSSL's private pre-training data: 83.4 (ViT-S), 82.6
(ViT-B), 84.0 (ViT-L), Hirsch et al., arXiv 2308.12394. Not run on the full data by us yet.

Needs: Cholec80, 80 videos, and an encoder; a GPU; not measured
"""

from configs import phase_base


def get_config(arg=""):
    config = phase_base.get_config(arg)
    config.workdir = "runs/phase_finetune"
    config.mode = "finetune"
    config.batch_size = 64
    config.epochs = 10
    config.optimizer.layer_decay = 0.75
    config.augmentation = "randaug"  # the published loader's
    return config
