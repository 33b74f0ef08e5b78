"""The pickle inside PyTorch's checkpoints, read and written without running foreign code.

A pickle is a program for a small stack machine that may call whatever it names.
`CheckpointUnpickler` decides what a name means. It imports nothing, so a pickle reaches only what
`ALLOWED` holds:

- `OrderedDict`, and `SimpleNamespace` in place of `argparse.Namespace`: containers.
- `rebuild_tensor` and `rebuild_parameter`, which check and keep their arguments.
- `unused`, in place of what makes NumPy's scalars (losses, epochs): no weight depends on them.
- names of storages, which are strings and cannot be called.

Every opcode that calls (REDUCE, NEWOBJ, OBJ, INST) gets its callable from there. BUILD sets
attributes, therefore all that is shared is of a kind without any to set: strings, tuples, and types
written in C. It can change only containers that the same pickle made; a `Tensor` stays as checked.

Sources: Python's `pickletools` (opcodes); torch/_utils.py (arguments of `_rebuild_tensor_v2`).
"""

import io
import math
import pickle
import pickletools
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from data.common.errors import InputError

REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"
REBUILD_PARAMETER = "torch._utils _rebuild_parameter"
ORDERED_DICT = "collections OrderedDict"
BFLOAT16 = "torch BFloat16Storage"
STORAGES = {
    "torch DoubleStorage": "f8",
    "torch FloatStorage": "f4",
    "torch HalfStorage": "f2",
    BFLOAT16: "u2",  # NumPy has none
    "torch LongStorage": "i8",
    "torch IntStorage": "i4",
    "torch ShortStorage": "i2",
    "torch CharStorage": "i1",
    "torch ByteStorage": "u1",
    "torch BoolStorage": "?",
}

# Of NumPy 1 and 2; _codecs writes bytes in pickles of protocol 2.
NUMPY_SCALARS = ("numpy.core.multiarray scalar", "numpy._core.multiarray scalar")
NUMPY_SCALARS += ("numpy dtype", "_codecs encode")

# What reading a damaged pickle raises.
PICKLE_ERRORS = (
    pickle.UnpicklingError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    OverflowError,
    MemoryError,
)


class Tensor(NamedTuple):
    """Where the numbers of a tensor are; offset and strides in elements, none negative."""

    kind: str
    key: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Function(NamedTuple):
    """A function that a pickle may call; a tuple, because BUILD can set attributes of functions."""

    function: Callable

    def __call__(self, *arguments):
        return self.function(*arguments)


def rebuild_tensor(storage, offset, shape, strides, *_) -> Tensor:
    """In place of PyTorch's function; copies shape and strides, which could be lists."""
    kind, key = storage
    shape, strides = tuple(shape), tuple(strides)
    if kind not in STORAGES or type(key) is not str:
        raise ValueError("a tensor without a storage")
    if any(type(n) is not int or n < 0 for n in (offset, *shape, *strides)):
        raise ValueError(f"a tensor of shape {shape}, strides {strides}, offset {offset}")
    return Tensor(kind, key, offset, shape, strides)


def rebuild_parameter(tensor, *_):
    """In place of PyTorch's function: a parameter is read as its tensor."""
    return tensor


class Unused:
    """In place of a value that is not needed; it has no attributes, and BUILD changes nothing."""

    __slots__ = ()

    def __setstate__(self, _):
        pass


def unused(*_) -> Unused:
    """In place of functions whose values are not needed."""
    return Unused()


ALLOWED = {
    ORDERED_DICT: OrderedDict,
    "argparse Namespace": SimpleNamespace,
    REBUILD_TENSOR: Function(rebuild_tensor),
    REBUILD_PARAMETER: Function(rebuild_parameter),
    **dict.fromkeys(NUMPY_SCALARS, Function(unused)),
    **{kind: kind for kind in STORAGES},
}


class CheckpointUnpickler(pickle.Unpickler):
    """Reads tensors as `Tensor`s; what is safe about it is said at the top of this file."""

    def find_class(self, module, name):
        """What a name in the pickle means here; raises `InputError` unless it is in ALLOWED."""
        if f"{module} {name}" not in ALLOWED:
            found = f"{module}.{name}"[:100]
            raise InputError(
                f"refused: its pickle names {found!r}; expected only tensors, OrderedDict, "
                "Namespace and plain values; nothing of it was run"
            )
        return ALLOWED[f"{module} {name}"]

    def persistent_load(self, pid):
        """A storage is the pair of its kind and its key."""
        _, kind, key, _, _ = pid
        return kind, key


def unpickle(program: bytes):
    """The object that the pickle of a checkpoint describes.

    Raises:
      InputError: it names what is not in ALLOWED.
      One of PICKLE_ERRORS: damaged.
    """
    for opcode, argument, _ in pickletools.genops(program):
        # Python reserves memory for as many objects as the largest number says.
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > len(program):
            raise ValueError(f"object number {argument} in a pickle of {len(program)} bytes")
    return CheckpointUnpickler(io.BytesIO(program)).load()


@dataclass(frozen=True)
class Global:
    """A name that is written to a pickle, "module name"."""

    name: str


def opcodes(value, arrays: list[np.ndarray]) -> Iterator[bytes]:
    """Opcodes of pickle protocol 2 that push a value; arrays are put at the end of `arrays`."""
    match value:
        case bool():
            yield b"\x88" if value else b"\x89"
        case int():
            yield b"J" + struct.pack("<i", value)
        case str():
            yield b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case Global():
            yield b"c" + value.name.replace(" ", "\n").encode() + b"\n"
        case tuple():
            yield b"("
            for item in value:
                yield from opcodes(item, arrays)
            yield b"t"
        case dict():
            yield b"}("
            for key, item in value.items():
                yield from opcodes(key, arrays)
                yield from opcodes(item, arrays)
            yield b"u"
        case np.ndarray():
            key = str(len(arrays))
            arrays.append(value)
            storage = ("storage", Global("torch FloatStorage"), key, "cpu", value.size)
            strides = tuple(math.prod(value.shape[i + 1 :]) for i in range(value.ndim))
            yield from opcodes(Global(REBUILD_TENSOR), arrays)
            yield b"("
            yield from opcodes(storage, arrays)
            yield b"Q"
            for argument in (0, value.shape, strides, False):
                yield from opcodes(argument, arrays)
            yield from opcodes(Global(ORDERED_DICT), arrays)  # of backward hooks
            yield b")RtR"
        case _:
            raise TypeError(f"{type(value).__name__} is not written")
