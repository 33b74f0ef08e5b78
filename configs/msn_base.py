"""What every pre-training configuration starts from: MSN's published values for ViT-S/16.

An argument after the file's name chooses how assignments are kept from collapsing:

  --config=configs/msn_vits16.py              Sinkhorn, and me-max with weight 1
  --config=configs/msn_vits16.py:no_sinkhorn  me-max alone, with weight 5: better in the MSN paper
  --config=configs/msn_vits16.py:power_law    PMSN: pulled to a power law instead of uniform, for
                                              data in which some classes are rare, as phases are

Sources: Assran et al., arXiv 2204.07141, appendix (ImageNet, batch 1024); facebookresearch/msn,
configs/pretrain; Hirsch et al., arXiv 2308.12394, section 3 (endoscopic video); Assran et al.,
arXiv 2210.07277 (PMSN, exponent 0.25).

Needs: any dataset; GPUs, fewer with a smaller batch_size; not measured
"""

from ml_collections import ConfigDict, config_dict

BALANCE = {
    "": {},
    "no_sinkhorn": {"sinkhorn": False, "me_max_weight": 5.0},
    "power_law": {"sinkhorn": False, "me_max_weight": 5.0, "prior_exponent": 0.25},
}
# Masked share of the anchor view's patches, by variant: Assran et al., table of hyper-parameters.
MASKING = {"vits16": 0.15, "vitb16": 0.3, "vitl16": 0.5}


