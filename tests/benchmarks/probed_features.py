"""Where the features are from that `grouped_probe` measures: NAME=PATH[@FEATURES], or A+B."""

import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors
from ml_collections import ConfigDict

from data.common.errors import InputError, some
from down_stream.choices import FEATURES
from down_stream.features.encoders import SplitFeatures, open_encoder
from msn.encoders import save_encoder
from msn.formats.hub import encoder_path
from msn.networks.variants import RESNET, variant_arguments
from msn.training.configuration import create_model
from msn.workdir.checkpoints import restore_checkpoint
from msn.workdir.run_directory import CHECKPOINTS, CONFIG_FILE

VARIANT = re.compile(r"([a-z0-9]+):(\d+)")  # at random


def named_features(given: Sequence[str]) -> tuple[dict[str, tuple[str, str | None]], list[str]]:
    """What is to be measured: {name: (path, features)} and all names, those of A+B last.

    Raises:
      InputError: a name is given twice or is none, or nothing is at a path.
    """
    names, joined = {}, []
    for one in given:
        name, equals, path = one.partition("=")
        if not equals:
            joined.append(one)
        elif not name or not path or "+" in name:
            raise InputError(f"{one}: expected NAME=PATH, and no + in a name")
        elif name in names:
            raise InputError(f"{name}: given twice; expected each name once")
        else:
            names[name] = parted(path)
    of = some(list(names), limit=9) or "such names"
    for one in joined:
        if "+" not in one or set(one.split("+")) - names.keys():
            raise InputError(f"{one}: expected NAME=PATH, or A+B of {of}")
    return names, [*names, *joined]


def parted(text: str) -> tuple[str, str | None]:
    """PATH and FEATURES of PATH@FEATURES; raises `InputError` where nothing is at the path."""
    path, _, features = text.rpartition("@")
    if features not in FEATURES:
        path, features = text, None
    if at_random := VARIANT.fullmatch(path):
        if at_random[1] != RESNET:
            variant_arguments(at_random[1])  # it raises
    elif not encoder_path(path).exists():
        raise InputError(
            f"{text}: no such file or folder; expected an encoder, a table of features or "
            f"VARIANT:SIZE, and after @ {' or '.join(FEATURES)}"
        )
    return path, features


def features_of(encoder: tuple[str, str | None], index, cache: str) -> np.ndarray:
    """float32 [frames, width] of an encoder's path, a table's, or VARIANT:SIZE at random."""
    path, features = encoder
    arguments = {"resnet_weights": "none", "seed": 0, "given": {}}
    if at_random := VARIANT.fullmatch(path):
        opened = open_encoder(None, at_random[1], image_size=int(at_random[2]), **arguments)
    elif Path(path).parent.name == CHECKPOINTS:
        with tempfile.TemporaryDirectory() as folder:
            saved = save_encoder(encoder_in(Path(path)), f"{folder}/encoder", {"checkpoint": path})
            opened = open_encoder(saved, "", image_size=0, **arguments)
    else:
        opened = open_encoder(encoder_path(path), "", image_size=0, **arguments)
    values, _ = SplitFeatures(opened, {"all": index}, 64, cache, features)("all")
    if len(values) != len(index):
        raise InputError(f"{path}: features of {len(values)} of {len(index)} images; expected all")
    return np.asarray(values)


def encoder_in(checkpoint: Path):
    """The target encoder in a checkpoint of a run."""
    config = ConfigDict(json.loads((checkpoint.parent.parent / CONFIG_FILE).read_text()))
    with safetensors.safe_open(checkpoint, "np") as file:
        said = "teacher/of_cls/bias"
        width = file.get_slice(said).get_shape()[0] if said in file.keys() else None  # noqa: SIM118
    model = create_model(config, width)
    restore_checkpoint(checkpoint, model)
    return model.target_encoder
