r"""Encoders side by side under one protocol: which is the better one on these videos?

  python down_stream/main.py --config=configs/encoder_comparison.py \
      --config.data.root=DIR/cholec80 --config.encoders="(('ours', 'PATH'), ('dino', 'PATH'))"
  python down_stream/main.py --config=configs/encoder_comparison.py:tools      tools
  python down_stream/main.py --config=configs/encoder_comparison.py:classes    a class per image
  python down_stream/main.py --config=configs/encoder_comparison.py:demo       as `make demo` does

Every encoder is put to use in every way (`modes`), on every kind of features, with every number of
labelled training videos and every seed. It ends with comparison.html: scores with intervals over
the test videos, paired differences to `baseline`, curves over labels, cost, what each encoder has
seen, and the command of each cell. Stopped, the same command goes on; what is done is not done
again. `--shard=1/4` to `--shard=4/4` are four processes, on one machine or several that share the
workdir; the last of them, or the command without --shard, writes the page.

Needs: a dataset with labels, and encoders; a GPU, or patience; not measured
"""

from configs import (
    phase_demo,
    phase_finetune,
    phase_low_shot,
    phase_probe,
    polyps_finetune,
    polyps_probe,
    tools_finetune,
    tools_probe,
)

# Argument -> configurations of probes and of fine-tuning, and the name of the workdir.
WAYS = {
    "": (phase_probe, phase_finetune, "encoder_comparison"),
    "tools": (tools_probe, tools_finetune, "encoder_comparison_tools"),
    "classes": (polyps_probe, polyps_finetune, "encoder_comparison_classes"),
    "demo": (phase_demo, None, "demo/comparison"),
}
# What fine-tuning has of its own, in the configurations for it.
FINETUNING = ("batch_size", "epochs", "augmentation", "randaug", "optimizer")


def get_config(arg=""):
    if arg not in WAYS:
        raise ValueError(f"encoder_comparison.py:{arg}; expected nothing, tools, classes or demo")
    probe, finetune, workdir = WAYS[arg]
    config = probe.get_config()
    tuned = finetune.get_config() if finetune else phase_demo.get_config("finetune")
    low_shot = phase_low_shot.get_config()
    config.workdir = f"runs/{workdir}"
    pretrained = config.encoder or "runs/msn_vits16/encoder"
    config.encoder = ""
    if config.task == "phases":
        config.temporal = "tecno"  # each way with it and without; "" for without alone

    with config.unlocked():  # keys of a grid
        # (name, path) of each, as configs/phase_low_shot.py explains them: an empty path is random
        # initialisation, {seed} becomes the seed. What a file does not say, or any other key that
        # one encoder alone is to have, goes into a third place:
        # ("endovit", "PATH", {"encoder_mean": (0.3, 0.2, 0.2), "encoder_std": (0.2, 0.2, 0.2)})
        # A table of features that were computed elsewhere (.parquet, .npz) is an encoder, too.
        config.encoders = (("msn", pretrained), ("random", ""))
        config.baseline = "random"  # the others' differences are to this one

        # knn, logistic, probe (linear), finetune (of those that can be trained).
        config.modes = ("knn", "logistic", "probe", "finetune")
        # "usual" (what the encoder's family takes), or names that config.features takes.
        config.feature_kinds = ("usual",)
        # Keys that a mode alone has.
        config.settings = {"finetune": {key: _plain(tuned[key]) for key in FINETUNING}}

        # Shares of the training videos that are labelled, numbers of them besides, seeds.
        config.fractions = (1.0,)
        config.numbers = ()
        config.seeds = low_shot.seeds
    if arg == "demo":
        config.encoders = (
            ("msn", pretrained),
            ("random", ""),
            ("supervised", "runs/demo/supervised_hf"),
            ("dinov2_untrained", "tests/golden/encoders/hf-dinov2-registers"),
            ("colours", "runs/demo/colours.parquet"),
        )
        config.modes = ("knn", "logistic")
        config.seeds = (0,)
    return config


def _plain(value):
    return value.to_dict() if hasattr(value, "to_dict") else value