def get_config(arg=""):
    if arg not in BALANCE:
        raise ValueError(f":{arg}: expected nothing, :no_sinkhorn or :power_law")
    config = ConfigDict()
    config.seed = 0

    config.data = ConfigDict()
    # Dataset directories as prepare.py makes them; several are read as one.
    config.data.root = ("data/cholec80",)
    # "images" (extracted frames), "packed" (the same in few files, by prepare.py --pack), "records"
    # (TF-Cholec80's), "tfds" (the folder that `tfds build` ends with) or "videos" (nothing is
    # extracted: no disk needed, but each read is slow).
    config.data.source = "images"
    config.data.fps = 1.0  # frames per second that are taken of "videos"
    # Videos that no encoder may see, because it will be evaluated on them; ("splits.json",): those
    # that validate and test in the default split of the data set.
    config.data.exclude_videos = ()
    # 0: all views are of one frame (the paper). Else anchors are of a neighbour at most so near.
    config.data.neighbour_seconds = 0.0
    # Every video gets the same share of the batches, however long it is.
    config.data.balance_videos = False
    # Of several data sets: every one gets the same share, before that of its videos or frames; and
    # a batch is of one of them, so that what tells them apart tells none of its images.
    config.data.balance_sources = False
    config.data.one_source_per_batch = False
    config.data.max_unreadable = 0.01  # share of unreadable frames that ends the run

    # Where to begin: "" at random; else any Vision Transformer that msn.encoders.load_encoder
    # opens. Both networks begin there, the heads at random. Its architecture and preprocessing are
    # then taken from it, not from model.variant, mean and std; docs/pretraining.md has the rest.
    config.init = ""
    # Its patches are resampled to this size; None: as they are. Positions always fit views.size.
    config.init_patch_size = config_dict.placeholder(int)
    # What that file does not say, else nothing: mean and std of RGB in 0..1, attention heads.
    config.init_mean = config_dict.placeholder(tuple)
    config.init_std = config_dict.placeholder(tuple)
    config.init_num_heads = config_dict.placeholder(int)

    # None, or what the anchor network shall also say of a frame: an encoder of any kind that
    # load_encoder opens (an ONNX file, too), or a table of features (.npz, .parquet) of all frames.
    # Of its loss and MSN's the sum is taken, weighted; docs/recipes.md has what it gains.
    config.teacher = config_dict.placeholder(str)
    # "frame": it is asked of every frame once, before the first step; what it says is of all its
    # views. "view": it is asked of every anchor view, which costs its forward pass in every step.
    config.teacher_sees = "frame"
    config.teacher_weight = 1.0  # at the beginning, and at the end of the run, linear between them
    config.teacher_final_weight = 1.0
    config.teacher_alone = 0.0  # for this share of the run, from its beginning, without MSN's loss
    config.teacher_mean = config_dict.placeholder(tuple)  # as init_mean
    config.teacher_std = config_dict.placeholder(tuple)
    config.teacher_num_heads = config_dict.placeholder(int)

    config.model = ConfigDict()
    config.model.variant = "vits16"  # vit{micro,ti,s,b,l,h} + patch size, or vitc4gf16, vitconvs16
    config.model.hidden_dim = 2048  # of the projection head
    config.model.output_dim = 256
    config.model.num_prototypes = 1024
    config.model.mean = (0.485, 0.456, 0.406)  # of RGB in 0..1: ImageNet's, as in the reference
    config.model.std = (0.229, 0.224, 0.225)
    config.model.drop_path = 0.0  # stochastic depth of the anchor encoder, rate of the last block

    config.views = ConfigDict()  # see data/views/multi_crop.py
    config.views.size = 224
    config.views.scale = (0.3, 1.0)
    config.views.focal_views = 10
    config.views.focal_size = 96
    config.views.focal_scale = (0.05, 0.3)
    config.views.aspect = (3 / 4, 4 / 3)
    config.views.colour_jitter = 0.5
    config.views.jitter_probability = 0.8
    config.views.grey_probability = 0.2
    config.views.blur_probability = 0.5
    config.views.blur_radius = (0.1, 2.0)
    config.views.flip_probability = 0.5
    config.patch_drop = MASKING["vits16"]

    config.loss = ConfigDict()
    config.loss.temperature = 0.1  # tau
    config.loss.sharpening = 0.25  # T; the paper's tau+ = tau * T = 0.025
    config.loss.final_sharpening = 0.25
    config.loss.me_max_weight = 1.0  # lambda; with sinkhorn=False the paper takes 5
    config.loss.entropy_weight = 0.0
    config.loss.sinkhorn = True
    config.loss.prior_exponent = 0.0  # of the power law that me-max pulls to; 0: uniform (MSN)
    config.loss.update(BALANCE[arg])

    config.optimizer = ConfigDict()
    config.optimizer.start_learning_rate = 2e-4
    config.optimizer.learning_rate = 1e-3
    config.optimizer.final_learning_rate = 1e-6
    config.optimizer.warmup_epochs = 15.0
    config.optimizer.weight_decay = 0.04
    config.optimizer.final_weight_decay = 0.4
    config.optimizer.clip_gradients = 3.0  # global norm; 0 for none
    # At 0.996 the target keeps half of its random start after 170 steps: short runs need less.
    config.ema_start = 0.996

    config.batch_size = 1024  # global, of all replicas together
    # Micro-batches in which each replica's share passes the encoders: less memory and a second
    # forward pass; the result is that of the whole batch.
    config.accumulation = 1
    config.epochs = 100
    config.steps = config_dict.placeholder(int)  # when set, instead of epochs
    config.checkpoint_every = 1000  # steps
    config.checkpoint_minutes = 10.0  # or after these, whichever comes first; 0: steps alone
    config.keep_checkpoints = 2  # the newest so many
    config.keep_every = 0  # steps; the checkpoints of their multiples are kept for good; 0: none
    config.log_every = 50  # steps
    # When loss or gradients are not finite: "stop", or "rollback" to the last checkpoint and go on
    # without that batch, at most max_rollbacks times. The update is not made in either case.
    config.on_nan = "stop"
    config.max_rollbacks = 3

    # Probes of the target encoder every so many steps and after the last; 0: none. By its nearest
    # neighbours a frame's data set is told, or its video (source_knn: near 1 while the task falls,
    # the encoder learns the camera), and where videos are named below, its label (knn_...).
    config.probe_every = 0
    config.probe = ConfigDict()
    config.probe.root = ()  # dataset directories with labelled frames; (): those of data.root
    # "phases", "classes" of still images, or a group of labels, as "tools"; "": what there is.
    config.probe.task = ""
    config.probe.train_videos = ()  # their labelled frames vote
    config.probe.test_videos = ()  # theirs are classified; kept out of pre-training
    config.probe.max_frames = 2000  # of each, evenly spaced

    # "mlflow", "wandb" or "mlflow,wandb": the run is sent there, too (docs/trackers.md).
    config.track = ""

    config.export = "target"  # or "anchor"
    # "one_device", "mirrored" (all GPUs of this machine), "multi_worker" (the processes that
    # TF_CONFIG or Slurm name), "tpu" (that TPU_NAME names), or "auto": what there is.
    config.strategy = "auto"
    config.wait_minutes = 10.0  # of "multi_worker", until all workers have been started
    # One compiled program; on the CPU it is also the faster one (exact GELU). "auto": where XLA
    # can compile for the devices that there are; True: an error where it cannot; or False.
    config.compile_with_xla = config_dict.FieldReference("auto", field_type=object)
    # "bfloat16": half the memory for activations; weights, statistics and loss stay float32.
    config.precision = "float32"
    # Computes each block again in the backward pass: same gradients, less memory, more time.
    config.gradient_checkpointing = False
    return config.lock()  # a mistyped key of a file that starts from here is an error
