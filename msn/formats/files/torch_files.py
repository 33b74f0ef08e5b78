"""PyTorch's checkpoint files, read and written without PyTorch and without running foreign code.

`torch.save` writes an uncompressed zip: `NAME/data.pkl`, a pickle that describes the content
(see `torch_pickle`), and one file `NAME/data/KEY` with the raw numbers of each storage.

Source: PyTorch, "Serialization semantics".
"""

import math
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from data.common.errors import InputError, one_line, some
from data.storage.paths import AnyPath
from msn.formats.files.torch_pickle import (
    BFLOAT16,
    PICKLE_ERRORS,
    STORAGES,
    Tensor,
    opcodes,
    unpickle,
)

ZIP_MAGIC = b"PK\x03\x04"
# What `torch.save` wrote before PyTorch 1.6: a pickled magic number first (torch/serialization.py).
LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."

BYTE_ORDERS = {b"little": "<", b"big": ">"}

# What `zipfile` raises for damaged files.
ZIP_ERRORS = (zipfile.BadZipFile, EOFError, RuntimeError, struct.error)


def read_state(path: AnyPath, key: str) -> tuple[dict[str, np.ndarray], dict]:
    """The tensors of one state dict in a checkpoint; other storages are not read.

    Args:
      path: a file of `torch.save`.
      key: of the state dict in the checkpoint, which is a dict.

    Returns:
      {name: array}, bfloat16 as float32; and those entries of the checkpoint that are plain values.

    Raises:
      InputError: damaged, or no such state dict; or the pickle names what is not in ALLOWED.
    """

    def choose(content):
        if not isinstance(content, dict) or not isinstance(content.get(key), dict):
            names = list(map(str, content)) if isinstance(content, dict) else []
            found = some(names, limit=8) or type(content).__name__
            raise InputError(f"a PyTorch file without a state dict {key!r}; found: {found}")
        plain = {k: v for k, v in content.items() if isinstance(v, bool | int | float | str)}
        return {str(n): v for n, v in content[key].items() if is_tensor(v)}, plain

    return read_chosen(path, choose)


def is_tensor(value) -> bool:
    """Whether a value in a checkpoint is a tensor."""
    return isinstance(value, Tensor)


def read_chosen(path: AnyPath, choose: Callable) -> tuple[dict[str, np.ndarray], object]:
    """The tensors that are chosen in a checkpoint; other storages are not read.

    Args:
      path: a file of `torch.save`.
      choose: of the checkpoint's content, where `is_tensor` tells tensors, makes ({name: tensor},
        whatever else is wanted).

    Returns:
      {name: array}, bfloat16 as float32; and whatever else was wanted.

    Raises:
      InputError: damaged; or the pickle names what is not in ALLOWED; or what `choose` raises.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            root, order = layout(archive)
            chosen, more = choose(unpickle(archive.read(f"{root}/data.pkl")))
            state = {n: read_tensor(archive, root, order, t) for n, t in chosen.items()}
    except InputError:
        raise
    except (*ZIP_ERRORS, *PICKLE_ERRORS) as error:
        raise InputError(
            f"damaged or truncated PyTorch file ({one_line(error)}); expected one that "
            "torch.save wrote"
        ) from error
    return state, more


def layout(archive: zipfile.ZipFile) -> tuple[str, str]:
    """The folder in the zip and the byte order, "<" or ">"; raises `InputError`."""
    roots = [name.removesuffix("/data.pkl") for name in archive.namelist() if "/data.pkl" in name]
    if len(roots) != 1:
        raise InputError(f"a zip, but not a PyTorch file; found: {archive.namelist()[:8]}")
    if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
        raise InputError("a zip with compressed files, which PyTorch does not write")
    name, order = f"{roots[0]}/byteorder", b"little"  # which older files do not say
    if name in archive.namelist():
        order = archive.read(name)
    if order not in BYTE_ORDERS:
        raise InputError(f"byte order {order!r}; expected little or big")
    return roots[0], BYTE_ORDERS[order]


def read_tensor(archive: zipfile.ZipFile, root: str, order: str, tensor: Tensor) -> np.ndarray:
    """The numbers of a tensor; raises `InputError` where they are not all in its storage."""
    dtype = np.dtype(order + STORAGES[tensor.kind])
    raw = archive.read(f"{root}/data/{tensor.key}")
    stored = len(raw) // dtype.itemsize
    size = math.prod(tensor.shape)
    steps = zip(tensor.shape, tensor.strides, strict=True)
    last = tensor.offset + sum((length - 1) * stride for length, stride in steps)
    if size > stored or last >= stored:
        raise InputError(
            f"a tensor of shape {tensor.shape} does not fit the {len(raw)} bytes of its storage "
            f"{tensor.key!r}"
        )
    values = np.frombuffer(raw, dtype, count=stored)[tensor.offset :]
    strides = [stride * dtype.itemsize for stride in tensor.strides]
    array = np.lib.stride_tricks.as_strided(values, tensor.shape, strides)
    if tensor.kind == BFLOAT16:  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return np.array(array)


def write_torch_file(path: Path, content: dict) -> None:
    """Writes what `torch.load(path, weights_only=True)` reads.

    Args:
      path: of the file.
      content: str -> float32 array, int, or a dict of these.
    """
    arrays: list[np.ndarray] = []
    program = b"\x80\x02" + b"".join(opcodes(content, arrays)) + b"."
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/byteorder", "little")
        for key, array in enumerate(arrays):
            archive.writestr(f"archive/data/{key}", array.astype("<f4").tobytes())
        archive.writestr("archive/version", "3\n")
