"""ONNX files as frozen encoders, run by ONNX Runtime."""

import importlib.util
import json
import re

import numpy as np
import pytest

from data.common.errors import InputError
from down_stream.classifiers.frame_model import load_frame_model
from down_stream.experiment import run
from down_stream.features.cache import fingerprint
from down_stream.features.pooling import choose_features, compute_features
from msn.convert import convert
from msn.encoders import load_encoder, save_encoder
from msn.networks.encoder import resample_of
from msn.training.initialisation import open_pretrained
from tests.support import forked_commands, onnx_files
from tests.support.small_phases import small_config

needs_onnx = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("onnx", "onnxruntime"))),
    reason="onnx and onnxruntime are not installed",
)


@pytest.fixture
def images():
    return np.random.default_rng(1).integers(0, 256, (5, 16, 16, 3)).astype(np.float32)


@needs_onnx
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("batch", ["batch", 1])
def test_it_computes_what_the_file_says(layout, batch, images, tmp_path):
    encoder = load_encoder(onnx_files.write(tmp_path, layout=layout, batch=batch))
    patches = onnx_files.expected(images)
    tokens, cls = encoder(images)
    assert (encoder.image_size, encoder.width, encoder.features) == (16, 12, "cls")
    np.testing.assert_allclose(cls, patches.mean(axis=1), atol=1e-4)
    np.testing.assert_allclose(tokens[:, 1:], patches, atol=1e-4)
    np.testing.assert_array_equal(tokens[:, 0], cls)
    np.testing.assert_array_equal(encoder.represent(images.astype(np.uint8)), cls)
    assert encoder.trainable_variables == []


@needs_onnx
@pytest.mark.parametrize(
    "outputs, features, others",
    [
        ({"pooled": "pooled"}, "pooled", []),
        ({"pooled": "pooled", "tokens": "tokens", "special_tokens": 5}, "pooled", ["mean"]),
        ({"cls": "pooled", "tokens": "tokens", "special_tokens": 5}, "cls", ["mean", "cls+mean"]),
        ({"tokens": "tokens", "special_tokens": 0}, "mean", []),
    ],
)
def test_features_are_those_that_the_description_names(outputs, features, others, images, tmp_path):
    special = outputs.get("special_tokens", 1)
    path = onnx_files.write(tmp_path, special_tokens=special, outputs=outputs, range=[-1, 1])
    encoder, patches = load_encoder(path), onnx_files.expected(images, -1, 1)
    parts = {"mean": patches.mean(axis=1)}
    parts["pooled"] = parts["cls"] = patches.max(axis=1)
    assert choose_features(encoder, None) == features
    for name in (features, *others):
        found = compute_features(encoder, images, choose_features(encoder, name))
        expected = np.concatenate([parts[part] for part in name.split("+")], axis=1)
        np.testing.assert_allclose(found, expected, atol=1e-4)
    for name in {"cls", "mean", "cls+mean", "last4"} - {features, *others}:
        with pytest.raises(InputError, match=f"{re.escape(name)}' for net.onnx; expected "):
            choose_features(encoder, name)


@needs_onnx
def test_frames_are_resized_as_the_description_says(tmp_path):
    assert resample_of(load_encoder(onnx_files.write(tmp_path))) == "bilinear"
    encoder = load_encoder(onnx_files.write(tmp_path, resample="bicubic"))
    copy = load_encoder(save_encoder(encoder, tmp_path / "copy", {}))
    assert "| network | in an ONNX file, frozen; " in (tmp_path / "copy" / "README.md").read_text()
    assert (resample_of(encoder), resample_of(copy)) == ("bicubic", "bicubic")


@needs_onnx
def test_what_an_export_notes_of_resizing_counts_where_the_description_says_nothing(tmp_path):
    import onnx

    for noted, found in (("bicubic", "bicubic"), ("some other program's", "bilinear")):
        path = onnx_files.write(tmp_path)
        model = onnx.load(path)
        model.metadata_props.add(key="resample", value=noted)
        onnx.save(model, path)
        assert resample_of(load_encoder(path)) == found


@needs_onnx
def test_it_is_probed_and_its_frame_model_opens_in_a_new_process(small_dataset, tmp_path):
    path = onnx_files.write(tmp_path)
    config = small_config(small_dataset, encoder=str(path), model__variant="", epochs=5)
    results = run(config, tmp_path / "probe")
    assert results["features"] == "cls"
    model, images = tmp_path / "probe" / "model", small_dataset / "frames" / "video04"
    output = tmp_path / "video04.npz"
    words = (f"--model_path={model}", f"--output={output}", f"--image_path={images}")
    done = forked_commands.call("inference.py", *words)
    assert done.returncode == 0, done.stderr
    rows = (tmp_path / "probe" / "predictions.csv").read_text().splitlines()[1:]
    predicted = [int(row.split(",")[3]) for row in rows]
    with np.load(output) as found:
        assert found["probabilities"].argmax(axis=1).tolist() == predicted
    assert load_frame_model(model).encoder.features == "cls"


