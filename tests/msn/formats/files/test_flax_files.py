import msgpack
import numpy as np
import pytest

from data.common.errors import InputError
from msn.encoders import load_encoder
from msn.formats.files.flax_files import read_flax, unpack_array
from tests.support.places import GOLDEN

RELEASED = GOLDEN / "endossl-released"
ATTENTION = "MultiHeadDotProductAttention_0"


@pytest.fixture
def content():
    """The released checkpoint as a tree of arrays, to be changed."""
    return msgpack.unpackb((RELEASED / "checkpoint_0").read_bytes(), ext_hook=unpack_array)


def write(path, content):
    def pack(value):
        if not isinstance(value, np.ndarray):
            raise TypeError
        return msgpack.ExtType(1, msgpack.packb((value.shape, value.dtype.name, value.tobytes())))

    path.write_bytes(msgpack.packb(content, default=pack))
    return path


def changed(tree, path, value):
    *parents, last = path.split("/")
    for name in parents:
        tree = tree.setdefault(name, {})
    tree[last] = value


def test_a_release_opens_at_its_trainable_weights():
    encoder = load_encoder(RELEASED)
    assert encoder.trainable_variables
    assert encoder.get_config() == load_encoder(RELEASED / "checkpoint_0").get_config()


def test_sizes_and_facts(content):
    tree = content["teacher_weights"]
    config = load_encoder(RELEASED / "checkpoint_0").get_config()
    width, heads, _ = tree["encoderblock_0"][ATTENTION]["query"]["kernel"].shape
    patch_size = tree["ToTokenSequence_0"]["embedding"]["kernel"].shape[0]
    assert (config["width"], config["num_heads"]) == (width, heads)
    assert config["patch_size"] == patch_size
    grid = tree["ToTokenSequence_0"]["posembed_input"].shape[1]
    assert config["image_size"] == grid * patch_size
    assert (config["gelu"], config["layer_norm_epsilon"]) == ("tanh", 1e-6)
    assert config["cls_position"] is False


def test_either_order_of_the_two_mlp_layers(tmp_path, content):
    """Flax numbers layers as they are made, which need not be the order of their use."""
    reference, _ = read_flax(RELEASED / "checkpoint_0")
    for name, block in content["teacher_weights"].items():
        if name.startswith("encoderblock"):
            mlp = block["MlpBlock_0"]
            mlp["Dense_0"], mlp["Dense_1"] = mlp["Dense_1"], mlp["Dense_0"]
    state, _ = read_flax(write(tmp_path / "file", content))
    assert all(np.array_equal(state[name], value) for name, value in reference.items())


def test_bfloat16(tmp_path, content):
    content["teacher_weights"]["encoder_norm"]["bias"] = msgpack.ExtType(
        1, msgpack.packb(([2], "bfloat16", np.array([0x3FC0, 0xC000], "<u2").tobytes()))
    )
    path = write(tmp_path / "file", content)
    tree = msgpack.unpackb(path.read_bytes(), ext_hook=unpack_array)["teacher_weights"]
    np.testing.assert_array_equal(tree["encoder_norm"]["bias"], [1.5, -2.0])


def test_what_does_not_fit_is_named(tmp_path, content):
    tree = content["teacher_weights"]
    kernel = f"encoderblock_0/{ATTENTION}/key/kernel"
    right = tree["encoderblock_0"][ATTENTION]["key"]["kernel"]
    for path, value in (
        (kernel, right.transpose(1, 2, 0)),
        (kernel, right.reshape(len(right), -1)),
        (kernel, "text"),
        ("encoderblock_1/LayerNorm_0/scale", np.ones(len(right) + 1, np.float32)),
        ("encoderblock_1/LayerScale_0/gamma", np.ones(len(right), np.float32)),
        ("ToTokenSequence_0/posembed_input", np.zeros((1, 3, 12, len(right)), np.float32)),
    ):
        fresh = msgpack.unpackb((RELEASED / "checkpoint_0").read_bytes(), ext_hook=unpack_array)
        changed(fresh["teacher_weights"], path, value)
        with pytest.raises(InputError, match=f"changed: weight '{path}'"):
            load_encoder(write(tmp_path / "changed", fresh))


def test_other_msgpack_files_are_described(tmp_path):
    with pytest.raises(InputError, match="found: params, step"):
        load_encoder(write(tmp_path / "file", {"params": {}, "step": 1}))
    with pytest.raises(InputError, match="teacher_weights"):
        load_encoder(write(tmp_path / "file", {"teacher_weights": 1}))
