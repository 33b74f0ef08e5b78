"""The encoder of an experiment, and its features of the frames of each split."""

from collections.abc import Callable, Mapping

import numpy as np

from data.common.errors import InputError
from data.dataset.frame_index import FrameIndex
from data.storage.paths import AnyPath
from down_stream.features.cache import cached_features
from down_stream.features.extraction import by_pieces, over_frames, representation
from down_stream.features.pooling import choose_features
from msn.encoders import load_encoder
from msn.formats.files.feature_table import FeatureTable, is_table, open_table
from msn.networks.encoder import Encoder, create_encoder, resample_of
from msn.networks.resnet import create_resnet
from msn.networks.variants import RESNET, variant_arguments


def open_encoder(
    path: AnyPath | None,
    variant: str,
    *,
    image_size: int,
    resnet_weights: str,
    seed: int,
    given: dict,
    like: AnyPath | None = None,
):
    """The encoder at a path, or one that starts from scratch where there is none.

    Args:
      path: anything that `load_encoder` opens, a table of features, or None.
      variant: of the encoder; "" for whatever is at the path.
      image_size, resnet_weights, seed: of one that starts from scratch.
      given: what the file at the path does not say, arguments of `load_encoder`.
      like: the path of an encoder instead of `path`: one that starts from scratch has its
        architecture, image size and preprocessing.

    Raises:
      InputError: nothing to open, or it is not of that variant.
    """
    if like and not path:
        known = open_encoder(
            *(like, variant),
            image_size=image_size,
            resnet_weights=resnet_weights,
            seed=seed,
            given=given,
        )
        return from_scratch(known, like, seed)
    if not path:
        if variant == RESNET:
            return create_resnet(resnet_weights, image_size=image_size, seed=seed)
        return create_encoder(variant, image_size=image_size, seed=seed)
    if is_table(path):
        return open_table(path, given)
    encoder = load_encoder(path, **given)
    if variant:
        check_variant(encoder, variant, path)
    return encoder


def from_scratch(encoder, path: AnyPath, seed: int):
    """An encoder as the one from `path`, of its preprocessing, too, but randomly initialised."""
    if not encoder.trainable_variables:
        raise InputError(
            f"model.like={path}: a frozen SavedModel does not say its architecture, nor a table; "
            "expected a trainable encoder, or model.variant and model.image_size"
        )
    arguments = encoder.get_config()
    if arguments.get("architecture") == RESNET:
        return create_resnet("none", image_size=encoder.image_size, seed=seed)
    return Encoder(**arguments, seed=seed)


def describe_encoder(path: str, resnet_weights: str, model: Mapping) -> str:
    """Where an encoder is from, in words.

    Args:
      path: of what is opened, or empty.
      resnet_weights, model: of a configuration.
    """
    if path:
        return str(path)
    origin = "from scratch" if resnet_weights == "none" else f"weights: {resnet_weights}"
    architecture = model["variant"] or f"as {model['like']}"
    return f"{architecture}, {origin}"


def facts_of(encoder) -> dict:
    """What makes two encoders comparable, for results.json: sizes and preprocessing, None unknown.

    Returns:
      {"image_size", "patch_size": pixels; "mean", "std": of RGB in 0..1; "resample": what frames
      are resized with}.
    """
    facts = {} if isinstance(encoder, FeatureTable) else encoder.get_config()
    return {
        "image_size": getattr(encoder, "image_size", None),
        "patch_size": facts.get("patch_size"),
        "resample": None if isinstance(encoder, FeatureTable) else resample_of(encoder),
        **{name: list(getattr(encoder, name, None) or ()) or None for name in ("mean", "std")},
    }


def check_variant(encoder, variant: str, path: AnyPath) -> None:
    """Raises `InputError` if the encoder from `path` is not of the architecture `variant`."""
    found = encoder.get_config() | {"width": encoder.width}
    if variant == RESNET or found.get("architecture") == RESNET:
        if variant != found.get("architecture"):
            raise InputError(f"{path}: is not {variant}")
        return
    named = variant_arguments(variant)
    wrong = [
        f"{key} {found[key]} instead of {named[key]}"
        for key in named
        if key in found and found[key] != named[key]  # a SavedModel tells its width alone
    ]
    if wrong:
        raise InputError(f"{path}: is not {variant} ({', '.join(wrong)})")


class SplitFeatures:
    """The readable labelled frames of each split with their features, each computed once.

    Args:
      encoder: what `open_encoder` returns.
      splits: {name: labelled frames}.
      batch_size: frames that are encoded at once.
      cache: folder of `down_stream.features.cache`; None for an encoder that is used once.
      features: of `down_stream.features.pooling.FEATURES`; None for those that are usual; ATTENTIVE
        for those of a model (`represent_by`).

    Raises:
      InputError: the encoder cannot give these features.
    """

    def __init__(
        self,
        encoder,
        splits: dict[str, FrameIndex],
        batch_size: int,
        cache: str | None,
        features: str | None = None,
    ):
        self.encoder, self.splits = encoder, splits
        self.batch_size, self.cache = batch_size, cache
        if isinstance(encoder, FeatureTable):
            if features is not None:
                raise InputError(
                    f"features is {features!r} for {encoder.file}, which holds one kind; expected "
                    "none"
                )
            self.features = f"those of {encoder.file.name}"
        else:
            self.features = choose_features(encoder, features, is_trained=True)
            self._function = representation(encoder, self.features)
        self._known = {}
        self.unreadable = dict.fromkeys(splits, 0)  # frames of each split

    def __call__(self, name: str) -> tuple[np.ndarray, FrameIndex]:
        """Features float32 [frames, width] of a split, and the frames they are of."""
        if name not in self._known:
            self._known[name] = self.compute(name, f"features of {name} videos")
        return self._known[name]

    def represent_by(self, function: Callable) -> None:
        """From now on the features are what this function of images gives, as it is then."""
        self._function = by_pieces(function, self.encoder)

    def compute(self, name: str, description: str = "") -> tuple[np.ndarray, FrameIndex]:
        """The same, as the encoder is now; with a description, behind a progress bar."""
        split = self.splits[name]
        if isinstance(self.encoder, FeatureTable):
            features, rows = self.encoder.of(split)
        else:
            features, rows = self._encode(split, description)
        self.unreadable[name] = len(split) - len(rows)
        return features, split.take(rows)

    def _encode(self, split, description):
        arguments = {
            "image_size": self.encoder.image_size,
            "resample": resample_of(self.encoder),
            "batch_size": self.batch_size,
            "description": description,
        }
        if self.cache is None:
            return over_frames(self._function, split, **arguments)
        return cached_features(
            self.encoder, split, features=self.features, folder=self.cache, **arguments
        )
