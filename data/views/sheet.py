"""Contact sheet of what the networks see: frames, where their views are cut out, and the views.

Run as `python -m data.views`. Views are shown pixel by pixel, at a whole number of times their size
where they are small.
"""

import itertools
import math
import re
from pathlib import Path

import numpy as np
from absl import flags
from PIL import Image, ImageDraw, ImageFont

from data.common.errors import InputError, check_range
from data.common.logs import logger
from data.frames.frames import Frames
from data.frames.opening import open_source
from data.images.image_io import resize
from data.storage.locking import locked_file
from data.storage.whole import whole_file
from data.views.masking import kept_patches
from data.views.multi_crop import Views, draw_boxes, make_views, reduction_for

MAX_FRAMES = 50
SUFFIXES = (".png", ".jpg", ".jpeg")
HEIGHT = 224  # pixels of a frame and, nearly, of a target view, on the sheet
GAP, LINE = 12, 22  # pixels between pictures, and for a line of text
FOCAL_ROWS = 2

BACKGROUND, TEXT = (24, 24, 24), (225, 225, 225)
MASKED = (72, 88, 116)  # neither tissue nor a view without colour looks like it
COLOURS = {"target": (255, 176, 64), "anchor": (90, 190, 255), "focal": (150, 255, 150)}


