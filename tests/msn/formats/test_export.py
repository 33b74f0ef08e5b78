"""ONNX and TFLite are tested where their packages are installed: `make test-export`."""

import importlib.util
import json

import cv2
import numpy as np
import pytest
import tensorflow as tf

from data.common.errors import InputError
from msn import convert
from msn.encoders import load_encoder, save_encoder
from msn.formats import export
from msn.networks.encoder import Encoder

TINY = {"image_size": 16, "patch_size": 4, "width": 12, "depth": 2, "num_heads": 3}
VARIANTS = {
    "erf": {"gelu": "erf"},
    "tanh": {"gelu": "tanh", "cls_position": False, "mean": (0.0,) * 3, "std": (1 / 255,) * 3},
    "stem": {"stem_channels": (5, 7)},
}


def is_installed(output_format):
    return all(importlib.util.find_spec(name) for name in convert.PACKAGES.get(output_format, ()))


def needs(output_format):
    missing = not is_installed(output_format)
    return pytest.mark.skipif(missing, reason="requirements-export.txt is not installed")


FORMATS = [pytest.param(name, marks=needs(name)) for name in convert.EXPORTS]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Encoder directories whose weights are large enough for mistakes to show."""
    folder = tmp_path_factory.mktemp("sources")
    for name, arguments in VARIANTS.items():
        encoder = Encoder(**TINY, **arguments)
        seeds = np.random.default_rng(0)
        for variable in encoder.weights:
            variable.assign(seeds.uniform(-0.5, 0.5, variable.shape))
            if "variance" in variable.name:
                variable.assign(np.abs(variable))
        save_encoder(encoder, folder / name, {})
    return folder


def images(count):
    return np.random.default_rng(count).integers(0, 256, (count, 16, 16, 3)).astype(np.float32)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("output_format", FORMATS)
def test_output_number_1_is_the_representation(sources, tmp_path, output_format, variant):
    path, error = convert.convert(sources / variant, tmp_path / "output", output_format)
    assert error <= 1e-5
    assert [entry.name for entry in tmp_path.iterdir()] == ["output"]
    encoder = load_encoder(sources / variant)
    for count in (1, 2, 7):
        tokens, cls = export.run_export(path, output_format, images(count))
        assert (tokens.shape, cls.shape) == ((count, 17, 12), (count, 12))
        np.testing.assert_allclose(tokens, encoder(images(count))[0], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(cls, encoder(images(count))[1], rtol=1e-4, atol=1e-4)


def test_a_saved_model_as_the_published_script_opens_it(sources, tmp_path):
    path, _ = convert.convert(sources / "erf", tmp_path / "output", "saved_model")
    model = tf.saved_model.load(str(path))
    cls = model(tf.constant(images(2)))[1]
    np.testing.assert_allclose(cls, load_encoder(sources / "erf")(images(2))[1], atol=1e-5)


@pytest.mark.parametrize("place", ["exported", "in an encoder directory"])
def test_a_saved_model_has_the_signature_that_serving_calls(sources, tmp_path, place):
    """By way of a session: what a server has is the graph, its tags and its signatures."""
    path = sources / "erf" / "saved_model"
    if place == "exported":
        path, _ = convert.convert(sources / "erf", tmp_path / "output", "saved_model")
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(path))
        signature = loaded.signature_def["serving_default"]
        assert signature.method_name == "tensorflow/serving/predict"
        assert set(signature.inputs) == {"images"}
        assert set(signature.outputs) == {"tokens", "cls"}
        sizes = [size.size for size in signature.inputs["images"].tensor_shape.dim]
        assert sizes == [-1, 16, 16, 3]
        names = {name: output.name for name, output in signature.outputs.items()}
        found = session.run(names, {signature.inputs["images"].name: images(3)})
    tokens, cls = load_encoder(sources / "erf")(images(3))
    np.testing.assert_allclose(found["tokens"], tokens, atol=1e-5)
    np.testing.assert_allclose(found["cls"], cls, atol=1e-5)


@needs("onnx")
def test_names_and_free_batch_of_an_onnx_file(sources, tmp_path):
    import onnx
    import onnxruntime

    path, _ = convert.convert(sources / "erf", tmp_path / "encoder.onnx", "onnx")
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path))
    (taken,), given = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.type) == ("images", "tensor(float)")
    assert isinstance(taken.shape[0], str) and taken.shape[1:] == [16, 16, 3]
    assert [output.name for output in given] == ["tokens", "cls"]


@needs("onnx")
def test_an_onnx_file_opens_here_with_the_filter_of_its_encoder(tmp_path):
    source = save_encoder(Encoder(**TINY, resample="bicubic"), tmp_path / "source", {})
    path, _ = convert.convert(source, tmp_path / "net.onnx", "onnx")
    facts = {
        "input": {"name": "images", "layout": "NHWC", "size": 16},
        **{"range": [0, 255], "mean": [0, 0, 0], "std": [1, 1, 1], "outputs": {"cls": "cls"}},
    }
    path.with_suffix(".json").write_text(json.dumps(facts))
    opened = load_encoder(path)
    assert opened.resample == "bicubic"
    np.testing.assert_allclose(opened(images(2))[1], load_encoder(source)(images(2))[1], atol=1e-4)


@needs("tflite")
def test_names_of_a_tflite_file(sources, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    path, _ = convert.convert(sources / "erf", tmp_path / "encoder.tflite", "tflite")
    runner = Interpreter(str(path)).get_signature_runner("serving_default")
    found = runner(images=images(2))
    tokens, cls = load_encoder(sources / "erf")(images(2))
    assert set(found) == {"tokens", "cls"}
    np.testing.assert_allclose(found["tokens"], tokens, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["cls"], cls, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("output_format", FORMATS)
def test_an_export_that_computes_something_else_is_not_kept(
    sources, tmp_path, monkeypatch, output_format
):
    """As if a bias in the first block were forgotten."""
    right = export.write_export

    def wrong(encoder, output_format, path):
        copy = Encoder(**encoder.get_config())
        copy.set_weights(encoder.get_weights())
        bias = copy.backbone.blocks[0].attention.out.bias
        bias.assign(np.zeros(bias.shape))
        right(copy, output_format, path)

    monkeypatch.setattr(export, "write_export", wrong)
    with pytest.raises(InputError, match=f"not written.*{output_format}"):
        convert.convert(sources / "erf", tmp_path / "output", output_format)
    assert not list(tmp_path.iterdir())


def test_frames_are_rendered_or_given(tmp_path):
    rendered = export.read_frames(None, 16)
    assert (rendered.shape, rendered.dtype) == ((3, 16, 16, 3), np.float32)
    assert rendered[..., 0].mean() > 1.2 * rendered[..., 2].mean()  # red: RGB, as in an abdomen
    assert np.abs(rendered[0] - rendered[2]).mean() > 5

    for number in range(10):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((20, 30, 3), (0, 0, 10 * number)))
    given = export.read_frames(str(tmp_path), 16)
    assert given.shape == (8, 16, 16, 3)
    assert given[:, 3, 5].tolist() == [[10 * number, 0, 0] for number in range(8)]


def test_what_cannot_be_exported(sources, tmp_path, monkeypatch):
    def refused(output_format, image_path=None, source=sources / "erf"):
        with pytest.raises(InputError) as refusal:
            convert.convert(source, tmp_path / "output", output_format, image_path=image_path)
        assert [entry.name for entry in tmp_path.iterdir()] == ["broken.png"]
        return str(refusal.value)

    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    assert "broken.png" in refused("saved_model", str(tmp_path / "broken.png"))
    assert "no_frames" in refused("saved_model", str(tmp_path / "no_frames"))
    assert "frozen" in refused("saved_model", source=sources / "erf" / "saved_model")

    monkeypatch.setitem(convert.PACKAGES, "onnx", ("numpy", "absent_1", "absent_2"))
    assert "absent_1 and absent_2 not installed" in (line := refused("onnx"))
    assert "pip install -r requirements-export.txt" in line
    monkeypatch.setattr(export, "LARGEST_FILE", 1000)
    monkeypatch.setitem(convert.PACKAGES, "tflite", ())
    assert "GB of weights" in refused("tflite")


def test_a_directory_around_an_encoder_is_named(sources, tmp_path):
    """A run of pre-training, or a down-stream model: its classifier is not exported."""
    save_encoder(load_encoder(sources / "erf"), tmp_path / "model" / "encoder", {})
    (tmp_path / "model" / "frame_model.json").write_text("{}")
    with pytest.raises(InputError, match=r"model: .*expected .*model/encoder$"):
        convert.convert(tmp_path / "model", tmp_path / "output", "saved_model")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]
