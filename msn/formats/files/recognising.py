"""What kind of encoder is at a path, told by its content; here nothing needs TensorFlow."""

from data.common.errors import InputError, some
from data.storage.folders import read_part
from data.storage.paths import AnyPath
from msn.formats.files import torch_files, weight_files
from msn.formats.files.flax_files import FLAX_FILE, is_flax
from msn.formats.files.weight_files import TABLES

ENCODER_FILE = "encoder.json"  # of an encoder directory
SAVED_MODEL_FILE = "saved_model.pb"
HUGGING_FACE_FILE = "config.json"  # of a directory of transformers or timm
ONNX_SUFFIX = ".onnx"
ONNX_FILE = "model.onnx"  # in a directory
KINDS = ("encoder", "saved_model", "onnx", "hugging_face", "torch", "safetensors", "flax")


def recognise(path: AnyPath) -> tuple[str, AnyPath]:
    """Tells apart what an encoder is kept in.

    Returns:
      One of KINDS; and the file, or for "encoder", "saved_model" and "hugging_face" the directory.

    Raises:
      InputError: no encoder there; the message does not name the path.
    """
    return _of_directory(path) if path.is_dir() else _of_file(path)


def check_encoder(path: AnyPath) -> None:
    """Raises `InputError` where no encoder is at a path, nor a table of features.

    Whether it is damaged is found when it is opened.
    """
    try:
        if path.suffix not in TABLES:
            recognise(path)
        elif not path.is_file():
            raise InputError("no such file")
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def is_frozen(path: AnyPath) -> bool:
    """Whether a path is that of a table, SavedModel or ONNX file, which have no weights to train.

    By its names alone: whether it can be opened is found out later.
    """
    if path.suffix in (*TABLES, ONNX_SUFFIX):
        return True
    if (path / ENCODER_FILE).is_file():
        return False
    return any((path / name).is_file() for name in (SAVED_MODEL_FILE, ONNX_FILE))


def _of_directory(path):
    if (path / ENCODER_FILE).is_file():
        return "encoder", path
    if (path / SAVED_MODEL_FILE).is_file():
        return "saved_model", path
    if (path / ONNX_FILE).is_file():
        return "onnx", path / ONNX_FILE
    for name, inner in (("encoder", "encoder"), ("model", "model/encoder")):
        if (path / inner / ENCODER_FILE).is_file():  # the directory of a run, or an experiment
            raise InputError(f"a directory with {name}/ in it; expected {path / name}")
    if (path / HUGGING_FACE_FILE).is_file():
        return "hugging_face", path
    # A release of EndoSSL, whose SavedModel is the same, frozen; or of EndoViT.
    for name in (FLAX_FILE, weight_files.SAFETENSORS, weight_files.PYTORCH):
        if (path / name).is_file():
            return _of_file(path / name)
    names = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
    found = some(names, limit=8) or "nothing"
    raise InputError(
        f"found: {found}; expected an encoder directory ({ENCODER_FILE}), a SavedModel "
        f"({SAVED_MODEL_FILE}), a Hugging Face directory ({HUGGING_FACE_FILE}) or {FLAX_FILE}"
    )


def _of_file(path):
    if not path.is_file():
        raise InputError("no such file or directory; pre-training writes encoder/")
    if path.suffix in TABLES:
        raise InputError(
            "a table of features, not an encoder: it has none of other frames; expected as "
            "--config.encoder of down_stream/main.py"
        )
    if path.suffix == ONNX_SUFFIX:
        return "onnx", path
    start = read_part(path, 0, 16)
    if start.startswith(torch_files.ZIP_MAGIC):
        return "torch", path
    if start.startswith(torch_files.LEGACY_MAGIC):
        raise InputError(
            "a PyTorch file of the format before 1.6; expected the same content written by a newer "
            "torch.save"
        )
    if start[8:9] == b"{":  # after the length of the header
        return "safetensors", path
    if is_flax(start):
        return "flax", path
    raise InputError(
        f"{path.stat().st_size} bytes of an unknown format (begins with {start!r}); expected a "
        "PyTorch, Flax or safetensors file, or an encoder directory"
    )