def draw_sheet(
    source: Frames, views: Views, patch_drop: float, patch_size: int, frames: int, seed: int
) -> np.ndarray:
    """Draws the views that some frames would have in step 0 of a run.

    Args:
      source: where the frames are.
      views: what is drawn of each.
      patch_drop: share of the anchor view's patches that the network does not see.
      patch_size: height and width of a patch in pixels.
      frames: how many frames, chosen at random; those that cannot be read are left out.
      seed: int >= 0, of the choice, the views and the mask.

    Returns:
      uint8 [height, width, 3], RGB.

    Raises:
      InputError: the patches do not divide the view, or no frame can be read.
    """
    check_size(views, patch_size)
    kept = kept_patches((views.size // patch_size) ** 2, patch_drop, seed, step=0)
    rows = []
    for example, row in enumerate(_choose(source, frames, seed)):
        try:
            frame = source.read(row)
            image, whole = source.read_reduced(
                row, lambda shape, key=(seed, 0, example): reduction_for(shape, views, *key)
            )
        except (InputError, OSError) as error:
            logger.warning("left out: %s", error)
            continue
        drawn = make_views(image, views, seed, 0, example, whole)
        drawn["anchor"] = mask_patches(drawn["anchor"], kept, patch_size)
        boxes = view_boxes(frame.shape[:2], views, seed, step=0, example=example)
        rows.append((Path(source.name(row)).name, _panels(frame, boxes, drawn)))
    if not rows:
        raise InputError(f"none of {frames} frames of {source.videos[0]}, ... can be read")
    return np.asarray(_stack(rows, _titles(views, patch_drop)))


def _choose(source, frames, seed) -> list[int]:
    """Rows of frames, none twice, in order."""
    count = min(frames, len(source))
    return sorted(np.random.default_rng(seed).choice(len(source), count, replace=False).tolist())


def view_boxes(shape, views: Views, seed: int, step: int, example: int) -> dict:
    """Where `make_views` cuts the views out of an image of `shape` (height, width).

    Returns:
      "target" and "anchor" (left, top, width, height) in pixels, "focal" a list of these.
    """
    drawn = draw_boxes(shape, views, seed, step, example)
    target, anchor, *focal = (box for box, _, _ in drawn)
    return {"target": target, "anchor": anchor, "focal": focal}


def mask_patches(view, kept, patch_size) -> np.ndarray:
    """The view [size, size, 3] with MASKED for the patches that are not in `kept`."""
    per_row = view.shape[1] // patch_size
    shown = np.zeros((per_row, per_row, 1), bool)
    shown.reshape(-1)[kept] = True
    shown = shown.repeat(patch_size, axis=0).repeat(patch_size, axis=1)
    return np.where(shown, view, np.uint8(MASKED))


# The picture: a row of panels for each frame, titles above.


def _panels(frame, boxes, drawn) -> list[Image.Image]:
    """Frame, target view, anchor view, focal views."""
    times = max(1, HEIGHT // len(drawn["target"]))

    def enlarge(view):
        return Image.fromarray(view.repeat(times, axis=0).repeat(times, axis=1))

    focal = [enlarge(view) for view in drawn["focal"]]
    panels = [_outlined(frame, boxes), enlarge(drawn["target"]), enlarge(drawn["anchor"])]
    return [*panels, _numbered(focal)] if focal else panels


def _outlined(frame, boxes) -> Image.Image:
    """The frame, HEIGHT pixels high, with the outlines of its views."""
    scale = HEIGHT / frame.shape[0]
    image = Image.fromarray(resize(frame, (HEIGHT, round(scale * frame.shape[1]))))
    draw = ImageDraw.Draw(image)
    outlines = [("focal", box) for box in boxes["focal"]]
    outlines += [("target", boxes["target"]), ("anchor", boxes["anchor"])]
    for number, (view, (left, top, width, height)) in enumerate(outlines, start=1):
        corners = [scale * x for x in (left, top, left + width - 1, top + height - 1)]
        draw.rectangle(corners, outline=COLOURS[view], width=1 if view == "focal" else 3)
        if view == "focal":
            _number(draw, corners[:2], number)
    return image


def _numbered(focal) -> Image.Image:
    """Focal views in up to FOCAL_ROWS rows, with the numbers that their outlines have."""
    columns = math.ceil(len(focal) / FOCAL_ROWS)
    pitch = focal[0].width + GAP // 2
    size = (columns * pitch, math.ceil(len(focal) / columns) * pitch)
    image = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(image)
    for number, view in enumerate(focal, start=1):
        row, column = divmod(number - 1, columns)
        image.paste(view, (column * pitch, row * pitch))
        _number(draw, (column * pitch, row * pitch), number)
    return image


def _number(draw, corner, number) -> None:
    """The number of a focal view; the black edge keeps it readable on any tissue."""
    place = (corner[0] + 4, corner[1] + 1)
    style = {"fill": COLOURS["focal"], "stroke_fill": "black", "stroke_width": 2}
    draw.text(place, str(number), font=ImageFont.load_default(13), **style)


def _titles(views, patch_drop) -> list[tuple[str, str, tuple]]:
    """Of each panel two lines and their colour."""

    def share(scale):
        return f"{100 * scale[0]:.3g} to {100 * scale[1]:.3g} % of the frame"

    masked = f"{100 * patch_drop:.3g} % of the patches masked"
    focal = f"{views.focal_views} focal views, {views.focal_size} px"
    return [
        ("frame", "outlines: what the views show", TEXT),
        (f"target view, {views.size} px", share(views.scale), COLOURS["target"]),
        (f"anchor view, {views.size} px", masked, COLOURS["anchor"]),
        (focal, share(views.focal_scale), COLOURS["focal"]),
    ]


def check_size(views: Views, patch_size: int) -> None:
    """Raises `InputError` where the patches do not divide the view."""
    if views.size % patch_size:
        raise InputError(
            f"views.size is {views.size}; expected a multiple of the patch size, {patch_size}"
        )


def _stack(rows, titles) -> Image.Image:
    """All rows below their titles, each above its frame's name."""
    large, small = ImageFont.load_default(17), ImageFont.load_default(14)
    columns = list(zip(*(panels for _, panels in rows), strict=True))
    titles = titles[: len(columns)]  # there may be no focal views
    widths = [
        max(*(panel.width for panel in column), *(math.ceil(large.getlength(t)) for t in title[:2]))
        for column, title in zip(columns, titles, strict=True)
    ]
    heights = [max(panel.height for panel in panels) + LINE + GAP for _, panels in rows]
    lefts = list(itertools.accumulate(widths, lambda left, width: left + width + GAP, initial=GAP))
    tops = list(itertools.accumulate(heights, initial=2 * LINE + GAP))
    sheet = Image.new("RGB", (lefts[-1], tops[-1]), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for left, (first, second, colour) in zip(lefts, titles, strict=False):
        draw.text((left, GAP // 2), first, fill=colour, font=large)
        draw.text((left, GAP // 2 + LINE), second, fill=colour, font=small)
    for top, (name, panels) in zip(tops, rows, strict=False):
        for left, panel in zip(lefts, panels, strict=False):
            sheet.paste(panel, (left, top))
        draw.text((lefts[0], top + panels[0].height + 3), name, fill=TEXT, font=small)
    return sheet


def define_flags() -> None:
    """Defines the flags of this command; importing the module does not."""
    flags.DEFINE_string("data_rootdir", None, "folder of datasets", required=True)
    flags.DEFINE_string("name", "cholec80", "name of the dataset, a folder in data_rootdir")
    flags.DEFINE_string("output", "views.png", "picture that is written, .png or .jpg")
    flags.DEFINE_integer("frames", 4, "how many frames, chosen at random")
    flags.DEFINE_integer("seed", 0, "seed of the choice, the views and the mask")


def main() -> None:
    """Draws the sheet that the flags and the configuration ask for."""
    given = flags.FLAGS
    output, config = Path(given.output), given.config
    if output.suffix.lower() not in SUFFIXES:
        raise InputError(f"--output={output}: expected a name that ends in .png or .jpg")
    check_range("--frames", given.frames, 1, MAX_FRAMES)
    check_range("--seed", given.seed, 0)
    if "views" not in config:
        raise InputError("--config: no `views` in it; expected a configuration of msn.train")
    check_range("patch_drop", config.patch_drop, 0, 0.999)
    data, views, patch_size = config.data, Views(**config.views), patch_size_in(config)
    check_size(views, patch_size)  # before the frames are listed
    root = Path(given.data_rootdir) / given.name
    source = open_source(data.source, root, data.exclude_videos, data.fps)
    sheet = draw_sheet(source, views, config.patch_drop, patch_size, given.frames, given.seed)
    with locked_file(output), whole_file(output) as side:
        Image.fromarray(sheet).save(side)
    print(f"written to {output}")


def patch_size_in(config) -> int:
    """Pixels of a patch in a configuration of msn.train; raises `InputError`."""
    if config.init:
        if config.init_patch_size is None:
            raise InputError(
                "init: the encoder is not opened for a picture; expected its patch size, as "
                "--config.init_patch_size=16"
            )
        return config.init_patch_size
    patch = re.search(r"[1-9]\d*$", config.model.variant)  # "vits16"
    if not patch:
        raise InputError(
            f"model.variant is {config.model.variant!r}; expected one that ends in the size of a "
            "patch, as vits16 does"
        )
    return int(patch[0])
