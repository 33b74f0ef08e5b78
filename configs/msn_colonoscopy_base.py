"""What pre-training on colonoscopy starts from: configs/msn_base.py, and what differs.

- Data: the training part of PolypsSet. It is small (28,773 frames); add your own recordings as
  further data sets, --config.data.root once for each. Validation and test sequences are left out.
- Colour: how a polyp's colour and vessels differ from the mucosa around it shows the kind (NICE
  classification: Hewett et al., Gastroenterology 143:599, 2012). Jitter is weaker and grey rarer,
  so that the encoder is not taught to ignore it.
- Blur: so is the fine pattern of the surface, which a blur of 2 pixels takes away.
- Crops: as for laparoscopy.
- Orientation: a colonoscope is turned about its axis all the time, no direction is up. Turned and
  upside-down views would follow from that; data/views/multi_crop.py mirrors left and right alone.
- Neighbours: no frames of nearby seconds (data.neighbour_seconds stays 0): numbers in train2019 are
  no time.

The strengths are our choice; short runs could not tell them from the MSN paper's (docs/recipes.md,
"Choices, in pairs"). Hirsch et al., arXiv 2308.12394, pre-train on private colonoscopies, with the
MSN paper's augmentations as far as they say.

Needs: PolypsSet, 28,773 frames; GPUs, fewer with a smaller batch_size; not measured
"""

from configs import msn_base, polyps_base


def get_config(arg=""):
    config = msn_base.get_config(arg)
    config.data.root = ("data/polypsset",)
    config.data.exclude_videos = polyps_base.evaluated()
    adapt_views(config.views)
    return config


def adapt_views(views):
    """Changes what differs between the views of laparoscopy and of colonoscopy."""
    views.colour_jitter = 0.3
    views.grey_probability = 0.1
    views.blur_radius = (0.1, 1.0)
