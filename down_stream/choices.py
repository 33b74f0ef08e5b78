"""What keys of an experiment, and flags of inference, may be: names, and a model's directory."""

from data.common.errors import InputError
from data.storage.paths import AnyPath

MODES = ("probe", "logistic", "knn", "finetune")
FEATURES = ("cls", "mean", "cls+mean", "last4")  # see `down_stream.features.pooling`
ATTENTIVE = "attentive"  # trained with the classifier (down_stream.features.attentive)
TEMPORAL_MODELS = {"tecno": True, "tecno_offline": False}  # name -> whether it is causal
OPTIMIZERS = ("adam", "adamw", "rmsprop", "momentum", "sgd")
TOKENS = ("cls", "mean", "all")
FRAME_MODEL_FILE = "frame_model.json"  # of the model/ of an experiment
RESULTS = "results.json"  # of an experiment, beside its model/; written last


def check_tokens(features: str | None, layers: int | None, tokens: str | None) -> None:
    """Raises `InputError` unless features, or layers and tokens, name what an embedding is of."""
    if features is not None and (layers is not None or tokens is not None):
        raise InputError(
            f"features is {features!r} besides layers or tokens; expected one or the other"
        )
    if tokens not in (None, *TOKENS):
        raise InputError(f"tokens={tokens}: expected {', '.join(TOKENS)}")
    if layers is not None and layers < 1:
        raise InputError(f"layers={layers}: expected 1 or more")


def is_frame_model(path: AnyPath) -> bool:
    """Whether a directory holds a frame model (rather than an encoder)."""
    return (path / FRAME_MODEL_FILE).is_file()
