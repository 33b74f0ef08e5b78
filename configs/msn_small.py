r"""MSN pre-training on some thousand frames, on two cores, with a teacher where there is one.

  python -m msn.train --config=configs/msn_small.py --workdir=runs/small \
      --config.data.root=datasets/ours
  python -m msn.train --config=configs/msn_small.py --workdir=runs/taught \
      --config.data.root=datasets/ours --config.teacher=imagenet.onnx

docs/recipes.md says first whether to pre-train at all, then what this was measured to gain. Several
data sets: --config.data.root once for each; source_knn in metrics.jsonl then says how well the
features tell them apart. Of crops of what is to be recognised, or of frames without borders, there
is more to learn than of overlays and borders (prepare.py --crop_borders).

Needs: some thousand frames of any procedure; 2 cores; half an hour (docs/recipes.md)
"""

from configs import msn_base, msn_colonoscopy_base


def get_config(arg=""):
    config = msn_base.get_config(arg)
    config.data.root = ("datasets/ours",)

    config.model.variant = "vitmicro8"
    config.model.hidden_dim = 512
    config.model.output_dim = 128
    config.model.num_prototypes = 256

    # The smallest views that show a lesion and its surface; parts large enough to show tissue that
    # tells something (configs/msn_proof.py). Colours are changed little (adapt_views): a lesion's
    # kind shows in them.
    config.views.size = 96
    config.views.focal_size = 48
    config.views.focal_views = 4
    config.views.scale = (0.5, 1.0)
    config.views.focal_scale = (0.15, 0.5)
    msn_colonoscopy_base.adapt_views(config.views)

    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_epochs = 2.0
    config.ema_start = 0.98  # 1,000 steps: see configs/msn_base.py

    config.teacher_weight = 5.0
    config.teacher_final_weight = 5.0

    config.batch_size = 64
    config.steps = 1000
    config.checkpoint_every = 250
    config.log_every = 25
    config.probe_every = 250
    return config
