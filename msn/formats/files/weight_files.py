"""Files of weights and of facts: safetensors, one or in shards, `pytorch_model.bin`, and JSON."""

import json
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from data.common.errors import InputError, one_line
from data.storage.folders import local_copy
from data.storage.paths import AnyPath
from msn.formats.files.torch_files import is_tensor, read_chosen

# Suffixes of what is no file of weights: features that were computed already. Here, since who opens
# encoders alone need not have what reads such tables.
TABLES = (".npz", ".parquet")
SAFETENSORS, PYTORCH = "model.safetensors", "pytorch_model.bin"
INDEX = ".index.json"  # after the name of a file that comes in shards


def read_weights(folder: AnyPath) -> dict[str, np.ndarray]:
    """The weights of a Hugging Face folder, in whichever files they are; raises `InputError`."""
    for name, read in ((SAFETENSORS, read_tensors), (PYTORCH, read_bin)):
        if (folder / name).is_file():
            return read(folder / name)
        if (folder / f"{name}{INDEX}").is_file():
            return read_shards(folder, f"{name}{INDEX}", read)
    raise InputError(f"no {SAFETENSORS} and no {PYTORCH}, nor their {INDEX}")


def read_shards(folder: AnyPath, index: str, read) -> dict[str, np.ndarray]:
    """The weights of all files that an index names; raises `InputError`."""
    table = read_json(folder / index).get("weight_map")
    if not isinstance(table, dict) or not all(isinstance(v, str) for v in table.values()):
        raise InputError(f"{index}: no 'weight_map' of names of files")
    if outside := [name for name in table.values() if Path(name).name != name]:
        raise InputError(f"{index}: names {outside[0]!r}; expected files of the same folder")
    weights = {}
    for name in sorted(set(table.values())):
        weights |= read(folder / name)
    if missing := sorted(table.keys() - weights.keys()):
        raise InputError(f"no weight {missing[0]!r} in the files that {index} names")
    return weights


def read_tensors(path: AnyPath) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file."""
    return read_safetensors(path)[0]


def read_bin(path: AnyPath) -> dict[str, np.ndarray]:
    """The arrays of a PyTorch file with nothing else in it, as `transformers` writes it."""

    def choose(content):
        if not isinstance(content, dict) or not all(map(is_tensor, content.values())):
            raise InputError(f"{path.name}: expected names and tensors alone")
        return content, None

    try:
        return read_chosen(path, choose)[0]
    except FileNotFoundError as error:
        raise InputError(f"no {path.name}") from error


def read_safetensors(path: AnyPath) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and metadata of a safetensors file; raises `InputError` where it is not whole."""
    try:
        with local_copy(path) as copy, safetensors.safe_open(copy, "numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError as error:
        raise InputError(f"no {path.name}") from error
    except (safetensors.SafetensorError, TypeError) as error:
        raise InputError(
            f"{path.name} is not a complete safetensors file ({one_line(error)})"
        ) from error


def write_safetensors(path: Path, weights: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Writes a safetensors file as PyTorch projects expect it."""
    whole = {name: np.ascontiguousarray(value) for name, value in weights.items()}
    # Not its save_file, whose files only their owner can read.
    path.write_bytes(safetensors.numpy.save(whole, metadata={"format": "pt"} | metadata))


def read_json(path: AnyPath) -> dict:
    """A JSON object from a file; raises `InputError`."""
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path.name} is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path.name} does not hold a JSON object")
    return content


def write_json(path: Path, content: dict) -> None:
    """Writes a JSON object as a file."""
    path.write_text(json.dumps(content, indent=2) + "\n")
