import argparse
import collections
import io
import os
import pickle
import sys
import types
import zipfile

import numpy as np
import pytest

from data.common.errors import InputError
from msn.encoders import load_encoder
from msn.formats.files.torch_files import LEGACY_MAGIC, read_state, write_torch_file
from msn.formats.files.torch_pickle import ALLOWED, rebuild_parameter, rebuild_tensor

VALUES = np.arange(12, dtype=np.float32).reshape(3, 4)


class Storage:
    def __init__(self, kind, raw):
        self.kind, self.raw = kind, raw


class TorchPickler(pickle.Pickler):
    """Describes a `Storage` as torch.save does, and keeps it."""

    def __init__(self, file, protocol):
        super().__init__(file, protocol)
        self.storages = []

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        self.storages.append(value)
        kind = getattr(sys.modules["torch"], value.kind)
        return ("storage", kind, str(len(self.storages) - 1), "cpu", 0)


@pytest.fixture
def torch(monkeypatch):
    """A stand-in with the names that checkpoints mention; the tests need no PyTorch."""
    module, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for kind in ("FloatStorage", "HalfStorage", "BFloat16Storage", "LongStorage"):
        setattr(module, kind, type(kind, (), {"__module__": "torch"}))
    for name in ("_rebuild_tensor_v2", "_rebuild_parameter"):

        def function():
            raise AssertionError("called")

        function.__module__, function.__qualname__ = "torch._utils", name
        setattr(utils, name, function)
    monkeypatch.setitem(sys.modules, "torch", module)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return utils


class Reduced:
    """Pickles as a call."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


def tensor(torch, raw, shape, strides, kind="FloatStorage", offset=0):
    arguments = (Storage(kind, raw), offset, shape, strides, False, collections.OrderedDict())
    return Reduced(torch._rebuild_tensor_v2, arguments)


def save(path, content, protocol=2, compression=zipfile.ZIP_STORED, byteorder="little"):
    file = io.BytesIO()
    pickler = TorchPickler(file, protocol)
    pickler.dump(content)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("name/data.pkl", file.getvalue())
        archive.writestr("name/byteorder", byteorder)
        for number, storage in enumerate(pickler.storages):
            archive.writestr(f"name/data/{number}", storage.raw)
    return path


@pytest.mark.parametrize("protocol", [2, 4])
def test_tensors_come_as_they_were(tmp_path, torch, protocol):
    state = collections.OrderedDict(
        plain=tensor(torch, VALUES.tobytes(), (3, 4), (4, 1)),
        transposed=tensor(torch, VALUES.tobytes(), (4, 3), (1, 4)),
        part=tensor(torch, VALUES.tobytes(), (2,), (4,), offset=5),
        half=tensor(torch, VALUES.astype(np.float16).tobytes(), (3, 4), (4, 1), "HalfStorage"),
        scalar=tensor(torch, np.int64(7).tobytes(), (), (), "LongStorage"),
    )
    bfloat16 = (VALUES.view(np.uint32) >> 16).astype(np.uint16)  # exact for small integers
    state["bfloat16"] = tensor(torch, bfloat16.tobytes(), (3, 4), (4, 1), "BFloat16Storage")
    state["parameter"] = Reduced(torch._rebuild_parameter, (state["plain"], True, {}))
    state._metadata = {"": {"version": 1}}  # as modules leave it: an opcode that sets attributes
    content = {"net": state, "epoch": 3, "lr": 0.5, "more": [1, (2, None, True)], "name": "a"}
    found, plain = read_state(save(tmp_path / "file", content, protocol), "net")
    assert plain == {"epoch": 3, "lr": 0.5, "name": "a"}
    assert list(found) == list(state)
    for name in ("plain", "half", "bfloat16", "parameter"):
        np.testing.assert_array_equal(found[name], VALUES)
    np.testing.assert_array_equal(found["transposed"], VALUES.T)
    np.testing.assert_array_equal(found["part"], [5, 9])
    assert found["scalar"] == 7


def test_the_other_byte_order(tmp_path, torch):
    content = {"net": {"a": tensor(torch, VALUES.astype(">f4").tobytes(), (3, 4), (4, 1))}}
    found, _ = read_state(save(tmp_path / "file", content, byteorder="big"), "net")
    np.testing.assert_array_equal(found["a"], VALUES)


def test_what_is_written_is_read(tmp_path):
    state = {
        "a": VALUES.T,
        "b": np.array(3, np.float32),
        "c": np.zeros((2, 1, 70000), np.float32),
    }
    write_torch_file(tmp_path / "file", {"net": state, "num_heads": 70000, "yes": True})
    found, plain = read_state(tmp_path / "file", "net")
    assert plain == {"num_heads": 70000, "yes": True}
    for name, value in state.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_code_in_a_file_does_not_run(tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    harmful = Reduced(os.system, ("touch it_ran",))
    path = save(tmp_path / "harmful.pth.tar", {"target_encoder": {}, "loss": harmful}, protocol)
    with zipfile.ZipFile(path) as archive:
        pickle.loads(archive.read("name/data.pkl"))  # the file is what it says it is
    assert (tmp_path / "it_ran").exists()
    (tmp_path / "it_ran").unlink()
    with pytest.raises(InputError, match=r"harmful.*refused") as refusal:
        load_encoder(path)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "it_ran").exists()


@pytest.mark.parametrize(
    "program",
    [
        b"cbuiltins\neval\n(X\x01\x00\x00\x001tR.",
        b"(ios\nsystem\nX\x01\x00\x00\x001.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"ctorch._utils\n_rebuild_tensor\n.",
        b"cmsn.torch_files\nread_state\n.",
    ],
)
def test_only_known_names(tmp_path, program):
    with zipfile.ZipFile(tmp_path / "file", "w") as archive:
        archive.writestr("name/data.pkl", program)
    with pytest.raises(InputError, match="refused"):
        read_state(tmp_path / "file", "net")


STORAGE = (
    b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x0ctQ"
)
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + b"K\x00K\x03\x85K\x01\x85\x89NtR"


def write_pickle(path, program):
    """A checkpoint of this pickle, with VALUES as storage "0"."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("name/data.pkl", program)
        archive.writestr("name/data/0", VALUES.tobytes())
    return path


