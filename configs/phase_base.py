"""What every phase-recognition configuration starts from.

Protocol: Cholec80's default split (videos 1-40 / 41-48 / 49-80), 1 frame per second, macro-F1 per
video (Hirsch et al., arXiv 2308.12394, section 4; splits and metrics: data/dataset/cholec80.py,
down_stream/metrics/phases.py).

Needs: any dataset with phases; what the encoder needs; not measured
"""

from ml_collections import ConfigDict, config_dict

from configs.videos import videos


def get_config(arg=""):
    if arg:
        raise ValueError(f":{arg}: this configuration takes no argument")
    config = ConfigDict()
    config.task = "phases"  # or tools, classes (a class per image, as classes.json names them)
    # Of two classes per image: what sensitivity is the recall of. Unless it is said, the one whose
    # other is called a negative (non_X, no_X, normal, benign ...); else there is no sensitivity.
    config.positive_class = config_dict.placeholder(str)
    config.seed = 0
    config.workdir = "runs/phase"
    # "mlflow", "wandb" or "mlflow,wandb": results are sent there, too (docs/trackers.md).
    config.track = ""
    # 5 or 10 for tasks too small for a split: all videos of the three parts below are in one fold
    # each, and are tested by a classifier of the other folds. 0: one experiment with that split.
    config.folds = 0
    # With folds: how many of the training videos of each have labels, drawn by the seed; 0: all.
    config.fold_videos = 0

    # A path that msn.encoders.load_encoder opens, or a table of features that were computed already
    # (.npz or .parquet, docs/down_stream.md); empty for random initialisation, for which
    # model.variant (or --model) names the architecture. If both are set they must agree.
    config.encoder = ""
    # What that file does not say, else nothing: mean and std of RGB in 0..1, attention heads.
    config.encoder_mean = config_dict.placeholder(tuple)
    config.encoder_std = config_dict.placeholder(tuple)
    config.encoder_num_heads = config_dict.placeholder(int)
    # What is taken of a frame: cls, mean (of the patches), cls+mean, last4 (CLS of the last four
    # blocks); by default cls, and mean where the encoder's family has it so (MAE, I-JEPA).
    # "attentive" (with mode probe or finetune): a learned query over the patches.
    config.features = config_dict.placeholder(str)
    config.model = ConfigDict()
    config.model.variant = ""  # vit{ti,s,b,l,h} + patch size, or resnet50v2
    config.model.image_size = 224  # from scratch; an encoder brings its own
    # From scratch, instead of both: an encoder (a path) whose architecture, image size and
    # preprocessing it has. That is what its results are compared with.
    config.model.like = config_dict.placeholder(str)
    config.resnet_weights = "none"  # of resnet50v2: imagenet (fetched), none, or a file of weights

    # "probe": a linear classifier on frozen features; "logistic": L2 logistic regression on them;
    # "knn": nearest neighbours among them; "finetune": everything is trained.
    config.mode = "probe"
    config.temporal = ""  # after it: "tecno" (causal) or "tecno_offline" (sees the whole video)

    config.data = ConfigDict()
    config.data.root = ("data/cholec80",)  # dataset directories as prepare.py makes them
    # A folder for features of frozen encoders, which any run uses again; none given: that in the
    # user's cache (python -m down_stream.caches lists it); "off": they are not kept.
    config.feature_cache = config_dict.placeholder(str)
    # Names, or patterns such as "test*"; or "splits.json": as that file of the data set says.
    config.train_videos = videos(1, 40)
    config.validation_videos = videos(41, 48)  # the best epoch on them is tested
    config.test_videos = videos(49, 80)

    # Labels of a model that nobody has corrected (docs/annotation_rounds.md) are left out. What a
    # frame with such a label counts in training, 0 to 1:
    config.pseudo_labels = 0.0
    config.trust_model_labels = False  # whether they count as people's, in validation and test too

    # What the epoch (and the probe's pair) is chosen by on them: "score" (macro-F1, mAP), or
    # "likelihood" of the labels; by default the score, and the likelihood where they are few: fewer
    # than 5 videos, or 30 sequences of images.
    config.choose_by = config_dict.placeholder(str)

    config.batch_size = 256
    config.epochs = 100
    config.balance_classes = True  # weights in the loss, inverse to a class's frequency
    config.label_smoothing = 0.0
    config.optimizer = ConfigDict()
    config.optimizer.name = "adamw"  # adam, adamw, rmsprop, momentum, sgd
    config.optimizer.warmup = 0.05  # share of the updates
    config.optimizer.learning_rate = 1e-4  # of fine-tuning
    config.optimizer.weight_decay = 0.05  # of fine-tuning
    config.optimizer.layer_decay = 1.0  # of fine-tuning: factor from a block to the one before it
    # What a fine-tuned frame goes through: "views" (crop, flip, jitter), "randaug", "resize".
    config.augmentation = "views"
    config.randaug = ConfigDict()
    config.randaug.layers = 3  # operations on a frame, 0 for none
    config.randaug.magnitude = 7  # 0..10

    # The probe tries all pairs in one pass; the validation videos choose.
    config.probe = ConfigDict()
    config.probe.learning_rates = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
    config.probe.weight_decays = (1e-5, 1e-3, 1e-1)

    # features="attentive" with mode="probe": query and classifier are trained on a frozen encoder.
    config.attentive = ConfigDict()
    config.attentive.epochs = 20  # all frames pass the encoder in each
    config.attentive.learning_rate = 1e-3
    config.attentive.weight_decay = 0.01

    # Temporal model (Czempiel et al., arXiv 2003.10751).
    config.tecno = ConfigDict()
    config.tecno.num_stages = 2
    config.tecno.num_layers = 9
    config.tecno.num_maps = 64
    config.tecno.dropout = 0.5
    config.tecno.epochs = 50
    config.tecno.learning_rate = 5e-4
    return config.lock()  # a mistyped key of a file that starts from here is an error


def start_as(config, pretraining):
    """The architecture of a pre-training configuration, for random initialisation."""
    config.encoder = ""
    config.model.variant = pretraining.model.variant
    config.model.image_size = pretraining.views.size
