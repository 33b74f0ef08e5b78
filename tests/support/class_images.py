"""Folders of images with classes, and what is made of them."""

import cv2
import numpy as np

from data.dataset.audit import Audit
from data.dataset.frame_index import load_index
from data.image_classes.class_folders import prepare_classes

PARTS = ("train", "validation", "test")


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((24, 32, 3), 90, np.uint8))


def prepare(root, folder, sequences=None, seed=0, **options):
    audit = Audit()
    manifest = prepare_classes(root, folder, sequences, seed, audit, **options)
    return load_index(root), manifest, audit


def classes_of(manifest):
    return list(manifest["protocols"][manifest["default"]]["train"]["classes"])
