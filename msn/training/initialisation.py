"""Pre-training that begins from the weights of an encoder, instead of random ones."""

import json

from keras import ops

from data.common.errors import InputError
from data.storage.paths import AnyPath
from msn.encoders import ENCODER_FILE, load_encoder
from msn.formats.flax_files import FLAX_FILE
from msn.formats.reference_names import named_variables
from msn.formats.saved_model import FrozenEncoder
from msn.networks.embedding import position_matrix
from msn.networks.encoder import Encoder
from msn.networks.variants import CONV_STEMS, SIZES, variant_arguments

# What a variant has that says nothing else.
PLAIN = {"mlp_ratio": 4, "stem_channels": None}


def open_pretrained(path: AnyPath, variant: str, given: dict) -> Encoder:
    """Opens the encoder that a run begins from; `path` is anything `load_encoder` opens.

    `given` are further arguments of `load_encoder`.

    Raises:
      InputError: it is no encoder, or frozen, or its sizes are not those of `variant`.
    """
    try:
        encoder = load_encoder(path, **given)
    except InputError as error:
        raise InputError(f"init={error}") from error
    if isinstance(encoder, FrozenEncoder):
        raise InputError(f"init={path}: a SavedModel is frozen; {trainable_instead(path)}")
    if not isinstance(encoder, Encoder):
        raise InputError(f"init={path}: not a Vision Transformer; expected {variant}")
    arguments = encoder.backbone.get_config()
    differences = [
        f"{name} {arguments[name]}, not {wanted}"
        for name, wanted in (PLAIN | variant_arguments(variant)).items()
        if as_list(arguments[name]) != as_list(wanted)
    ]
    if differences:
        raise InputError(
            f"init={path}: is not {variant} ({', '.join(differences)}){named_variant(arguments)}"
        )
    return encoder


def copy_weights(source, target) -> None:
    """Sets a backbone's weights from another's of the same sizes.

    Positions for images of another size are interpolated, as the encoder does it for focal views.
    """
    values = named_variables(source)
    for name, variable in named_variables(target).items():
        value = values[name]
        if name == "pos_embed" and tuple(value.shape) != tuple(variable.shape):
            first = int(source.cls_position)
            matrix = ops.cast(position_matrix(source.grid, target.grid, target.grid), value.dtype)
            patches = ops.matmul(matrix, value[:, first:])
            value = ops.concatenate([value[:, :first], patches], axis=1)
        variable.assign(value)


def origin_of(path: AnyPath) -> dict:
    """Where the weights at `path` came from, for encoder.json: {"path", "source" if it says so}."""
    origin = {"path": str(path)}
    description = path / ENCODER_FILE
    if description.is_file():
        origin["source"] = json.loads(description.read_text())["source"]
    return origin


def trainable_instead(path: AnyPath) -> str:
    """What to give instead of a SavedModel."""
    for file in (path / FLAX_FILE, path.parent / FLAX_FILE):
        if file.is_file():
            return f"expected the same weights in {file}"
    if (path.parent / ENCODER_FILE).is_file():
        return f"expected the same encoder in {path.parent}"
    return (
        f"expected the file its weights came from: {FLAX_FILE} of the EndoSSL release, or an "
        "encoder directory"
    )


def named_variant(found: dict) -> str:
    """A hint that names the variant which has these sizes, "" if none has them."""
    for name in [f"vit{size}{found['patch_size']}" for size in SIZES] + [
        f"vit{stem}16" for stem in CONV_STEMS
    ]:
        arguments = PLAIN | variant_arguments(name)
        if all(as_list(found[key]) == as_list(value) for key, value in arguments.items()):
            return f"; expected --config.model.variant={name}"
    return ""


def as_list(value):
    """Tuples as lists, as constructor arguments are returned."""
    return list(value) if isinstance(value, tuple) else value
