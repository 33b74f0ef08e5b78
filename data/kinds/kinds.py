"""The kinds of datasets that `prepare.py` makes: what affects which, and what trains on them."""

from data.common.errors import InputError

# Public datasets that are made as their modules in data/public_datasets say.
PUBLIC = (
    *("autolaparo", "cataract101", "cholect45", "cholect50", "heichole", "m2cai16"),
    *("multibypass140", "kvasir_seg", "cvc_clinicdb", "polypgen", "endotect"),
)
OF_CLASSES = ("polypsset", "neopolyp", "classes")  # of images, without time
KINDS = ("cholec80", *PUBLIC, *OF_CLASSES)
# What pre-trains on a dataset, and on its miniature.
BASE_CONFIG, SMALL_CONFIG = "msn_base", "msn_small"
FEW = 20_000  # frames, of which 100 epochs in batches of 1024 would be 2,000 steps
VIDEO_CONFIGS = (BASE_CONFIG, "msn_demo")
CONFIGS = {
    "polypsset": ("msn_vits16_colonoscopy", "msn_polyps_demo"),
    "neopolyp": (SMALL_CONFIG, SMALL_CONFIG),
    "classes": (BASE_CONFIG, BASE_CONFIG),
}
# Flags with an effect on some kinds only.
CLASSES_ONLY = {"images", "sequences", "split", "class_folders", "crop_margin"}
PHASES_ONLY = {"annotations", "annotation_fps", "phases", "phase_map"}
COMMON = {"data_rootdir", "name", "dataset", "dry_run", "sheet", "summary", "known_problems"}
PACKING = {"pack", "pack_size"}  # of all kinds, too, but they ask for more than a look
KNOWN = {
    "polypsset": {"archive", "crop_margin", "synthetic", "synthetic_videos", "seed"},
    "neopolyp": {"archive", "crop_margin", "sequences", "split", "seed"},
    "classes": {"images", "sequences", "split", "class_folders", "seed", "patients"},
}
PUBLIC_FLAGS = {"archive", "fps", "format", "quality", "size", "workers", "crop_borders"}
PUBLIC_FLAGS |= {"drop_black", "drop_out_of_body", "drop_near_duplicates"}


def config_for(kind: str, is_synthetic: bool, frames: int) -> str:
    """The configuration that pre-trains on a kind of dataset, or on its miniature.

    Args:
      kind: one of `KINDS`.
      is_synthetic: whether it is the miniature.
      frames: how many there are to pre-train on.
    """
    config = CONFIGS.get(kind, VIDEO_CONFIGS)[is_synthetic]
    return SMALL_CONFIG if config == BASE_CONFIG and frames < FEW else config


def check_flags_of(kind: str, given: set[str]) -> None:
    """Raises `InputError` for a flag, of those that are given, that has no effect on a kind."""
    if kind == "cholec80":
        useless = given & CLASSES_ONLY
    else:
        useless = given - COMMON - PACKING - KNOWN.get(kind, PUBLIC_FLAGS)
    if not useless:
        return
    why = ""
    if kind in OF_CLASSES and useless & PHASES_ONLY:
        why = "; phases need the time of each image, classes do not; expected --videos for phases"
    elif kind == "cholec80":
        other = "polypsset" if "crop_margin" in useless else "classes"
        why = f"; expected --dataset={other}, or --videos for images with time or without classes"
    raise InputError(f"--{min(useless)}: without effect for --dataset={kind}{why}")
