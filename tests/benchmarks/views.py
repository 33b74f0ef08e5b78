r"""Speed of decoding frames and drawing their views, beside a Pillow pipeline like the reference's.

  python -m tests.benchmarks.views

Frames are rendered, 854 x 480 and 1920 x 1080, or with MSN_REAL=FOLDER the images in that folder.
Two processes on each side, the same frames, in turns. Both sides end with views of bytes: the
reference normalises them there, which is not counted for it; ours are normalised on the device.
"whole" is ours without reduced decoding.
"""

import dataclasses
import math
import multiprocessing
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from data.batches.seeds import generator
from data.common.errors import InputError
from data.images.completeness import find_fault
from data.images.folders import list_files
from data.images.image_io import read_image, read_reduced
from data.images.names import is_image
from data.synthetic.camera import Endoscope
from data.synthetic.cholec80 import make_timeline
from data.views.multi_crop import (
    Views,
    augment,
    make_views,
    random_box,
    random_resized_crop,
    reduction_for,
)
from tests.benchmarks.report import interleaved, median_ratio, run

VIEWS = Views()
SIZES = ((854, 480), (1920, 1080))
WORKERS = 2
FRAMES = 16
PASSES, ROUNDS = 1, 5
SEED = 0
PARTS = {
    "flip": "flip_probability",
    "colour": "jitter_probability",
    "grey": "grey_probability",
    "blur": "blur_probability",
}


# The baseline: torchvision's operations on Pillow images, as facebookresearch/msn composes them.


def pillow_decode(path):
    """RGB image of a file."""
    return Image.open(path).convert("RGB")


def pillow_crop(image, size, scale, random):
    """RandomResizedCrop."""
    left, top, width, height = random_box(image.size[::-1], scale, VIEWS.aspect, random)
    part = image.crop((left, top, left + width, top + height))
    return part.resize((size, size), Image.Resampling.BILINEAR)


def pillow_augment(image, views, random):
    """RandomHorizontalFlip, ColorJitter, RandomGrayscale, GaussianBlur."""
    if random.random() < views.flip_probability:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if random.random() < views.jitter_probability:
        image = pillow_jitter(image, views.colour_jitter, random)
    if random.random() < views.grey_probability:
        image = image.convert("L").convert("RGB")
    if random.random() < views.blur_probability:
        image = image.filter(ImageFilter.GaussianBlur(random.uniform(*views.blur_radius)))
    return image


def pillow_jitter(image, strength, random):
    """ColorJitter(0.8 s, 0.8 s, 0.8 s, 0.2 s)."""
    for operation in random.permutation(4):
        if operation == 3:
            image = pillow_hue(image, random.uniform(-0.2 * strength, 0.2 * strength))
        else:
            enhancer = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
            factor = random.uniform(1 - 0.8 * strength, 1 + 0.8 * strength)
            image = enhancer[operation](image).enhance(factor)
    return image


def pillow_hue(image, shift):
    """Turns the hue by a share of the circle."""
    hue, saturation, value = image.convert("HSV").split()
    turned = np.asarray(hue) + np.uint8(int(shift * 255) % 256)
    return Image.merge("HSV", (Image.fromarray(turned), saturation, value)).convert("RGB")


# Both pipelines, made of the same steps.


def crops(image, crop, seed):
    """Target, anchor and focal crops of an image, each with its generator."""
    sizes = [(VIEWS.size, VIEWS.scale)] * 2
    sizes += [(VIEWS.focal_size, VIEWS.focal_scale)] * VIEWS.focal_views
    randoms = [generator(seed, 0, 0, view) for view in range(len(sizes))]
    return [
        (crop(image, *size, random), random) for size, random in zip(sizes, randoms, strict=True)
    ]


def our_crop(image, size, scale, random):
    """The crop of `make_views`."""
    return random_resized_crop(image, size, scale, VIEWS.aspect, random)


def pillow_views(path, seed):
    """All views of a file, as arrays."""
    drawn = crops(pillow_decode(path), pillow_crop, seed)
    return [np.asarray(pillow_augment(crop, VIEWS, random)) for crop, random in drawn]


def our_views(path, seed):
    """All views of a file, as arrays."""
    key = (VIEWS, seed, 0, 0)
    image, whole = read_reduced(path, lambda shape: reduction_for(shape, *key))
    return make_views(image, *key, whole=whole)


JOBS = {
    "pillow": pillow_views,
    "ours": our_views,
    "whole": lambda path, seed: make_views(read_image(path), VIEWS, seed, 0, 0),
    "decoding": lambda path, seed: read_image(path),
}


def work(name, paths):
    """Does one job on every path; for processes."""
    for seed, path in enumerate(paths):
        JOBS[name](path, seed)


# What is measured.


