"""Miniatures of the public archives of colonoscopy, rendered, in their exact layout."""

import hashlib
import json
import uuid

import cv2
import numpy as np

from data.public_datasets.polyp_images import CVC_LAST
from data.synthetic.mucosa import Polyp

SIZE = (96, 72)
KINDS = {"hyperplastic": (0, 255, 0), "adenomatous": (0, 0, 255)}  # of masks, BGR


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def rendered(seed, count, kind="adenomatous"):
    """[(image, box or None)] of one polyp, as BGR."""
    polyp = Polyp(np.random.default_rng(seed), kind, SIZE, count)
    return [polyp.frame(number) for number in range(count)]


def mask_of(box, colour=(255, 255, 255)):
    """A mask with an ellipse in a box, black without one."""
    mask = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    if box:
        left, top, right, bottom = box
        centre, axes = ((left + right) // 2, (top + bottom) // 2), (right - left, bottom - top)
        cv2.ellipse(mask, centre, (axes[0] // 2, axes[1] // 2), 0, 0, 360, colour, -1)
    return mask


def make_kvasir_seg(root, count=6):
    folder, boxes = root / "Kvasir-SEG", {}
    for number, (image, box) in enumerate(rendered(1, count)):
        name = f"cju0{number:021d}"
        write(folder / "images" / f"{name}.jpg", image)
        write(folder / "masks" / f"{name}.jpg", mask_of(box))
        boxes[name] = {"height": SIZE[1], "width": SIZE[0], "bbox": []}
    (folder / "kavsir_bboxes.json").write_text(json.dumps(boxes))
    return root


def make_endotect(root, count=4):
    folder = root / "EndoTect_2020_Segmentation_Test_Dataset"
    for number, (image, box) in enumerate(rendered(2, count)):
        name = uuid.UUID(int=number << 64 | 12)
        write(folder / "images" / f"{name}.jpg", image)
        write(folder / "masks" / f"{name}.jpg", mask_of(box))
    return root


def make_cvc_clinicdb(root, numbers=(1, 25, 26, 50, 51, 592, 612), suffix="tif"):
    for number, (image, box) in zip(numbers, rendered(3, len(numbers)), strict=True):
        assert number <= CVC_LAST[-1]
        write(root / "CVC-ClinicDB" / "Original" / f"{number}.{suffix}", image)
        write(root / "CVC-ClinicDB" / "Ground Truth" / f"{number}.{suffix}", mask_of(box))
    return root


def make_polypgen(root, each=2):
    folder = root / "PolypGen2021_MultiCenterData_v3"
    singles = {"C1": "957OLCV1_100H000", "C3": "C3_EndoCV2021_0048", "C6": "EndoCV2021_C6_010000"}
    for seed, (centre, name) in enumerate(singles.items(), 10):
        for number, (image, box) in enumerate(rendered(seed, each)):
            place = folder / f"data_{centre}"
            write(place / f"images_{centre}" / f"{name}{number}.jpg", image)
            write(place / f"masks_{centre}" / f"{name}{number}_mask.jpg", mask_of(box))
            write(folder / "imagesAll_positive" / f"{name}{number}.jpg", image)
            (place / f"bbox_{centre}").mkdir(exist_ok=True)
            (place / f"bbox_{centre}" / f"{name}{number}.txt").write_text("polyp 1 1 9 9\n")
    for seed, sequence in enumerate(("seq1", "seq10"), 20):
        for number, (image, box) in enumerate(rendered(seed, each)):
            positive = folder / "sequenceData" / "positive" / sequence
            write(positive / f"images_{sequence}" / f"{sequence}_{number}.jpg", image)
            write(positive / f"masks_{sequence}" / f"{sequence}_{number}_mask.jpg", mask_of(box))
            negative = folder / "sequenceData" / "negativeOnly" / f"{sequence}_neg"
            write(negative / f"frame_{number}.jpg", image[::-1])
    return root


def make_neopolyp(root, images=24, unlabelled=4, nested=True):
    """Half of the images has a neoplastic polyp; names are those of `neopolyp_name`."""
    folder = root / "bkai-igh-neopolyp"

    def place(part):
        return folder / part / part if nested else folder / part

    for number in range(images):
        kind = tuple(KINDS)[number % 2]
        ((image, box),) = rendered(100 + number, 1, kind)
        name = neopolyp_name(number)
        write(place("train") / f"{name}.jpeg", image)
        write(place("train_gt") / f"{name}.jpeg", mask_of(box, KINDS[kind]))
    for number, (image, _) in enumerate(rendered(4, unlabelled), images):
        write(place("test") / f"{neopolyp_name(number)}.jpeg", image)
    return root


def neopolyp_name(number):
    return hashlib.md5(b"%d" % number).hexdigest()


def write_sequences(path, images=24, each=2):
    """A table of `make_neopolyp`'s images: pairs of one kind are a sequence."""
    kind = [number % 2 for number in range(images)]
    rows = [
        f"{neopolyp_name(number)}.jpeg,p{number // (2 * each)}_{kind[number]}"
        for number in range(images)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["image,sequence", *rows]) + "\n")
    return path
