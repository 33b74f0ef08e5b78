"""What every polyp-classification configuration starts from.

Protocol: PolypsSet's own split by sequence, of which the test part is scored by frame and by
sequence (down_stream/metrics/classification.py). Hirsch et al., arXiv 2308.12394, report accuracy;
they do not say whether they used whole frames or crops of the polyps, nor whether they count frames
or sequences. Here: whole frames unless the data set was prepared with --crop_margin, and both
counts. data/image_classes/polypsset.py says what "train2019-..." is: the archive has no training
sequences.

Needs: any dataset with a class per image; what the encoder needs; not measured
"""

from configs import phase_base


def get_config(arg=""):
    config = phase_base.get_config(arg)
    config.task = "classes"
    config.workdir = "runs/polyps"
    config.data.root = ("data/polypsset",)
    # Of PolypsSet train2019-*, val2019-* and test2019-*; of one's own images what prepare.py drew.
    config.train_videos = ("splits.json",)
    config.validation_videos = ("splits.json",)
    config.test_videos = ("splits.json",)
    return config


def evaluated() -> tuple[str, ...]:
    """The sequences to validate and to test, that no pre-training may see."""
    return ("val2019-*", "test2019-*")
