r"""Draws the method with the networks of a real run: one frame, its views, what they predict.

Example:
  python -m msn.method_figure --workdir=runs/demo/msn \
      --image=runs/demo/data/cholec80/frames/video13/video13_000040.jpg --output=method.png
"""

if __name__ == "__main__":  # before what takes long to import
    from data.common import stopping

    stopping.end_at_once()

import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from data.common.errors import InputError
from data.images.image_io import read_image
from data.storage.locking import locked_file
from data.storage.whole import whole_file
from data.views.masking import kept_patches
from data.views.multi_crop import Views, make_views
from msn.method.losses import log_predictions, sharpen
from msn.training.configuration import create_model
from msn.workdir import checkpoint_files, checkpoints

INK, ANCHOR_COLOUR, TARGET_COLOUR = "#333333", "#1f5fa8", "#b5541c"


def draw(workdir: Path, image_path: Path, output: Path, seed: int) -> None:
    """Draws views, networks and predictions of one frame.

    Raises:
      InputError: no run in `workdir`, or an image that cannot be read.
    """
    config, model = open_run(workdir)
    frame = read_image(image_path)
    views = make_views(frame, Views(**config.views), seed, 0, 0)
    backbone = model.anchor_encoder.backbone
    # More than a run masks by default would hardly show at this size.
    kept = kept_patches(backbone.grid**2, max(config.patch_drop, 0.3), seed, 0)
    anchors, target = predictions(config, model, views, kept)

    figure = Figure(figsize=(13, 6), dpi=110)
    FigureCanvasAgg(figure)
    show(figure, frame, (0.01, 0.34, 0.19, 0.32), "a frame", INK)
    show(figure, views["target"], (0.25, 0.66, 0.12, 0.26), "target view", TARGET_COLOUR)
    masked = mask(views["anchor"], kept, backbone.patch_size)
    show(figure, masked, (0.25, 0.29, 0.12, 0.26), "anchor view, masked", ANCHOR_COLOUR)
    shown = min(4, len(views["focal"]))
    for i in range(shown):
        title = "focal views" if i == 0 else ""
        box = (0.215 + 0.05 * i, 0.07, 0.046, 0.10)
        show(figure, views["focal"][i], box, title, ANCHOR_COLOUR)
    bars(figure, target, (0.72, 0.70, 0.2, 0.18), "sharpened target prediction", TARGET_COLOUR)
    bars(figure, anchors[0], (0.72, 0.33, 0.2, 0.18), "anchor prediction", ANCHOR_COLOUR)
    bars(
        figure,
        anchors[1:].mean(axis=0),
        (0.72, 0.05, 0.2, 0.15),
        "focal predictions, mean",
        ANCHOR_COLOUR,
    )
    diagram(figure, len(target))
    with locked_file(output), whole_file(output) as side:
        figure.savefig(side)


def open_run(workdir: Path):
    """Configuration and networks of a run at its newest checkpoint; raises `InputError`."""
    if not (workdir / "config.json").is_file():
        raise InputError(f"{workdir}: not a run of msn.train (no config.json)")
    config = ConfigDict(json.loads((workdir / "config.json").read_text()))
    files = checkpoint_files.checkpoints(workdir / "checkpoints")
    if not files:
        raise InputError(f"{workdir}: no checkpoint yet")
    model = create_model(config)
    checkpoints.restore_checkpoint(files[-1], model)
    return config, model


def predictions(config, model, views, kept):
    """Probabilities over the prototypes: [1 + focal views, k] of the anchors, [k] of the target.

    The heads run on their running statistics here: one frame is no batch.
    """
    encoder, head = model.anchor_encoder, model.anchor_head
    _, anchor = encoder.backbone(
        encoder.preprocess(views["anchor"][None]), kept_patches=tf.constant(kept)
    )
    _, focal = encoder(views["focal"])
    _, target = model.target_encoder(views["target"][None])

    def logs(cls, head):
        return log_predictions(head(cls), model.prototypes, config.loss.temperature)

    anchors = keras.ops.exp(logs(tf.concat([anchor, focal], axis=0), head))
    targets = keras.ops.exp(sharpen(logs(target, model.target_head), config.loss.sharpening))
    return np.asarray(anchors), np.asarray(targets)[0]