def one_error(path, match="expected"):
    with pytest.raises(InputError, match=match) as refusal:
        read_state(path, "net")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ((eval, ("open('it_ran', 'w')",)), "eval"),
        ((getattr, (os, "system")), "getattr"),
        ((collections.Counter, ("ab",)), "Counter"),
        ((Storage, ("a", b"")), "Storage"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_other_functions_and_classes_are_refused(tmp_path, monkeypatch, call, name, protocol):
    monkeypatch.chdir(tmp_path)
    if call[0] is getattr:  # modules cannot be pickled
        call = (getattr, ("text", "upper"))
    path = save(tmp_path / "file", {"net": {}, "more": Reduced(*call)}, protocol)
    one_error(path, f"refused.*{name}.*expected")
    assert not (tmp_path / "it_ran").exists()


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.",
        b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93.",
        b"\x80\x04\x8c\x0bline\nbreaks\x8c\x06system\x93.",
        b"cbuiltins\neval\n.",
        b"c__builtin__\neval\n.",  # of Python 2
    ],
)
def test_forbidden_names_are_one_line(tmp_path, program):
    one_error(write_pickle(tmp_path / "file", program), "refused.*expected")


def test_attributes_of_what_is_shared_cannot_be_set(tmp_path):
    state = b"N}X\x01\x00\x00\x00aK\x01s\x86b."  # (None, {"a": 1}), BUILD
    plain = b"}X\x01\x00\x00\x00aK\x01sb."  # {"a": 1}, BUILD
    shared = [
        b"ccollections\nOrderedDict\n",
        b"cargparse\nNamespace\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ctorch._utils\n_rebuild_parameter\n",
        b"ctorch\nFloatStorage\n",
        TENSOR,
    ]
    for start in shared:
        for end in (state, plain):
            one_error(write_pickle(tmp_path / "file", b"\x80\x02" + start + end), "damaged")
    for value in (*ALLOWED.values(), rebuild_tensor, rebuild_parameter, argparse.Namespace):
        assert not hasattr(value, "a")


def test_a_checked_tensor_cannot_be_changed(tmp_path):
    read = b"\x80\x02}X\x03\x00\x00\x00net}X\x01\x00\x00\x00a" + TENSOR
    found, _ = read_state(write_pickle(tmp_path / "file", read + b"ss."), "net")
    np.testing.assert_array_equal(found["a"], [0, 1, 2])
    state = b"}X\x07\x00\x00\x00stridesJ\x00\x00\x00\xf0\x85sb"  # {"strides": (-2**28,)}, BUILD
    one_error(write_pickle(tmp_path / "file", read + state + b"ss."), "damaged")
    # A list as strides, changed after the call.
    lists = TENSOR.replace(b"K\x01\x85\x89", b"]q\x00K\x01a\x89")
    path = write_pickle(
        tmp_path / "file", read.replace(TENSOR, lists) + b"ssh\x00J\x00\x00\x00\xf0a0."
    )
    found, _ = read_state(path, "net")
    np.testing.assert_array_equal(found["a"], [0, 1, 2])


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((2**62, 2**62), (1, 1), 0),
        ((0, 2**63), (1, 1), 0),
        ((1,), (2**63,), 0),
        ((10**5000,), (1,), 0),
        ((-1,), (1,), 0),
        ((3, -4), (4, 1), 0),
        ((3,), (-1,), 11),
        ((3,), (1,), -1),
        ((1,), (1,), 12),
        ((), (), 2**63),
        ((1,) * 100, (1,) * 100, 0),
    ],
)
def test_impossible_sizes_are_one_line(tmp_path, torch, shape, strides, offset):
    content = {"net": {"a": tensor(torch, VALUES.tobytes(), shape, strides, offset=offset)}}
    one_error(save(tmp_path / "file", content), "tensor|damaged")


