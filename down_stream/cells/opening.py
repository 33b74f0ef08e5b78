"""The encoders of a grid, opened before anything is run: what is wrong with any of them is said."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ml_collections import ConfigDict

from data.common.errors import InputError
from down_stream.cells.cell import Cell
from down_stream.features.cache import fingerprint
from down_stream.features.encoders import open_encoder
from down_stream.features.pooling import choose_features
from msn.encoders import facts_in
from msn.formats.files.feature_table import FeatureTable
from msn.formats.hub import encoder_path


@dataclass(frozen=True)
class Opened:
    """What is kept of an encoder that was opened, and closed again.

    Attributes:
      fingerprint: of `down_stream.features.cache`.
      kind: "encoder", or in words what it is where it is frozen for good.
      is_trainable: whether it can be fine-tuned.
      parameters: how many weights it has; None where they are not known.
      problems: why it cannot give features, by their name; "" where it can.
    """

    fingerprint: str
    kind: str
    is_trainable: bool
    parameters: int | None
    problems: Mapping[str, str]


def open_configured(config: ConfigDict):
    """The encoder of an experiment's configuration; raises `InputError`."""
    return open_encoder(
        encoder_path(config.encoder) if config.encoder else None,
        config.model.variant,
        image_size=config.model.image_size,
        resnet_weights=config.resnet_weights,
        seed=config.seed,
        given=facts_in(config, "encoder"),
        like=encoder_path(config.model.like) if config.model.like else None,
    )


class Encoders:
    """The encoders that cells have now, each opened once.

    Args:
      features: names of those that the cells are to have.
    """

    def __init__(self, features: Iterable[str] = ()):
        self._features, self._known = tuple(features), {}

    def of(self, config: ConfigDict) -> Opened:
        """What there is to know of an experiment's encoder; raises `InputError`."""
        key = _key(config)
        if key not in self._known:
            encoder = open_configured(config)
            self._known[key] = Opened(
                fingerprint(encoder),
                getattr(encoder, "kind", "encoder"),
                bool(encoder.trainable_variables),
                sum(math.prod(one.shape) for one in getattr(encoder, "weights", ())) or None,
                {} if isinstance(encoder, FeatureTable) else self._problems(encoder),
            )
        return self._known[key]

    def _problems(self, encoder) -> dict[str, str]:
        found = {}
        for features in self._features:
            try:
                choose_features(encoder, features, is_trained=True)
                found[features] = ""
            except InputError as error:
                found[features] = str(error)
        return found

    def fingerprint(self, config: ConfigDict) -> str:
        """That of the encoder which an experiment would have now."""
        return self.of(config).fingerprint


def open_all(cells: Iterable[Cell], encoders: Encoders) -> None:
    """Opens the encoder of every cell, so that none is found to be wrong after hours.

    Raises:
      InputError: with all that is wrong, of all of them.
    """
    wrong, seen = {}, set()
    for cell in cells:
        key = _key(cell.config)
        if key not in seen:
            seen.add(key)
            try:
                encoders.of(cell.config)
            except InputError as error:
                wrong.setdefault(cell.facts["encoder"], str(error))
    if wrong:
        listed = "; ".join(f"{name}: {reason}" for name, reason in wrong.items())
        raise InputError(
            f"encoders: {len(wrong)} cannot be used: {listed}. What a file does not say goes "
            "beside its path: ('NAME', 'PATH', {'encoder_mean': (R, G, B), "
            "'encoder_std': (R, G, B)})"
        )


def _key(config: ConfigDict) -> str:
    """What of a configuration its encoder depends on."""
    parts = [config.encoder, config.model.to_dict(), config.resnet_weights]
    parts += [facts_in(config, "encoder"), None if config.encoder else config.seed]
    return json.dumps(parts, default=list)
