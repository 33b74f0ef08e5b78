import json

import numpy as np
import pytest
import safetensors.numpy

from data.common.errors import InputError
from msn import convert
from msn.encoders import load_encoder, save_encoder
from msn.formats import hugging_face, reference_names
from msn.formats.export import encoder_difference
from msn.formats.files.torch_files import read_state
from msn.networks.encoder import Encoder
from msn.training.initialisation import origin_of
from tests.support import forked_commands
from tests.support.places import GOLDEN

TINY = {"image_size": 16, "patch_size": 4, "width": 12, "depth": 2, "num_heads": 3}
RAW = {"mean": (0.0,) * 3, "std": (1 / 255,) * 3}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """An encoder directory whose weights are large enough for mistakes to show."""
    encoder = Encoder(**TINY, mlp_ratio=2.5)
    seeds = np.random.default_rng(0)
    for variable in encoder.weights:
        variable.assign(seeds.normal(size=variable.shape, scale=0.5))
    return save_encoder(encoder, tmp_path_factory.mktemp("source") / "encoder", {})


@pytest.mark.parametrize("one", convert.FORMATS)
@pytest.mark.parametrize("other", convert.FORMATS)
def test_from_every_format_to_every_format(source, tmp_path, one, other):
    convert.convert(source, tmp_path / "one", one)
    _, error = convert.convert(tmp_path / "one", tmp_path / "other", other)
    assert error <= 1e-6
    opened, original = load_encoder(tmp_path / "other"), load_encoder(source)
    assert opened.get_config() == original.get_config()
    assert encoder_difference(opened, original) <= 1e-6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "other"]


@pytest.mark.parametrize("output_format", ["encoder", "hf", "timm"])
def test_gelu_normalisation_and_a_cls_without_position_survive(tmp_path, output_format):
    encoder = Encoder(**TINY, **RAW, gelu="tanh", cls_position=False, layer_norm_epsilon=1e-5)
    save_encoder(encoder, tmp_path / "encoder", {})
    convert.convert(tmp_path / "encoder", tmp_path / "output", output_format)
    opened = load_encoder(tmp_path / "output")
    assert opened.backbone.gelu == "tanh"
    assert opened.backbone.layer_norm_epsilon == 1e-5
    np.testing.assert_allclose(opened.std, RAW["std"], rtol=1e-12)
    assert encoder_difference(opened, encoder) <= 1e-6


def test_a_convolutional_stem_survives_where_there_are_any(tmp_path):
    encoder = Encoder(**TINY, stem_channels=(5, 7))
    seeds = np.random.default_rng(0)
    for variable in encoder.weights:
        variable.assign(seeds.uniform(0.1, 0.5, variable.shape))
    save_encoder(encoder, tmp_path / "encoder", {})
    convert.convert(tmp_path / "encoder", tmp_path / "msn", "msn")
    state, _ = read_state(tmp_path / "msn", "target_encoder")
    assert state["patch_embed.stem.6.weight"].shape == (12, 7, 1, 1)
    _, error = convert.convert(tmp_path / "msn", tmp_path / "again", "encoder")
    assert error <= 1e-6
    opened = load_encoder(tmp_path / "again")
    assert opened.get_config() == encoder.get_config()
    pairs = zip(opened.weights, encoder.weights, strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)
    for output_format in ("hf", "timm"):
        with pytest.raises(InputError, match=f"stem.*format {output_format}.*encoder or msn"):
            convert.convert(tmp_path / "encoder", tmp_path / "output", output_format)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "encoder", "msn"]


def test_what_the_format_cannot_express_is_refused(tmp_path):
    released = GOLDEN / "endossl-released" / "checkpoint_0"
    with pytest.raises(InputError, match=r"not written.*'gelu': 'tanh'"):
        convert.convert(released, tmp_path / "output.pth.tar", "msn")
    assert not list(tmp_path.iterdir())