def mask(view, kept, patch_size):
    """The view with the patches that the network does not see in grey."""
    per_row = view.shape[1] // patch_size
    masked = np.full_like(view, 210)
    for patch in kept:
        top, left = patch_size * (patch // per_row), patch_size * (patch % per_row)
        area = np.s_[top : top + patch_size, left : left + patch_size]
        masked[area] = view[area]
    return masked


def show(figure, image, box, title, colour):
    """An image with a coloured frame."""
    axes = figure.add_axes(box)
    axes.imshow(image)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, color=colour, fontsize=11, loc="left")
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=2)


def bars(figure, probabilities, box, title, colour):
    """A distribution over the prototypes."""
    axes = figure.add_axes(box)
    axes.bar(np.arange(len(probabilities)), probabilities, width=1.0, color=colour)
    axes.set(xticks=[], yticks=[], ylim=(0, max(0.25, 1.05 * probabilities.max())))
    axes.set_title(title, color=colour, fontsize=10, loc="left")
    axes.spines[["top", "right", "left"]].set_visible(False)


def diagram(figure, prototypes):
    """Networks, arrows and losses between the pictures."""
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.axis("off")

    def text(x, y, words, colour=INK, box=False, size=11):
        style = {"boxstyle": "round,pad=0.5", "fc": "white", "ec": colour, "lw": 2} if box else None
        axes.text(x, y, words, color=colour, ha="center", va="center", fontsize=size, bbox=style)

    def arrow(start, end, colour=INK, style="-|>", dashed=False):
        axes.annotate(
            "",
            end,
            start,
            arrowprops={
                "arrowstyle": style,
                "color": colour,
                "lw": 1.8,
                "linestyle": "--" if dashed else "-",
            },
        )

    for y, colour in ((0.79, TARGET_COLOUR), (0.42, ANCHOR_COLOUR), (0.12, ANCHOR_COLOUR)):
        arrow((0.202, 0.50), (0.246 if y > 0.2 else 0.21, y), colour)
    text(0.48, 0.79, "target ViT\n+ head", TARGET_COLOUR, box=True)
    text(0.48, 0.34, "anchor ViT\n+ head", ANCHOR_COLOUR, box=True)
    arrow((0.48, 0.42), (0.48, 0.71), INK, dashed=True)
    text(0.545, 0.565, "moving average,\nno gradient", size=9)
    arrow((0.375, 0.79), (0.43, 0.79), TARGET_COLOUR)
    arrow((0.375, 0.42), (0.43, 0.36), ANCHOR_COLOUR)
    arrow((0.415, 0.12), (0.445, 0.27), ANCHOR_COLOUR)
    text(0.63, 0.34, f"{prototypes}\nprototypes", INK, box=True, size=10)
    text(0.63, 0.79, f"{prototypes}\nprototypes", INK, box=True, size=10)
    arrow((0.53, 0.79), (0.59, 0.79), TARGET_COLOUR)
    arrow((0.53, 0.34), (0.59, 0.34), ANCHOR_COLOUR)
    arrow((0.67, 0.79), (0.715, 0.79), TARGET_COLOUR)
    arrow((0.67, 0.36), (0.715, 0.41), ANCHOR_COLOUR)
    arrow((0.67, 0.32), (0.715, 0.13), ANCHOR_COLOUR)
    arrow((0.945, 0.66), (0.945, 0.20), INK, style="<|-|>")
    text(0.945, 0.79, "the anchors\nlearn to predict\nthe target\n(cross-entropy)", size=9)
    text(0.945, 0.11, "on average all\nprototypes are\nused (me-max)", size=9)


def main() -> int:
    """Runs the command and returns its exit code."""
    given = flags.FLAGS
    draw(Path(given.workdir), Path(given.image), Path(given.output), given.seed)
    print(f"written to {given.output}")
    return cli.DONE


if __name__ == "__main__":
    from data.common import cli

    flags.DEFINE_string("workdir", "runs/demo/msn", "run directory of msn.train")
    flags.DEFINE_string("image", None, "frame to draw", required=True)
    flags.DEFINE_string("output", "method.png", "file that receives the picture")
    flags.DEFINE_integer("seed", 0, "seed of the views and the mask", lower_bound=0)
    cli.run(main, wrong_input=(InputError,))