def test_truncated_pickles_are_damaged(tmp_path):
    program = b"\x80\x02}X\x03\x00\x00\x00net}X\x01\x00\x00\x00a" + TENSOR + b"ss."
    for length in range(len(program)):
        one_error(write_pickle(tmp_path / "file", program[:length]), "damaged.*expected")


@pytest.mark.parametrize(
    "program",
    [
        b"]" * 100_000 + b"a" * 99_999 + b".",
        b")" + b"\x85" * 100_000 + b".",
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + b"K\x00)" + b"\x85" * 100_000 + b")tR.",
        b"]r\xff\xff\xff\xff.",  # an object's number for which Python would reserve 64 GB
        b"\x80\x04\x96\xff\xff\xff\xff\xff\xff\xff\x0f.",
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x0f.",
    ],
    ids=["lists", "tuples", "shape", "memo", "bytearray", "text"],
)
def test_deep_and_huge_pickles_are_one_line(tmp_path, program):
    one_error(write_pickle(tmp_path / "file", program), "damaged|without a state dict")


@pytest.mark.parametrize("protocol", [2, 4])
def test_settings_of_argparse_and_scalars_of_numpy_open(tmp_path, torch, protocol):
    content = {
        "loss": [np.float64(0.5), np.float32(2), np.int64(7), np.dtype("f4")],
        "net": {"a": tensor(torch, VALUES.tobytes(), (3, 4), (4, 1))},
        "args": argparse.Namespace(lr=0.5, names=["a"]),
        "epoch": 3,
    }
    found, plain = read_state(save(tmp_path / "file", content, protocol), "net")
    np.testing.assert_array_equal(found["a"], VALUES)
    assert plain == {"epoch": 3}


def test_tensors_share_a_storage(tmp_path):
    program = b"\x80\x02}X\x03\x00\x00\x00net}X\x01\x00\x00\x00a" + TENSOR + b"s"
    program += b"X\x01\x00\x00\x00b" + TENSOR.replace(b"K\x00K\x03", b"K\x09K\x03") + b"ss."
    found, _ = read_state(write_pickle(tmp_path / "file", program), "net")
    np.testing.assert_array_equal(found["a"], [0, 1, 2])
    np.testing.assert_array_equal(found["b"], [9, 10, 11])


def test_tensors_outside_their_storage_are_refused(tmp_path, torch):
    for shape, strides, offset in (
        ((4, 4), (4, 1), 0),
        ((3, 4), (5, 1), 0),
        ((3, 4), (4, 1), 1),
        ((100, 100), (0, 0), 0),
        ((3, 4), (-4, 1), 8),
        ((3, 4), (4,), 0),
        ((3.0, 4), (4, 1), 0),
    ):
        content = {"net": {"a": tensor(torch, VALUES.tobytes(), shape, strides, offset=offset)}}
        with pytest.raises(InputError):
            read_state(save(tmp_path / "file", content), "net")


def test_what_is_not_there_is_said(tmp_path, torch):
    path = save(tmp_path / "file", {"model": {}, "epoch": 1})
    with pytest.raises(InputError, match="'net'; found: model, epoch"):
        read_state(path, "net")
    with pytest.raises(InputError, match="compressed"):
        read_state(save(path, {"net": {}}, compression=zipfile.ZIP_DEFLATED), "net")
    with pytest.raises(InputError, match="byte order"):
        read_state(save(path, {"net": {}}, byteorder="middle"), "net")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/epub")
    with pytest.raises(InputError, match="mimetype"):
        read_state(path, "net")


def test_the_format_before_pytorch_1_6_is_named(tmp_path):
    (tmp_path / "old.pth.tar").write_bytes(LEGACY_MAGIC + b"more")
    with pytest.raises(InputError, match=r"old\.pth\.tar.*before 1\.6"):
        load_encoder(tmp_path / "old.pth.tar")