def test_a_writer_that_is_wrong_is_found_out(source, tmp_path, monkeypatch):
    """As if a transpose were forgotten: the shapes are right, the numbers are not."""
    right = reference_names.msn_state

    def wrong(backbone):
        state = right(backbone)
        return state | {"blocks.1.attn.proj.weight": state["blocks.1.attn.proj.weight"].T}

    monkeypatch.setattr(reference_names, "msn_state", wrong)
    monkeypatch.setattr(hugging_face, "msn_state", wrong)
    for output_format in ("msn", "hf", "timm"):
        with pytest.raises(InputError, match="not written"):
            convert.convert(source, tmp_path / "output", output_format)
        assert not list(tmp_path.iterdir())


def test_names_and_layouts_are_the_other_projects(source, tmp_path):
    """The same names and shapes as in the files that those projects wrote."""
    reference, _ = read_state(GOLDEN / "msn-reference.pth.tar", "target_encoder")
    names = {name.removeprefix("module.") for name in reference if ".fc." not in name}
    released = load_encoder(GOLDEN / "hf-vit-msn")
    save_encoder(released, tmp_path / "encoder", {})
    convert.convert(tmp_path / "encoder", tmp_path / "msn", "msn")
    written, plain = read_state(tmp_path / "msn", "target_encoder")
    assert plain == {"num_heads": released.backbone.num_heads}
    if released.backbone.depth == 1 + max(int(n.split(".")[1]) for n in names if "blocks" in n):
        assert set(written) == names
    convert.convert(tmp_path / "encoder", tmp_path / "timm", "timm")
    assert safetensors.numpy.load_file(tmp_path / "timm").keys() == written.keys()
    convert.convert(tmp_path / "encoder", tmp_path / "hf", "hf")
    theirs, ours = (
        safetensors.numpy.load_file(path / "model.safetensors")
        for path in (GOLDEN / "hf-vit-msn", tmp_path / "hf")
    )
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    config = json.loads((GOLDEN / "hf-vit-msn" / "config.json").read_text())
    written = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert {key: config.get(key) for key in written} == written


def test_what_cannot_be_converted(source, tmp_path):
    (tmp_path / "output").mkdir()
    with pytest.raises(InputError, match="exists already"):
        convert.convert(source, tmp_path / "output", "hf")
    for frozen in (GOLDEN / "endossl-released" / "saved_model_inference", source / "saved_model"):
        with pytest.raises(InputError, match=r"frozen.*checkpoint_0"):
            convert.convert(frozen, tmp_path / "new", "encoder")
    assert [path.name for path in tmp_path.iterdir()] == ["output"]


def call(*arguments):
    return forked_commands.call("-m", "msn.convert", *arguments)


def test_the_command(tmp_path):
    expected = dict(np.load(GOLDEN / "msn-reference-expected.npz"))
    heads = json.loads(str(expected["config"]))["heads"]
    source = f"--source={GOLDEN / 'msn-reference.pth.tar'}"
    result = call(source, f"--output={tmp_path / 'encoder'}", f"--num_heads={heads}")
    assert result.returncode == 0, result.stderr
    assert "relative error" in result.stdout
    assert load_encoder(tmp_path / "encoder").backbone.num_heads == heads

    result = call(source, f"--output={tmp_path / 'other'}", f"--num_heads={heads + 7}")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert str(heads + 7) in result.stderr
    result = call(source, f"--output={tmp_path / 'other'}", "--format=pb")
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert "saved_model|onnx|tflite" in result.stderr

    arguments = (f"--output={tmp_path / 'exported'}", "--format=saved_model")
    result = call(f"--source={tmp_path / 'encoder'}", *arguments)
    assert (result.returncode, "relative error" in result.stdout) == (0, True), result.stderr
    exported, encoder = load_encoder(tmp_path / "exported"), load_encoder(tmp_path / "encoder")
    assert encoder_difference(exported, encoder) <= 1e-5


def test_videos_that_an_encoder_has_seen_stay_known(tmp_path):
    encoder = Encoder(image_size=16, patch_size=8, width=12, depth=1, num_heads=3)
    save_encoder(encoder, tmp_path / "encoder", {"videos": ["video07"]})
    convert.convert(tmp_path / "encoder", tmp_path / "again", "encoder")
    assert origin_of(tmp_path / "again")["source"]["videos"] == ["video07"]