@needs_onnx
def test_what_it_is_not_for_is_refused_in_one_line(small_dataset, tmp_path):
    path = onnx_files.write(tmp_path)
    config = small_config(small_dataset, encoder=str(path), model__variant="", mode="finetune")
    for call, said in (
        (lambda: run(config, tmp_path / "run"), "net.onnx: an ONNX file: .* not fine-tuned"),
        (lambda: open_pretrained(path, {}), "init=.*net.onnx: not a Vision Transformer"),
        (lambda: convert(path, tmp_path / "out", "encoder"), "net.onnx: an ONNX file is frozen"),
        (
            lambda: load_encoder(path, num_heads=3),
            "net.onnx: says its num_heads itself; expected none",
        ),
    ):
        with pytest.raises(InputError, match=said) as refusal:
            call()
        assert "\n" not in str(refusal.value)


@needs_onnx
def test_another_file_or_description_has_other_features_in_the_cache(tmp_path):
    one = fingerprint(load_encoder(onnx_files.write(tmp_path)))
    assert one == fingerprint(load_encoder(onnx_files.write(tmp_path, name="copy")))
    for changes in ({"range": [0, 255]}, {"layout": "NHWC"}):
        assert one != fingerprint(load_encoder(onnx_files.write(tmp_path, **changes)))


@needs_onnx
@pytest.mark.parametrize(
    "changes, said",
    [
        ({"input": {"name": "x", "layout": "NCHW", "size": 16}}, "says input 'x', .* has pixels"),
        ({"input": {"name": "pixels", "layout": "NCHW", "size": 32}}, r"expected .* 3, 32, 32\]"),
        ({"input": {"name": "pixels", "layout": "NHWC", "size": 16}}, r"expected .* 16, 16, 3\]"),
        ({"outputs": {"cls": "logits"}}, "output 'logits'; expected of net.onnx: tokens, pooled"),
        ({"outputs": {"cls": "tokens"}}, r"'tokens' is \[1, 17, 12\] for one .* cls as \[1, width"),
        ({"outputs": {"tokens": "tokens", "special_tokens": 17}}, "17 of 17 tokens special"),
    ],
)
def test_a_description_that_does_not_fit_the_file(changes, said, tmp_path):
    with pytest.raises(InputError, match=f"net.onnx: .*{said}"):
        load_encoder(onnx_files.write(tmp_path, **changes))


FACTS = {
    "input": {"name": "pixels", "layout": "NCHW", "size": 16},
    **{"range": [0, 1], "mean": [0, 0, 0], "std": [1, 1, 1], "outputs": {"cls": "cls"}},
}


@pytest.mark.parametrize(
    "facts, said",
    [
        (None, "does not say what it takes and gives; expected net.json beside it"),
        (
            {n: v for n, v in FACTS.items() if n != "mean"},
            "net.json has .*; expected .*mean",
        ),
        (FACTS | {"more": 1}, "net.json has .*more"),
        (FACTS | {"input": {"name": "pixels"}}, "expected name, layout and size"),
        (FACTS | {"input": FACTS["input"] | {"layout": "CHW"}}, "layout is 'CHW'; expected one of"),
        (FACTS | {"input": FACTS["input"] | {"size": "224"}}, "size is '224'; expected pixels"),
        (FACTS | {"range": [1, 0]}, r"range is \[1, 0\]"),
        (FACTS | {"mean": [0.5]}, r"mean \[0.5\]"),
        (FACTS | {"std": [0.5, 0, 1]}, "std is .* above 0"),
        (FACTS | {"resample": "cubic"}, "resample is 'cubic'; expected one of bilinear, bicubic"),
        (FACTS | {"resample": ["bicubic"]}, "resample is .* expected one of bilinear, bicubic"),
        (FACTS | {"outputs": {}}, "outputs is {}; expected names of cls, pooled, tokens"),
        (FACTS | {"outputs": {"cls": "cls", "head": "x"}}, "outputs has 'head'"),
        (FACTS | {"outputs": {"tokens": "tokens"}}, "tokens and special_tokens; expected both"),
    ],
)
def test_nothing_is_assumed(facts, said, tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"\x08\x09")
    if facts:
        (tmp_path / "net.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match=f"net.onnx: .*{said}") as refusal:
        load_encoder(tmp_path / "net.onnx")
    assert "\n" not in str(refusal.value)


def test_without_onnxruntime_or_a_whole_file_one_line_says_so(tmp_path, monkeypatch):
    (tmp_path / "net.onnx").write_bytes(b"no graph")
    (tmp_path / "net.json").write_text(json.dumps(FACTS))
    if importlib.util.find_spec("onnxruntime"):
        with pytest.raises(InputError, match="not an ONNX file that can be run"):
            load_encoder(tmp_path / "net.onnx")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"not installed; run: .* -r requirements-onnx.txt"):
        load_encoder(tmp_path / "net.onnx")