def make_frames(folder: Path, size: tuple[int, int] = SIZES[0]) -> list[Path]:
    """Frames of four rendered operations as JPEG, of the quality that prepare.py writes."""
    paths = []
    for number in range(4):
        rng = np.random.default_rng([SEED, number])
        endoscope = Endoscope(rng, size, make_timeline(rng, 60))
        for i in range(FRAMES // 4):
            frame = endoscope.frame((2 * i + 1) * endoscope.count // (FRAMES // 2))
            paths.append(folder / f"{number}_{i}.jpg")
            cv2.imwrite(str(paths[-1]), frame, [cv2.IMWRITE_JPEG_QUALITY, 95])
    return paths


def real_frames(folder: str) -> list[Path]:
    """Some of the whole images in a folder, evenly spaced."""
    paths = [path for path in list_files(Path(folder), []) if is_image(path.name)]
    paths = [path for path in paths if not find_fault(path)]
    if not paths:
        raise InputError(f"MSN_REAL={folder}: no images in it")
    return paths[:: math.ceil(len(paths) / FRAMES)]


def as_png(paths, folder: Path) -> list[Path]:
    """The same frames as PNG files."""
    copies = [folder / f"{number}.png" for number in range(len(paths))]
    for path, copy in zip(paths, copies, strict=True):
        cv2.imwrite(str(copy), cv2.imread(str(path)))
    return copies


def rates(paths, pool, threads) -> tuple[dict[str, float], dict[str, float]]:
    """Images per second of every job, and how many times faster than the others ours is."""
    shares = [(paths * PASSES)[worker::WORKERS] for worker in range(WORKERS)]

    def in_(executor, name):
        return lambda: list(executor.map(work, [name] * WORKERS, shares))

    calls = {name: in_(pool, name) for name in JOBS} | {"ours, threads": in_(threads, "ours")}
    for call in calls.values():  # warm: imports, caches, kernels
        call()
    taken = interleaved(calls, ROUNDS)
    images = len(paths) * PASSES
    speed = {name: images / statistics.median(seconds) for name, seconds in taken.items()}
    return speed, {name: median_ratio(taken[name], taken["ours"]) for name in JOBS}


def stages(paths, decode, crop, change) -> dict[str, float]:
    """Milliseconds per image of each stage, on one core: medians over the frames."""
    costs = {name: [] for name in ("decoding", "crop_and_resize", *PARTS)}

    def timed(name, call):
        start = time.thread_time()
        result = call()
        costs[name].append(1e3 * (time.thread_time() - start))
        return result

    nothing = dataclasses.replace(VIEWS, **dict.fromkeys(PARTS.values(), 0))
    only = {
        name: dataclasses.replace(nothing, **{key: getattr(VIEWS, key)})
        for name, key in PARTS.items()
    }
    for seed, path in enumerate(paths * PASSES):
        image = timed("decoding", lambda path=path: decode(path))
        drawn = timed("crop_and_resize", lambda i=image, s=seed: crops(i, crop, s))
        for name, views in only.items():
            timed(name, lambda d=drawn, v=views: [change(x, v, random) for x, random in d])
    return {name: statistics.median(values) for name, values in costs.items()}


def measure() -> dict:
    """Both pipelines on the same frames."""
    cv2.setNumThreads(1)  # parallel over images
    context = multiprocessing.get_context("spawn")
    real, result = os.environ.get("MSN_REAL"), {}
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(WORKERS, context, cv2.setNumThreads, (1,)) as pool,
        ThreadPoolExecutor(WORKERS) as threads,
    ):
        for size in SIZES[:1] if real else SIZES:
            of_size = Path(folder, f"{size[1]}")
            of_size.mkdir()
            paths = real_frames(real) if real else make_frames(of_size, size)
            end = "" if size == SIZES[0] else f"_{size[0]}x{size[1]}"
            found = measure_frames(paths, as_png(paths, of_size), pool, threads)
            result |= {f"{name}{end}": value for name, value in found.items()}
    return {
        "measured": "frames decoded and turned into 12 views, two processes",
        "unit": "images/s",
        "baseline": "Pillow pipeline like the reference's, without normalisation",
        "frames": f"images in {real}" if real else "rendered, 854x480, JPEG",
    } | result


def measure_frames(paths, png, pool, threads) -> dict:
    """Both pipelines on some frames, as JPEG and as PNG files."""
    speed, ratios = rates(paths, pool, threads)
    speed_png, ratios_png = rates(png, pool, threads)
    result = {
        "value": speed["ours"],
        "baseline_value": speed["pillow"],
        "ratio": ratios["pillow"],
        "ratio_to_whole": ratios["whole"],
        "two_threads": speed["ours, threads"],
        "decoding_alone": speed["decoding"],
        "png": speed_png["ours"],
        "png_baseline": speed_png["pillow"],
        "png_ratio": ratios_png["pillow"],
        "png_ratio_to_whole": ratios_png["whole"],
        "png_decoding_alone": speed_png["decoding"],
    }
    costs = {
        "": stages(paths, read_image, our_crop, augment),
        "_pillow": stages(paths, pillow_decode, pillow_crop, pillow_augment),
        "_png": {"decoding": stages(png, read_image, our_crop, augment)["decoding"]},
    }
    for side, milliseconds in costs.items():
        result |= {f"ms_{stage}{side}": value for stage, value in milliseconds.items()}
    return result


if __name__ == "__main__":
    run("views", measure)
