"""What files say of how frames are cropped, which is not followed here, and said instead.

An encoder sees whole frames, resized to a square: at the edges of an endoscope's picture are
instruments (docs/encoders.md).

Sources: transformers, image_processing_utils; timm, data/transforms_factory.py.
"""

PREPROCESSOR_FILE = "preprocessor_config.json"
WHOLE = "here whole frames are resized to a square, so that features differ from its own"


def remarks_on_cropping(config: dict) -> list[str]:
    """What a preprocessor_config.json does to a frame's borders and shape that is not done here."""
    size = config.get("size")
    size = size if isinstance(size, dict) else {"height": size}
    crop = config.get("crop_size")
    crop = crop.get("height") if isinstance(crop, dict) else crop
    edge = size.get("shortest_edge", size.get("height"))
    if config.get("do_center_crop") and isinstance(crop, int) and isinstance(edge, int):
        return [
            f"{PREPROCESSOR_FILE} resizes the shorter side to {edge} pixels and crops the middle "
            f"{crop}; {WHOLE}"
        ]
    if "shortest_edge" in size and config.get("do_resize", True):
        return [f"{PREPROCESSOR_FILE} keeps a frame's shape; {WHOLE}"]
    return []


def remarks_on_share(config: dict, usual: float) -> list[str]:
    """The same of the `pretrained_cfg` of timm, whose crop_pct is a share of the resized frame.

    `usual` is that of one which does not say it.
    """
    share, mode = config.get("crop_pct") or usual, config.get("crop_mode") or "center"
    if not isinstance(share, int | float) or (share == 1 and mode == "squash"):
        return []
    how = {"squash": "makes a square of the frame", "border": "pads the frame to a square"}
    before = how.get(mode, "resizes the shorter side")
    return [f"its pretrained_cfg {before} and crops the middle {100 * share:g} %; {WHOLE}"]
