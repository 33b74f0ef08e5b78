r"""Few labels: how many annotated polyps does pre-training save?

  python down_stream/main.py --config=configs/polyps_low_shot.py --config.data.root=DIR/polypsset
  python down_stream/main.py --config=configs/polyps_low_shot.py:finetune ...

As configs/phase_low_shot.py, which explains the keys: a linear probe, or fine-tuning, for every
encoder, number of labelled training sequences and seed. The sequences of train2019 are an
approximation (data/image_classes/polypsset.py). Not run on the real data by us yet.

Needs: PolypsSet and encoders; a GPU; not measured
"""

from configs import phase_low_shot, polyps_finetune, polyps_probe

WAYS = {"": polyps_probe, "finetune": polyps_finetune}


def get_config(arg=""):
    if arg not in WAYS:
        raise ValueError(f"polyps_low_shot.py:{arg}; expected nothing or finetune")
    config = WAYS[arg].get_config()
    low_shot = phase_low_shot.get_config(arg)
    config.workdir = low_shot.workdir.replace("phase", "polyps")
    with config.unlocked():
        config.encoders = (("msn", "runs/msn_vits16_colonoscopy/encoder"), ("random", ""))
        for key in ("baseline", "fractions", "numbers", "seeds"):
            config[key] = low_shot[key]
    return config
