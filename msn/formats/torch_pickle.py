"""The pickle inside PyTorch's checkpoints, followed and written without running anything.

A pickle is a program for a small stack machine that may call whatever it names. This machine knows
plain values, containers, tensors and storages; it refuses the rest, and it looks up no name.

Sources: Python's `pickletools` (opcodes); torch/_utils.py (arguments of `_rebuild_tensor_v2`).
"""

import math
import pickletools
import struct
from collections.abc import Iterator
from dataclasses import dataclass

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
KNOWN = {REBUILD_TENSOR, REBUILD_PARAMETER, ORDERED_DICT, *STORAGES}

# What following damaged opcodes raises.
PICKLE_ERRORS = (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError)

# Opcodes that push their argument, and opcodes that push always the same.
LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


@dataclass(frozen=True)
class Global:
    """A name in a pickle, "module name"; one of KNOWN. Never looked up."""

    name: str


@dataclass(frozen=True)
class Tensor:
    """Where the numbers of a tensor are; offset and strides in elements."""

    kind: str
    key: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Interpreter:
    """Follows the opcodes of a checkpoint's pickle; the state of Python's own: stack, marks, memo.

    Dicts, lists, tuples and plain values become what they are; tensors become `Tensor`s.
    """

    def __init__(self):
        self.stack, self.marks, self.memo = [], [], {}

    def run(self, program: bytes):
        """The object that a pickle describes.

        Raises:
          InputError: an opcode or a name that is not known here.
          One of PICKLE_ERRORS: damaged.
        """
        for opcode, argument, _ in pickletools.genops(program):
            name = opcode.name
            if name == "STOP":
                break
            if name in LITERALS:
                self.stack.append(argument)
            elif name in CONSTANTS:
                self.stack.append(CONSTANTS[name])
            elif name in OPERATIONS:
                OPERATIONS[name](self, argument)
            else:
                raise InputError(
                    f"refused: its pickle has the opcode {name}; nothing of it was run"
                )
        return self.stack.pop()

    def top(self, kind):
        """The container on top of the stack, which must be of this kind."""
        if type(self.stack[-1]) is not kind:
            raise ValueError(f"no {kind.__name__} where there must be one")
        return self.stack[-1]

    def pop_to_mark(self):
        """Takes off what lies above the last mark."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pop(self, count):
        """Takes off the `count` uppermost, in the order in which they came."""
        items = self.stack[-count:]
        if len(items) < count:
            raise IndexError("stack is empty")
        del self.stack[-count:]
        return items

    def push_tuple(self, items):
        self.stack.append(tuple(items))

    def append(self, items):
        self.top(list).extend(items)

    def set_items(self, items):
        self.top(dict).update(zip(items[::2], items[1::2], strict=True))

    def push_global(self, name):
        if name not in KNOWN:
            raise InputError(
                f"refused: its pickle names {name.replace(' ', '.')}, and only tensors, "
                "OrderedDict and plain values are read; nothing of it was run"
            )
        self.stack.append(Global(name))

    def push_storage(self):
        """A storage is the pair of its kind and its key."""
        _, kind, key, _, _ = self.stack.pop()
        if kind.name not in STORAGES:
            raise ValueError(f"{kind.name} is no storage")
        self.stack.append((kind.name, key))

    def call(self):
        """What REDUCE would call, for the three functions that are known."""
        function, arguments = self.pop(2)
        if function.name == ORDERED_DICT:
            self.stack.append(dict(*arguments))
        elif function.name == REBUILD_PARAMETER:
            self.stack.append(arguments[0])
        elif function.name == REBUILD_TENSOR:
            (kind, key), offset, shape, strides, *_ = arguments
            if any(type(n) is not int or n < 0 for n in (offset, *shape, *strides)):
                raise ValueError(f"a tensor of shape {shape}, strides {strides}, offset {offset}")
            self.stack.append(Tensor(kind, key, offset, shape, strides))
        else:
            raise ValueError(f"{function.name} is no function")

    def ignore_state(self):
        """BUILD sets attributes: `_metadata` of a state dict, which no weight depends on."""
        self.stack.pop()
        self.top(dict)


OPERATIONS = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "TUPLE": lambda machine, _: machine.push_tuple(machine.pop_to_mark()),
    "TUPLE1": lambda machine, _: machine.push_tuple(machine.pop(1)),
    "TUPLE2": lambda machine, _: machine.push_tuple(machine.pop(2)),
    "TUPLE3": lambda machine, _: machine.push_tuple(machine.pop(3)),
    "APPEND": lambda machine, _: machine.append(machine.pop(1)),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set_items(machine.pop(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "BINPUT": lambda machine, key: machine.memo.update({key: machine.stack[-1]}),
    "LONG_BINPUT": lambda machine, key: machine.memo.update({key: machine.stack[-1]}),
    "MEMOIZE": lambda machine, _: machine.memo.update({len(machine.memo): machine.stack[-1]}),
    "BINGET": lambda machine, key: machine.stack.append(machine.memo[key]),
    "LONG_BINGET": lambda machine, key: machine.stack.append(machine.memo[key]),
    "GLOBAL": lambda machine, name: machine.push_global(name),
    "STACK_GLOBAL": lambda machine, _: machine.push_global(" ".join(machine.pop(2))),
    "BINPERSID": lambda machine, _: machine.push_storage(),
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.ignore_state(),
}


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
