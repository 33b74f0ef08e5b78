"""How images are prepared, as other projects' files say it: mean and std, size, resampling.

Sources: transformers, image_processing_utils; timm, models/_hub.py.
"""

from data.common.errors import InputError
from data.images.image_io import RESAMPLES
from msn.formats.files.cropping import PREPROCESSOR_FILE
from msn.networks.encoder import IMAGENET_MEAN, IMAGENET_STD

PILLOW = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # by their numbers there


def normalisation(published: tuple | None) -> dict:
    """`mean` and `std` that a family publishes; none where it publishes several."""
    return dict(zip(("mean", "std"), published or (), strict=False))


def preprocessing(config: dict, sizes: dict, arguments: dict) -> dict:
    """`mean`, `std`, for RGB in 0..1, and size of a preprocessor_config.json."""
    try:
        scale = 255 * (
            config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1
        )
        mean, std = (0.0,) * 3, (1.0,) * 3
        if config.get("do_normalize", True):
            mean, std = (
                config.get("image_mean", IMAGENET_MEAN),
                config.get("image_std", IMAGENET_STD),
            )
        mean, std = ([float(value) / scale for value in values] for values in (mean, std))
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise InputError(f"{PREPROCESSOR_FILE}: no normalisation of RGB ({error})") from error
    found = checked_normalisation(mean, std)
    if config.get("do_resize", True) and "resample" in config:
        found |= resampling(config["resample"])
    size = config.get("crop_size" if config.get("do_center_crop") else "size")
    if isinstance(size, dict):
        size = size.get("height", size.get("shortest_edge"))
    if isinstance(size, int) and config.get("do_resize", True):
        found |= size_arguments(size, sizes, arguments)
    return found


def resampling(named: int | str) -> dict:
    """`resample` by Pillow's number, as transformers has it, or by name, as timm; `InputError`."""
    name = PILLOW[named] if named in range(len(PILLOW)) else named
    if name not in RESAMPLES:
        raise InputError(f"frames resized by {named!r}; expected one of {', '.join(RESAMPLES)}")
    return {"resample": name}


def size_arguments(size: int, sizes: dict, arguments: dict) -> dict:
    """What makes an encoder take images of `size` pixels; raises `InputError`.

    Its positions stay those of its weights.
    """
    patch = sizes["patch_size"]
    if size < patch or size % patch:
        raise InputError(f"images of {size} pixels; expected a multiple of the patch size, {patch}")
    grid = sizes["image_size"] // patch
    learned = "rope_theta" not in arguments
    return {"image_size": size, "position_grid": grid if learned and size != grid * patch else None}


def checked_normalisation(mean, std) -> dict:
    """`mean` and `std` as they came from JSON; raises `InputError`."""
    try:
        found = {"mean": [*map(float, mean)], "std": [*map(float, std)]}
        if {len(values) for values in found.values()} != {3}:
            raise ValueError("not three numbers each")
        if not all(value > 0 for value in found["std"]):
            raise ValueError("std is not above 0")
    except (TypeError, ValueError) as error:
        raise InputError(f"mean {mean}, std {std} do not describe an encoder") from error
    return found
