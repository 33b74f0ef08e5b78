"""What is no comparison, said before TensorFlow is imported: its lists, and keys of its cells."""

from collections.abc import Iterable

from ml_collections import ConfigDict

from data.common.configurations import flatten
from data.common.errors import InputError, check_choices
from down_stream.choices import ATTENTIVE, FEATURES, MODES
from down_stream.low_shot import checks as low_shot

USUAL = "usual"  # of feature_kinds: what the encoder's family takes


def check(config: ConfigDict) -> None:
    """Raises `InputError` for values with which there is no comparison."""
    low_shot.check(config)
    for key, known in (("modes", MODES), ("feature_kinds", (USUAL, *FEATURES, ATTENTIVE))):
        values = config[key]
        if not values or len(set(values)) < len(values):
            raise InputError(f"{key} is {values!r}; expected some of {', '.join(known)}, each once")
        for value in values:
            check_choices({key: value}, {key: known})
    if config.fold_videos:
        raise InputError(
            f"fold_videos is {config.fold_videos} in a comparison; expected fractions, or numbers="
            f"({config.fold_videos},)"
        )
    if unknown := set(config.settings) - set(MODES):
        raise InputError(
            f"settings: {sorted(unknown)[0]!r} is not a mode; expected {', '.join(MODES)}"
        )
    for mode in config.settings:
        settings = flatten(config.settings[mode].to_dict())
        low_shot.check_keys(config, settings, f"settings.{mode}", ".")
    for name, path, *own in config.encoders:
        for mode in config.modes:
            keys = {"encoder": path, "model.like": None} if path else {"model.like": name}
            keys |= flatten(dict(*own)) | keys_of(config, mode, config.temporal, None)
            if mode in ("knn", "logistic") and keys.get("features") == ATTENTIVE:
                keys["features"] = None  # such cells are left out, and named
            low_shot.check_cell(config, f"{name}, {mode}", keys)


def give_to_modes(config: ConfigDict, keys: Iterable[str]) -> None:
    """Gives what a user has set for all cells to the modes, whose own settings would win over it.

    Args:
      config: of a comparison, which is changed.
      keys: dotted ones that the user has set, those of `settings` among them: these win.
    """
    keys = set(keys)
    for mode, settings in config.settings.items():
        for key in flatten(settings.to_dict()):
            above = {key.rsplit(".", number)[0] for number in range(key.count(".") + 1)}
            if above & keys and not {f"settings.{mode}.{one}" for one in above} & keys:
                settings.update_from_flattened_dict({key: _value(config, key)})


def _value(config: ConfigDict, key: str):
    for part in key.split("."):
        config = config[part]
    return config


def keys_of(config: ConfigDict, mode: str, temporal: str, features: str | None) -> dict:
    """{dotted key: value} of a way to put an encoder to use, beside the shared configuration."""
    settings = config.settings.get(mode)
    keys = {"mode": mode, "temporal": temporal}
    keys |= {"features": features} if features else {}
    return keys | (flatten(settings.to_dict()) if settings else {})
