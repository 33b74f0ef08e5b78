r"""Few labels: how much annotation does pre-training save?

  python down_stream/main.py --config=configs/phase_low_shot.py --config.data.root=DIR/cholec80
  python down_stream/main.py --config=configs/phase_low_shot.py:finetune   everything is trained
  python down_stream/main.py --config=configs/phase_low_shot.py:demo       after `make demo`

A linear probe (or fine-tuning) for every encoder, number of labelled training videos and seed: the
table, mean and deviation over seeds, is printed and in low_shot.csv, the curve in low_shot.png,
everything in low_shot.json. Stopped, the same command goes on. Features are computed once per
encoder and video, so that a cell takes about as long as its probe. The protocol of Hirsch et al.,
arXiv 2308.12394, section 4; not run on the full data by us yet. The demo takes some minutes on two
cores.

Needs: Cholec80, 80 videos, and encoders; a GPU; not measured, demo some minutes on 2 cores
"""

from configs import msn_demo, phase_base, phase_demo, phase_finetune

WAYS = {"": phase_base, "finetune": phase_finetune, "demo": phase_demo}
WORKDIRS = {"": "phase_low_shot", "finetune": "phase_low_shot_finetune", "demo": "demo/low_shot"}


def get_config(arg=""):
    if arg not in WAYS:
        raise ValueError(f"phase_low_shot.py:{arg}; expected nothing, finetune or demo")
    config = WAYS[arg].get_config()
    config.workdir = f"runs/{WORKDIRS[arg]}"

    pretrained = config.encoder or "runs/msn_vits16/encoder"
    config.encoder = ""
    if arg == "demo":
        phase_base.start_as(config, msn_demo.get_config())

    with config.unlocked():  # keys of a grid
        # (name, path that msn.encoders.load_encoder opens) of each; an empty path is from scratch,
        # initialised by the seed: as model.variant and model.image_size say, else as model.like,
        # else as the first of the others that can be trained, with its image size and
        # preprocessing. {seed} in a path becomes the seed: an encoder that was pre-trained several
        # times is evaluated with that variation. On the command line all at once:
        # --config.encoders="(('msn', 'PATH'), ('random', ''))"
        config.encoders = (("msn", pretrained), ("random", ""))
        config.baseline = "random"  # with all labels: what the others are compared with

        # Of the training videos. A seed draws them, the smaller parts out of the larger ones.
        config.fractions = (0.125, 0.25, 0.5, 0.75, 1.0)
        config.numbers = ()  # besides: so many training videos
        config.seeds = (0, 1, 2)
    return config
